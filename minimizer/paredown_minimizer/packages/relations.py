"""Which installed packages satisfy what a package depends on or recommends.

Versions are left out: the package manager saw to them when it installed. What nobody satisfies was
missing before, too, and is left out; so are what the package satisfies by itself, and what so many
do that it says nothing about any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Relations = tuple[frozenset[str], ...]

# A database may be made so that each of its packages satisfies each relation of all of them.
_MANY = 100


def providers_of(provided: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """Return the packages by each name that they go by, from the names of each package."""
    providers: dict[str, set[str]] = {}
    for key, names in provided.items():
        for name in names:
            providers.setdefault(name, set()).add(key)
    return {name: frozenset(keys) for name, keys in providers.items() if len(keys) <= _MANY}


def satisfied(
    wanted: Mapping[str, Iterable[Iterable[str]]], providers: Mapping[str, frozenset[str]]
) -> dict[str, Relations]:
    """Return by package the packages that satisfy each of its relations.

    ``wanted`` has for each package its relations, and of each the names of which one is enough.
    """
    found = {}
    for key, relations in wanted.items():
        groups = dict.fromkeys(_any_of(names, providers) for names in relations)
        if useful := tuple(group for group in groups if group and key not in group):
            found[key] = useful
    return found


def _any_of(names: Iterable[str], providers: Mapping[str, frozenset[str]]) -> frozenset[str]:
    known = [providers[name] for name in names if name in providers]
    if len(known) == 1:
        return known[0]
    return frozenset[str]().union(*known) if sum(map(len, known)) <= _MANY else frozenset()
