"""The attack surface before and after, as a plan has it."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from paredown_minimizer.contents import Contents
from paredown_minimizer.image.model import Entry, Tree, is_below
from paredown_minimizer.needed import users
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.surface.members import Members, members, topmost
from paredown_minimizer.surface.secrets import find_in_configuration, find_in_files
from paredown_schemas.plan import Exposed, Need, SurfaceCount, SurfaceKind

# Too many to list: their number tells.
_ONLY_COUNTED: tuple[SurfaceKind, ...] = ("executable", "library")


def find_exposure(
    contents: Contents, inventory: Inventory, kept: AbstractSet[str], needs: Sequence[Need]
) -> tuple[tuple[SurfaceCount, ...], tuple[Exposed, ...]]:
    """Return how many there are of each kind, in the order of kinds, and which, sorted."""
    counts: list[SurfaceCount] = []
    exposed: list[Exposed] = []
    for kind in typing.get_args(SurfaceKind):
        found = [
            # What is no path is the configuration's, and stays with it.
            Exposed(kind, name, name in kept or name[:1] != "/", _package(inventory, name), detail)
            for name, detail in _of_kind(kind, contents, inventory, needs).items()
        ]
        counts.append(SurfaceCount(kind, len(found), sum(each.stays for each in found)))
        if kind not in _ONLY_COUNTED:
            exposed += found
    return tuple(counts), tuple(sorted(exposed, key=lambda e: (e.kind, e.name)))


def _of_kind(
    kind: SurfaceKind, contents: Contents, inventory: Inventory, needs: Sequence[Need]
) -> Members:
    tree = contents.image.tree
    if kind == "secret":
        return {**find_in_files(contents, inventory), **find_in_configuration(contents.image)}
    if kind == "writable":
        return {**_by_user(tree, needs), **members(kind, tree)}
    return members(kind, tree)


def _by_user(tree: Tree, needs: Sequence[Need]) -> Members:
    """What those can write who the workload ran as, outside of where it did; root can anything."""
    ids = {(uid, gid) for uid, gid in users(needs) if uid}
    places = [need.value for need in needs if need.kind == "written"]

    def why(entry: Entry) -> str | None:
        for uid, gid in sorted(ids):
            # path_resolution(7): the owner's bits count for the owner, the group's only for others.
            bit = 0o200 if entry.uid == uid else 0o020 if entry.gid == gid else 0
            if entry.mode & bit and not any(is_below(entry.path, place) for place in places):
                return f"by {uid}:{gid}"
        return None

    return dict(topmost(tree, why)) if ids else {}


def _package(inventory: Inventory, path: str) -> str | None:
    return min(inventory.owners.get(path, ()), default=None)
