"""From what a package manager lists to who owns which path of the tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Tree, join, parent
from paredown_minimizer.packages.base import Inventory, Package

# What merging /usr moved (Debian's usrmerge, Alpine's and Fedora's UsrMove).
_MERGED = re.compile(r"(/usr)?(/(?:s?bin|lib(?:32|64|x32)?)/.+)", re.DOTALL)


def locator(tree: Tree) -> Callable[[str], str]:
    """Return the way from a listed path to the tree's canonical one, existing or not.

    Links among its directories are followed. Where a package says /lib/x and the tree has
    /usr/lib/x without a link between them, or the other way round, that is what is meant: some
    makers of images move files and leave the lists as they were.
    """
    directories: dict[str, str] = {}

    def canonical(path: str) -> str:
        directory, _, name = path.rpartition("/")
        if name in ("", ".", ".."):  # the root is listed as "/."
            return tree.canonical(path)
        if directory not in directories:
            directories[directory] = parent(tree.canonical(f"{directory}/x"))
        return join(directories[directory], name)

    def locate(path: str) -> str:
        found = canonical(path)
        if found not in tree and (twin := _twin(found)) is not None:
            moved = canonical(twin)
            return moved if moved in tree else found
        return found

    return locate


def _twin(path: str) -> str | None:
    match = _MERGED.fullmatch(path)
    if match is None:
        return None
    return match[2] if match[1] else f"/usr{match[2]}"


def owned_paths(
    tree: Tree, listed: Mapping[str, Iterable[str]], database: AbstractSet[str]
) -> dict[str, frozenset[str]]:
    """Return what the tree has of each package's ``listed`` paths, without the database's own."""
    return {
        key: frozenset(path for path in paths if path in tree and path not in database)
        for key, paths in listed.items()
    }


def owners_of(owned: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """Return the packages that list each path."""
    owners: dict[str, frozenset[str]] = {}
    several: dict[str, set[str]] = {}
    for key, paths in owned.items():
        alone = frozenset((key,))
        for path in paths:
            if (first := owners.setdefault(path, alone)) is not alone:
                several.setdefault(path, set(first)).add(key)
    owners.update((path, frozenset(keys)) for path, keys in several.items())
    return owners


def packages_left(tree: Tree, inventory: Inventory, kept: AbstractSet[str]) -> set[str]:
    """Return the packages of which something is left once only ``kept`` is.

    That is a path that is no directory and no link to one. A package that never had such a path is
    nothing but its directories and the packages that it depends on, and left while they all are.
    """
    left = set(inventory.unlisted)
    empty: list[Package] = []
    for key, paths in inventory.owned.items():
        files = [path for path in paths if not tree.leads_to_directory(path)]
        if not kept.isdisjoint(files):
            left.add(key)
        elif not files and kept >= paths and key not in left:
            empty.append(inventory.packages[key])
    names = {inventory.packages[key].name for key in left}
    missing = {package.key: set(package.depends) - names for package in empty}
    waiting: dict[str, list[Package]] = {}
    for package in empty:
        for name in missing[package.key]:
            waiting.setdefault(name, []).append(package)
    ready = [package for package in empty if not missing[package.key]]
    while ready:
        package = ready.pop()
        left.add(package.key)
        for other in waiting.pop(package.name, ()):
            missing[other.key].discard(package.name)
            if not missing[other.key]:
                ready.append(other)
    return left
