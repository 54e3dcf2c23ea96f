"""What the policy hands to the rules that the system's packages are decided by.

Language packages and unowned files are the application, and stay, unless a person says that
nothing but evidence shall hold them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from paredown_minimizer.globs import expand
from paredown_minimizer.image.model import Tree, parent
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.policy import HandOver, Policy
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
        _refuse_nothing(found, f"{entry.manager} packages", entry)
        packages = {**dict.fromkeys(found, entry.reason), **packages}
    for entry in policy.unowned:
        unowned = [path for path in _below(entry, tree) if is_unowned(path, inventory)]
        files = [path for path in unowned if tree[path].type != "directory"]
        _refuse_nothing(files, "unowned files", entry)
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
    below = _below(entry, tree)
    return [
        key
        for key, package in inventory.packages.items()
        if package.manager == entry.manager and package.location in below
    ]


def _below(entry: HandOver, tree: Tree) -> dict[str, None]:
    """Return what lies at or below the place that an entry names, in order; /app/** is /app."""
    pattern = (entry.path or "/").removesuffix("/**")
    places = {tree.canonical(path) for path in expand(tree, pattern)}
    found: dict[str, None] = {}
    for path in tree:
        if path in places or parent(path) in found:
            found[path] = None
    return found


def _refuse_nothing(found: object, what: str, entry: HandOver) -> None:
    if not found:
        where = f" in {escape_name(entry.path)}" if entry.path else ""
        raise ParedownError(f"cannot hand over {what}{where}{entry.place}: the image has none")
