"""A decision as the records of a plan."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from paredown_minimizer.closure import Closure, Reach
from paredown_minimizer.handed import Handed
from paredown_minimizer.image.model import Image, Tree, parent, path_key
from paredown_minimizer.packages.base import Inventory, Package
from paredown_minimizer.packages.combined import parts_of
from paredown_minimizer.packages.ownership import packages_left
from paredown_minimizer.trim import Granularities, Trim
from paredown_schemas.plan import (
    Action,
    DirectoryLink,
    Evidence,
    ListedPaths,
    PackageDecision,
    PathDecision,
    Totals,
    Trimmed,
)


@dataclasses.dataclass(frozen=True)
class Settled:
    """What was decided, and from what."""

    image: Image
    inventory: Inventory
    closure: Closure
    granularities: Granularities
    trim: Trim
    blocked: Mapping[str, str]  # what the policy removes, with the reason
    handed: Handed
    kept: AbstractSet[str]
    changes: Mapping[str, bytes | None]  # of the package databases

    @property
    def tree(self) -> Tree:
        """Return the image's paths."""
        return self.image.tree

    def is_trimmed(self, path: str, package: str) -> bool:
        """Say whether a path of a package that stays goes because no program reads it."""
        return (
            package in self.closure.trimmed_packages
            and path not in self.blocked
            and self.trim.kind(path) is not None
        )

    @property
    def removed(self) -> AbstractSet[str]:
        """Return what goes."""
        return self.tree.keys() - self.kept


def packages(settled: Settled) -> list[PackageDecision]:
    """Return the decision on each package: the system's first, then by language."""
    known = settled.inventory.packages.values()
    ordered = sorted(known, key=lambda p: ("" if p.location is None else p.manager, p.key))
    kept = settled.kept - settled.inventory.database
    stay = set[str]().union(
        *(packages_left(settled.tree, part, kept) for part in parts_of(settled.inventory))
    )
    return [_package(package, settled, stays=package.key in stay) for package in ordered]


def _package(package: Package, settled: Settled, *, stays: bool) -> PackageDecision:
    tree, kept = settled.tree, settled.kept
    owned = settled.inventory.owned[package.key]
    # As for the package's own database: links to directories, such as /lib, are shared by many.
    files = [path for path in owned if not tree.leads_to_directory(path)]
    left = [path for path in files if path in kept]
    action: Action = "remove" if not stays else "keep" if len(left) == len(files) else "trim"
    granularity, reason = settled.granularities.named.get(package.key, (None, None))
    return PackageDecision(
        name=package.name,
        architecture=package.architecture,
        version=package.version,
        manager=package.manager,
        action=action,
        files=len(files),
        bytes=size_of(tree, files),
        kept_files=len(left),
        kept_bytes=size_of(tree, left),
        location=package.location,
        handed=settled.handed.packages.get(package.key),
        granularity=granularity,
        granularity_reason=reason,
        trimmed=tuple(_trimmed(package.key, settled, (p for p in files if p not in kept))),
        source=package.source if package.source != package.name else None,
        source_version=package.source_version,
        layer=_layer(settled.image, files),
        group=package.group,
    )


def _layer(image: Image, files: Sequence[str]) -> int | None:
    """Return the layer that brought most of ``files``, of equals the oldest."""
    if not image.layers or not files:
        return None
    counts = collections.Counter(image.layer_of(path) for path in files)
    return min(counts, key=lambda layer: (-counts[layer], layer))


def _trimmed(package: str, settled: Settled, removed: Iterable[str]) -> list[Trimmed]:
    """Fold what goes of a trimmed package by kind."""
    kinds: dict[str, list[str]] = {}
    for path in removed:
        if settled.is_trimmed(path, package):
            kinds.setdefault(settled.trim.kind(path) or "", []).append(path)
    return sorted(
        Trimmed(k, len(paths), size_of(settled.tree, paths)) for k, paths in kinds.items()
    )


def totals(settled: Settled, decisions: Iterable[PackageDecision]) -> tuple[Totals, Totals]:
    """Return what there was before, and what is left."""
    actions = [decision.action for decision in decisions]
    stay = sum(action != "remove" for action in actions)
    return (
        _totals(settled.tree, settled.tree.keys(), {}, len(actions)),
        _totals(settled.tree, settled.kept, settled.changes, stay),
    )


def _totals(
    tree: Tree, paths: Iterable[str], changes: Mapping[str, bytes | None], packages: int
) -> Totals:
    files = [
        path
        for path in paths
        if tree[path].type != "directory" and changes.get(path, b"") is not None
    ]
    return Totals(packages=packages, files=len(files), bytes=size_of(tree, files, changes))


