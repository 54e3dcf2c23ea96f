"""The attack surface before and after, as a plan has it."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Entry, Tree, is_below
from paredown_minimizer.needed import users
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.surface.members import Members, members, topmost
from paredown_schemas.plan import Exposed, Need, SurfaceCount, SurfaceKind

# Too many to list: their number tells.
_ONLY_COUNTED: tuple[SurfaceKind, ...] = ("executable", "library")


def find_exposure(
    tree: Tree, inventory: Inventory, kept: AbstractSet[str], needs: Sequence[Need]
) -> tuple[tuple[SurfaceCount, ...], tuple[Exposed, ...]]:
    """Return how many there are of each kind, in the order of kinds, and which, sorted."""
    counts: list[SurfaceCount] = []
    exposed: list[Exposed] = []
    for kind in typing.get_args(SurfaceKind):
        if kind == "secret":
            continue
        found = dict(members(kind, tree))
        if kind == "writable":
            found |= {path: why for path, why in _by_user(tree, needs).items() if path not in found}
        counts.append(SurfaceCount(kind, len(found), sum(path in kept for path in found)))
        if kind not in _ONLY_COUNTED:
            exposed += [
                Exposed(kind, path, path in kept, _package(inventory, path), detail)
                for path, detail in found.items()
            ]
    return tuple(counts), tuple(sorted(exposed, key=lambda e: (e.kind, e.name)))


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
