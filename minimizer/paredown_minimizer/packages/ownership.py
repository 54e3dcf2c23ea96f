"""From what a package manager lists to who owns which path of the tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Tree, join, parent
from paredown_minimizer.packages.base import Inventory

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
    empty: list[str] = []
    for key, paths in inventory.owned.items():
        files = [path for path in paths if not tree.leads_to_directory(path)]
        if not kept.isdisjoint(files):
            left.add(key)
        elif not files and kept >= paths and key not in left:
            empty.append(key)
    return left | _standing(empty, inventory, left)


def _standing(
    empty: Iterable[str], inventory: Inventory, left: AbstractSet[str]
) -> AbstractSet[str]:
    """Return those of ``empty`` of which ``left``, or others of them, satisfy every relation."""
    missing: dict[str, set[frozenset[str]]] = {}
    waiting: dict[str, list[tuple[str, frozenset[str]]]] = {}
    for key in empty:
        wanted = {group for group in inventory.depends.get(key, ()) if left.isdisjoint(group)}
        missing[key] = wanted
        for group in wanted:
            for other in group:
                waiting.setdefault(other, []).append((key, group))
    standing: set[str] = set()
    ready = [key for key, wanted in missing.items() if not wanted]
    while ready:
        standing.add(found := ready.pop())
        for key, group in waiting.pop(found, ()):
            if group in missing[key]:
                missing[key].remove(group)
                ready += [] if missing[key] else [key]
    return standing
