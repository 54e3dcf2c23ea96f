"""What the policy hands to the rules that the system's packages are decided by.

Language packages and unowned files are the application, and stay, unless a person says that
nothing but evidence shall hold them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from paredown_minimizer.image.model import Tree, parent
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.policy import HandOver, Policy, named_paths
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name


@dataclasses.dataclass(frozen=True, slots=True)
class Handed:
    """What was handed over, with the policy's reason."""

    packages: Mapping[str, str] = dataclasses.field(default_factory=dict)  # by key
    paths: Mapping[str, str] = dataclasses.field(default_factory=dict)  # unowned ones


def hand_over(policy: Policy, tree: Tree, inventory: Inventory) -> Handed:
    """Return what ``policy`` hands over; of several entries the first that names it counts.

    Raises:
        ParedownError: an entry names nothing of the image.
    """
    packages: dict[str, str] = {}
    paths: dict[str, str] = {}
    for entry in policy.language_packages:
        found = _packages(entry, tree, inventory)
        _refuse_nothing(found, f"{entry.manager} packages", entry.path)
        packages = {**dict.fromkeys(found, entry.reason), **packages}
    for entry in policy.unowned:
        unowned = [
            path for path in sorted(_places(tree, entry.path)) if is_unowned(path, inventory)
        ]
        _refuse_nothing(unowned, "unowned files", entry.path)
        paths = {**dict.fromkeys(unowned, entry.reason), **paths}
    return Handed(packages, paths)


def is_unowned(path: str, inventory: Inventory) -> bool:
    """Say whether no package has a path: not its own, nor made from what is, nor its records."""
    return (
        path not in inventory.owners
        and path not in inventory.derived
        and path not in inventory.database
    )


def _packages(entry: HandOver, tree: Tree, inventory: Inventory) -> list[str]:
    places = None if entry.path is None else _places(tree, entry.path)
    return [
        key
        for key, package in inventory.packages.items()
        if package.location is not None
        and package.manager == entry.manager
        and (places is None or _lies_in(package.location, inventory.owned[key], places))
    ]


def _places(tree: Tree, pattern: str | None) -> set[str]:
    return {tree.canonical(path) for path in named_paths(tree, pattern or "/**")}


def _lies_in(location: str, owned: frozenset[str], places: set[str]) -> bool:
    # Of a directory with links inside the place is named, and of a pattern such as /app/** files.
    while location != "/" and location not in places:
        location = parent(location)
    return location in places or (bool(owned) and owned <= places)


def _refuse_nothing(found: object, what: str, path: str | None) -> None:
    if not found:
        where = f" in {escape_name(path)}" if path else ""
        raise ParedownError(f"cannot hand over {what}{where}: the image has none")
