"""Applying a plan: what stays of an image, with a package database that says so."""

from __future__ import annotations

from paredown_minimizer.image.model import Image, Tree
from paredown_minimizer.image.slim import SlimImage
from paredown_minimizer.keep import kept_paths
from paredown_minimizer.packages.registry import find_managers
from paredown_schemas.errors import DamagedInputError
from paredown_schemas.plan import Plan


def apply_plan(plan: Plan, image: Image) -> SlimImage:
    """Return what ``plan`` leaves of ``image``, its package databases true to that.

    Raises:
        DamagedInputError: the plan is of another image.
        ParedownError: the image cannot be read.
    """
    if (image.identity, image.platform) != (plan.image, plan.platform):
        raise DamagedInputError(
            f"cannot apply the plan: it is of {plan.image} ({plan.platform}), "
            f"SOURCE is {image.identity} ({image.platform})",
            hint="record and plan again with this SOURCE, or name the one of the plan",
        )
    managers = find_managers(image)
    inventory = managers.read(image)
    files = kept_paths(plan, image, inventory) - inventory.database
    changes = managers.rewrite(image, inventory, files)
    gone = {path for path, content in changes.items() if content is None}
    replaced = {path: content for path, content in changes.items() if content is not None}
    return SlimImage(image, files | (inventory.database - gone), replaced)


def count(tree: Tree) -> tuple[int, int]:
    """Return the number of paths that are not directories, and the bytes, of each inode once."""
    groups: set[int] = set()
    files = size = 0
    for entry in tree.values():
        files += entry.type != "directory"
        if entry.hardlinks is None or entry.hardlinks not in groups:
            size += entry.size
        if entry.hardlinks is not None:
            groups.add(entry.hardlinks)
    return files, size
