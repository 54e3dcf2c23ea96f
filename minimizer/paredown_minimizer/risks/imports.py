"""Modules that used sources import by name: high, as a name is all that it takes to load them.

Imports stand in functions and behind conditions, so that a run need not have followed them. Of a
module of Python or Node its whole directory is meant, of one of Ruby or Perl its file and what lies
below its name. What the packages of such modules depend on is medium: modules import each other.

Followed: The Python Language Reference, "The import system"; Node.js, "Modules: CommonJS modules";
Ruby's Kernel#require; perlfunc(1), "require".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from paredown_minimizer.risks.depends import needs_of
from paredown_minimizer.risks.situation import Situation
from paredown_schemas.names import decode_name
from paredown_schemas.plan import Risk

_LIMIT = 1 << 20
_PYTHON = re.compile(rb"^[ \t]*(?:import|from)[ \t]+([A-Za-z_]\w*)", re.MULTILINE)
_NODE = re.compile(rb"\b(?:require\(|from|import\(?)\s*['\"](@[\w.-]+/[\w.-]+|\w[\w.-]*)[/'\"]")
_RUBY = re.compile(rb"\brequire[ (]+['\"](\w[\w/.-]*?)(?:\.rb|\.so)?['\"]")
_PERL = re.compile(rb"\b(?:use|require)\s+([A-Z]\w*(?:::\w+)*)")
_SOURCES = {
    **dict.fromkeys((".py",), ("python", _PYTHON)),
    **dict.fromkeys((".js", ".mjs", ".cjs"), ("node", _NODE)),
    **dict.fromkeys((".rb",), ("ruby", _RUBY)),
    **dict.fromkeys((".pm", ".pl"), ("perl", _PERL)),
}
# Where modules lie by their names: directories of Python and Node, and those that Ruby and Perl
# have in their paths.
_OF_PACKAGES = {
    "python": ("/site-packages", "/dist-packages"),
    "node": ("/node_modules", "/share/nodejs"),
}
_SUFFIXES = {"ruby": ".rb", "perl": ".pm"}
_IN_PATH = re.compile(
    r".*/(lib|(vendor|site)_ruby|ruby|perl5?|perl-base|[0-9]+(\.[0-9]+)+|\w+-linux[\w-]*)"
)

Module = tuple[str, str]  # language, name


def find(situation: Situation) -> Iterator[Risk]:
    """Yield what goes of the modules, and what goes that their packages depend on."""
    importers: dict[Module, list[str]] = {}
    for path, module in _imports(situation):
        importers.setdefault(module, []).append(path)
    modules = _Modules(situation)
    packages: set[str] = set()
    for module in sorted(importers):
        if paths := modules.paths(*module):
            packages.update(key for path in paths for key in situation.packages(path) if key)
            for path in importers[module]:
                yield from situation.risks(paths, path, "high", "named")
    yield from needs_of(situation, packages)


def _imports(situation: Situation) -> Iterator[tuple[str, Module]]:
    for path in sorted(situation.used):
        language, pattern = _SOURCES.get(path[path.rfind(".") :], ("", None))
        if pattern is not None and situation.tree[path].size <= _LIMIT:
            for name in sorted(set(pattern.findall(situation.contents.data(path, _LIMIT)))):
                yield path, (language, decode_name(name))


class _Modules:
    """Finds what goes of a module."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation

    def paths(self, language: str, name: str) -> set[str]:
        found = self._of_packages if language in _OF_PACKAGES else self._in_path
        return set(found(language, name))

    @functools.cached_property
    def _roots(self) -> dict[str, list[str]]:
        return {
            language: [path for path in self._situation.tree if path.endswith(names)]
            for language, names in _OF_PACKAGES.items()
        }

    @functools.cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self._situation.files:
            if path.endswith(tuple(_SUFFIXES.values())):
                found.setdefault(path.rpartition("/")[2], []).append(path)
        return found

    def _of_packages(self, language: str, name: str) -> Iterator[str]:
        for root in self._roots[language]:
            yield from self._situation.below(f"{root}/{name}")
            yield from {f"{root}/{name}.py"} & self._situation.removed

    def _in_path(self, language: str, name: str) -> Iterator[str]:
        ending = "/" + name.replace("::", "/") + _SUFFIXES[language]
        for path in self._by_name.get(ending.rpartition("/")[2], ()):
            if path.endswith(ending) and _IN_PATH.fullmatch(path.removesuffix(ending)):
                yield path
                yield from self._situation.below(path.removesuffix(_SUFFIXES[language]))
