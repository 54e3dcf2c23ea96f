"""What a plan leaves, from the plan and the image alone."""

from __future__ import annotations

from paredown_minimizer.image.model import Image, parent
from paredown_minimizer.packages.base import Inventory
from paredown_schemas.errors import DamagedInputError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan


def removed_paths(plan: Plan) -> set[str]:
    """Return every path that goes; never the package database, which is rewritten."""
    return {path for record in plan.removed for path in record.paths()}


def kept_paths(plan: Plan, image: Image, inventory: Inventory | None) -> set[str]:
    """Return every path of ``image`` that stays, directories and the package database included.

    Raises:
        DamagedInputError: the plan contradicts itself or the image: it was edited by hand.
    """
    removed = removed_paths(plan)
    tree = image.tree
    for path in sorted(removed):
        if path not in tree:
            raise _contradiction(f"{escape_name(path)} goes, but the image has no such path")
    kept = tree.keys() - removed
    for path in kept:
        if path != "/" and parent(path) in removed:
            raise _contradiction(f"{escape_name(path)} stays, but its directory goes")
    _compare_packages(plan, image, inventory, removed)
    return kept


def _compare_packages(
    plan: Plan, image: Image, inventory: Inventory | None, removed: set[str]
) -> None:
    owned = inventory.owned if inventory else {}
    for package in plan.packages:
        key = package.key
        paths = (p for p in owned.get(key, ()) if not image.tree.leads_to_directory(p))
        left = sum(path not in removed for path in paths)
        if left != package.kept_files:
            raise _contradiction(
                f"{escape_name(key)} keeps {package.kept_files} files by one part of it, "
                f"{left} by another"
            )


def _contradiction(what: str) -> DamagedInputError:
    return DamagedInputError(
        f"cannot follow the plan: {what}",
        hint="a plan is not edited: say what shall stay or go in the policy, and plan again",
    )
