"""Files that no package lists, but that were made from what packages brought.

A package manager or the scripts of packages made them: caches, links, compiled modules. What
nobody here makes is the application's. What is the same on every distribution is here; each
manager adds ``Makers`` of its own.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Image, Tree
from paredown_minimizer.packages.base import Package

# Pattern of the paths, and the packages, by any distribution's name, whose programs or scripts
# make them.
Made = tuple[tuple[str, tuple[str, ...]], ...]

_GLIB = ("libglib2.0-0", "libglib2.0-0t64", "glib", "glib2")
_PIXBUF = ("libgdk-pixbuf-2.0-0", "gdk-pixbuf", "gdk-pixbuf2")
_GTK2 = ("libgtk2.0-0", "libgtk2.0-0t64", "gtk+2.0", "gtk2")
_GTK3 = ("libgtk-3-0", "libgtk-3-0t64", "gtk+3.0", "gtk3")
_EVERYWHERE: Made = (
    (r"/var/cache/fontconfig/.+|/usr/share/fonts/.+\.uuid", ("fontconfig",)),  # fc-cache
    (r"/usr/share/mime/.+", ("shared-mime-info",)),  # update-mime-database
    (r"/usr/share/applications/mimeinfo\.cache", ("desktop-file-utils",)),
    (r"/usr/lib(64)?/(.+/)?gio/modules/giomodule\.cache", _GLIB),
    (r"/usr/share/glib-2\.0/schemas/gschemas\.compiled", _GLIB),
    (r"/usr/lib(64)?/(.+/)?gdk-pixbuf-2\.0/.+/loaders\.cache", _PIXBUF),
    (r"/usr/lib(64)?/(.+/)?gtk-2\.0/.+/immodules\.cache", _GTK2),
    (r"/usr/lib(64)?/(.+/)?gtk-3\.0/.+/immodules\.cache", _GTK3),
    (r"/var/cache/man/.+", ("man-db", "mandoc")),  # mandb, makewhatis
    (r"(/etc|/usr/lib)/udev/hwdb\.bin", ("udev", "systemd-hwdb", "systemd-udev")),
    (r"/var/lib/systemd/catalog/database", ("systemd",)),  # journalctl --update-catalog
)
# gtk-update-icon-cache, from the theme around it
_ICONS = re.compile(r"(/usr/share/icons/.+)/icon-theme\.cache")
# PEP 3147, and beside the source as Python 2 had it
_PYCACHE = re.compile(r"(.*/)__pycache__/([^/]+?)\.[a-z]+-[0-9]+(?:\.opt-[0-9a-z]+)?\.pyc")
_PYC = re.compile(r"(.*)\.py[co]")


@dataclasses.dataclass(frozen=True)
class Makers:
    """What the scripts of one distribution's packages make."""

    made: Made
    # Symlinks that scripts make to what packages own.
    links: re.Pattern[str]
    # What else was made of which path: pattern, and templates of the source's path.
    sources: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = ()


class Derivation:
    """Finds what was made from what in one image."""

    def __init__(
        self,
        image: Image,
        packages: Mapping[str, Package],
        owners: Mapping[str, frozenset[str]],
        database: AbstractSet[str],
        makers: Makers,
    ) -> None:
        """Index the packages by name."""
        self._tree = image.tree
        self._owners = owners
        self._makers = makers
        made = (*makers.made, *_EVERYWHERE)
        self._made = [(re.compile(pattern), names) for pattern, names in made]
        self._any = re.compile("|".join(f"(?:{pattern})" for pattern, _ in made))
        self._unowned = [p for p in self._tree if p not in owners and p not in database]
        self._keys: dict[str, set[str]] = {}
        for key, package in packages.items():
            self._keys.setdefault(package.name, set()).add(key)

    def of_packages(self, names: Iterable[str]) -> frozenset[str]:
        """Return the keys of the packages of these names that the image has."""
        return frozenset(key for name in names for key in self._keys.get(name, ()))

    def paths(self, known: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
        """Return what was made from what: path -> the package keys and paths behind it.

        ``known`` is what the manager's records say; it goes before the tables.
        """
        derived: dict[str, frozenset[str]] = {}
        for path in self._unowned:
            if path in known:
                derived[path] = known[path]
            elif self._tree[path].type != "directory" and (sources := self._sources(path)):
                derived[path] = sources
        _add_directories(self._tree, self._unowned, derived)
        return derived

    def _sources(self, path: str) -> frozenset[str]:
        for source in (self._linked(path), *self._made_of(path), _compiled(path), _themed(path)):
            if source is not None and source in self._owners:
                return frozenset({source})
        if self._any.fullmatch(path) is None:
            return frozenset()
        return self.of_packages(
            next(names for pattern, names in self._made if pattern.fullmatch(path))
        )

    def _linked(self, path: str) -> str | None:
        if self._tree[path].type != "symlink" or not self._makers.links.fullmatch(path):
            return None
        resolved = self._tree.resolve(path)
        return resolved.path if resolved else None

    def _made_of(self, path: str) -> list[str]:
        return [
            match.expand(template)
            for pattern, templates in self._makers.sources
            if (match := pattern.fullmatch(path))
            for template in templates
        ]


def _compiled(path: str) -> str | None:
    if match := _PYCACHE.fullmatch(path):
        return f"{match[1]}{match[2]}.py"
    match = _PYC.fullmatch(path)
    return f"{match[1]}.py" if match else None


def _themed(path: str) -> str | None:
    match = _ICONS.fullmatch(path)
    return f"{match[1]}/index.theme" if match else None


def _add_directories(
    tree: Tree,
    unowned: list[str],
    derived: dict[str, frozenset[str]],
) -> None:
    """A directory that was made to hold derived files alone is derived with them."""
    for path in reversed(unowned):
        below = tree.children.get(path, [])
        if tree[path].type == "directory" and below and all(child in derived for child in below):
            derived[path] = frozenset().union(*(derived[child] for child in below))
