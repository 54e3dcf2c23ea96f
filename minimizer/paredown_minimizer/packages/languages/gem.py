"""Ruby's gems: specifications/NAME.gemspec, and what RubyGems puts beside it.

Followed: RubyGems' lib/rubygems/stub_specification.rb (the stub lines), specification.rb (to_ruby,
activate_dependencies) and installer.rb (wrappers). A gemspec is Ruby code: only lines of the form
in which RubyGems writes them are read. It asks all gemspecs for each ``require``, so that reading
one is no use; and it starts no gem whose dependencies are not there. Default gems are parts of
Ruby's own library, and go with Ruby.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Image
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.packages.languages import base
from paredown_minimizer.packages.languages.base import Files, Installed

_SPECIFICATION = re.compile(r"(?P<home>.*)/specifications/(?P<full>[^/]+)\.gemspec")
_STUB = re.compile(r"^# stub: (?P<name>[\w.-]+) (?P<version>\w[\w.-]*) \S+ ", re.MULTILINE)
_DEPENDENCY = re.compile(r"\.add_(?:runtime_)?dependency\(%q<(?P<name>[\w.-]+)>")
_EXECUTABLES = re.compile(r"^ *s\.executables = \[(?P<names>[^\]\n]*)\]", re.MULTILINE)
_QUOTED = re.compile(r'"([\w.+-]+)"')
# What RubyGems and Bundler write into a wrapper: Gem.activate_bin_path('rack', 'rackup', version)
_WRAPPER = re.compile(r"(?:activate_bin_path|bin_path)\(['\"](?P<gem>[\w.-]+)['\"]")
_WRAPPER_LIMIT = 1 << 16
_GEMSPEC_LIMIT = 1 << 20
_BIN = "/usr/local/bin"  # where Debian's RubyGems puts wrappers


class Gem:
    """The gems of every gem home."""

    name = "gem"

    def read(self, files: Files) -> Inventory:
        """Return the gems."""
        specifications = [
            (path, match)
            for path in files.ending(".gemspec")
            if (match := _SPECIFICATION.fullmatch(path))
        ]
        homes = {match["home"] for _, match in specifications}
        extensions = {home: _extensions(files, home) for home in homes}
        return base.inventory_of(
            item
            for path, match in specifications
            for item in _gem(files, path, match, extensions[match["home"]].get(match["full"], ()))
        )

    def rewrite(
        self, _image: Image, _inventory: Inventory, _kept: AbstractSet[str]
    ) -> Mapping[str, bytes | None]:
        """Return nothing: each gem has a specification of its own."""
        return {}


def _gem(
    files: Files, path: str, match: re.Match[str], extensions: Iterable[str]
) -> Iterator[Installed]:
    text = files.text(path, _GEMSPEC_LIMIT)
    stub = _STUB.search(text)
    if stub is None:
        files.tell(path, "it does not name its gem as RubyGems does")
        return
    home, full = match["home"], match["full"]
    location = f"{home}/gems/{full}"
    own = {path, *files.below(location)}
    built = {path for directory in extensions for path in files.below(directory)}
    beside = (f"{home}/cache/{full}.gem", f"{home}/build_info/{full}.info")
    own |= built | {other for other in beside if other in files}
    own |= set(files.below(f"{home}/doc/{full}")) | set(_wrappers(files, home, stub["name"], text))
    # The extension counts as missing without this file.
    complete = {other for other in built if other.endswith("/gem.build_complete")}
    yield Installed(
        base.language_package(Gem.name, stub["name"], stub["version"], location),
        own,
        {path} | complete | base.licences(own, location),
        {path} | complete,
        tuple(sorted(set(_DEPENDENCY.findall(text)))),
    )


def _extensions(files: Files, home: str) -> dict[str, list[str]]:
    """Return the directories of extensions/PLATFORM/API by the gem that each is of."""
    found = [f"{home}/extensions"]
    for _ in ("platform", "API", "gem"):
        found = [below for above in found for below in files.tree.children.get(above, ())]
    gems: dict[str, list[str]] = {}
    for directory in found:
        gems.setdefault(posixpath.basename(directory), []).append(directory)
    return gems


def _wrappers(files: Files, home: str, gem: str, text: str) -> Iterator[str]:
    executables = _EXECUTABLES.search(text)
    names = _QUOTED.findall(executables["names"]) if executables else []
    # /usr/local/lib/ruby/gems/3.1.0 is the home of a Ruby in /usr/local.
    prefix = home.partition("/lib/ruby/")[0]
    for directory in dict.fromkeys((f"{home}/bin", f"{prefix}/bin", _BIN)):
        for name in names:
            path = f"{directory}/{name}"
            if path in files and files.tree[path].size <= _WRAPPER_LIMIT:
                wrapper = _WRAPPER.search(files.text(path, _WRAPPER_LIMIT))
                if wrapper and wrapper["gem"] == gem:
                    yield path