def size_of(
    tree: Tree, paths: Iterable[str], changes: Mapping[str, bytes | None] | None = None
) -> int:
    """Return the bytes of regular files, ``changes`` made, a hardlink group counted once."""
    total = 0
    groups: set[int] = set()
    for path in paths:
        entry = tree[path]
        if entry.hardlinks is None or entry.hardlinks not in groups:
            change = changes.get(path) if changes else None
            total += entry.size if change is None else len(change)
        if entry.hardlinks is not None:
            groups.add(entry.hardlinks)
    return total


def paths(settled: Settled) -> list[PathDecision]:
    """Return the paths that differ from what their package's action or their group's says."""
    found = _paths_that_go(settled) + _paths_that_stay(settled)
    return sorted(found, key=lambda decision: decision.path)


def _paths_that_go(settled: Settled) -> list[PathDecision]:
    """Return what goes of packages that stay, and of what no package lists.

    What a trimmed package loses is folded by kind, in its own record.
    """
    inventory, tree = settled.inventory, settled.tree
    decisions = []
    for path in sorted(settled.removed):
        owners = inventory.owners.get(path, frozenset())
        staying = [
            package
            for package in owners & settled.closure.staying_packages
            if not settled.is_trimmed(path, package)
        ]
        told = path in settled.handed.paths and path not in settled.blocked  # by its group
        if (
            (staying or not owners)
            and not told
            and path not in inventory.derived
            and not tree.leads_to_directory(path)
        ):
            reason = settled.blocked.get(path, "its target goes")
            decisions.append(PathDecision(path, "remove", min(staying, default=None), reason))
    return decisions


def _paths_that_stay(settled: Settled) -> list[PathDecision]:
    """Return what stays of packages that go otherwise, where packages go or stay as a whole."""
    closure, inventory = settled.closure, settled.inventory
    alone = sorted(path for path, reach in closure.reach.items() if reach == Reach.ALONE)
    return [
        PathDecision(path, "keep", min(owners), closure.evidence[path].detail)
        for path in alone
        if (owners := inventory.owners.get(path, frozenset()))
        and owners.isdisjoint(closure.staying_packages)
        and all(settled.granularities.of(package) != "file" for package in owners)
        and path in settled.kept
        and not settled.tree.leads_to_directory(path)
    ]


def evidence(settled: Settled) -> list[Evidence]:
    """Return the primary closure, and what else holds a package; what is only owned is implied."""
    inventory, closure = settled.inventory, settled.closure
    chosen: dict[str, Evidence] = {}
    for path, reason in closure.evidence.items():
        reach = closure.reach[path]
        implied = reach != Reach.PRIMARY and (
            reason.kind in ("owned", "derived") or _shares_fate(inventory, path, reason.by)
        )
        if not implied and path in settled.kept:
            chosen.update((link.path, link) for link in closure.chain(path))
    return [
        dataclasses.replace(e, package=min(inventory.owners.get(path, ()), default=None))
        for path, e in sorted(chosen.items())
    ]


def _shares_fate(inventory: Inventory, path: str, by: str | None) -> bool:
    """Say whether every package of ``path`` has ``by`` too: the link between them holds nothing."""
    owners = inventory.owners.get(path, frozenset())
    return bool(owners) and owners <= inventory.owners.get(by or "", frozenset())


def directory_links(tree: Tree) -> list[DirectoryLink]:
    """Return the links to directories, so that a path can be asked for by any of its names."""
    links = []
    for path, entry in tree.items():
        if entry.type == "symlink" and tree.leads_to_directory(path):
            resolved = tree.resolve(path)
            links += [DirectoryLink(path, resolved.path)] if resolved else []
    return sorted(links)


def owned_files(settled: Settled) -> set[str]:
    """Return what packages own and stays."""
    owned = (path for path in settled.inventory.owners if path in settled.kept)
    return {path for path in owned if not settled.tree.leads_to_directory(path)}


def listed(inventory: Inventory, paths: AbstractSet[str]) -> list[ListedPaths]:
    """Fold ``paths`` by package and directory."""
    folded: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        owners = inventory.owners.get(path) or _makers(inventory, path)
        package = min(owners, default="")
        folded.setdefault((package, parent(path)), []).append(path.rpartition("/")[2])
    return [
        ListedPaths(package or None, directory, tuple(sorted(names)))
        for (package, directory), names in sorted(
            folded.items(), key=lambda item: (item[0][0], path_key(item[0][1]))
        )
    ]


def _makers(inventory: Inventory, path: str) -> set[str]:
    sources = inventory.derived.get(path, frozenset())
    owners = [inventory.owners.get(source, {source}) for source in sources]
    return {owner for group in owners for owner in group if not owner.startswith("/")}
