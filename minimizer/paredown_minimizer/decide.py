"""From evidence to a plan: what of an image stays, what goes, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import paredown_schemas
from paredown_minimizer import roots, traced
from paredown_minimizer.closure import BlockedError, Closure, Reach, describe
from paredown_minimizer.contents import Contents
from paredown_minimizer.facts import Facts
from paredown_minimizer.fate import Fate
from paredown_minimizer.image.model import Image, Tree, parent, path_key
from paredown_minimizer.loader import Loader
from paredown_minimizer.packages.base import Inventory, Package, PackageManager
from paredown_minimizer.packages.ownership import packages_left
from paredown_minimizer.policy import Policy
from paredown_minimizer.risk import find_risks
from paredown_minimizer.rulebook import Rulebook, load_rules
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import (
    Action,
    DirectoryLink,
    Evidence,
    Granularity,
    ListedPaths,
    PackageDecision,
    PathDecision,
    Plan,
    Totals,
)
from paredown_schemas.trace import Run

NO_PACKAGES = Inventory({}, {}, {}, {}, frozenset(), {})


@dataclasses.dataclass(frozen=True)
class Decision:
    """A plan, what it leaves, and what its maker should know about how it came about."""

    plan: Plan
    kept: AbstractSet[str]
    warnings: tuple[str, ...]


def decide(
    image: Image,
    manager: PackageManager | None,
    runs: Sequence[Run],
    policy: Policy,
    granularity: Granularity,
) -> Decision:
    """Decide what of ``image`` stays, from what ``runs`` saw.

    Without a package manager everything counts as the application, and stays.

    Raises:
        ParedownError: the package database is malformed, or a pin removes what is used.
    """
    inventory = manager.read(image) if manager else NO_PACKAGES
    contents = Contents(image)
    facts = Facts(contents)
    loader = Loader(contents, facts.environment.get("LD_LIBRARY_PATH", ""))
    rulebook = Rulebook(load_rules(), facts, loader)
    pinned, blocked = _pins(policy, image.tree, inventory)
    whole = granularity == "package"
    closure = Closure(contents, inventory, loader, rulebook, whole=whole, blocked=set(blocked))
    fate = Fate(image.tree, inventory, closure, rulebook, set(blocked))
    try:
        for evidence in traced.traced_evidence(runs, image):
            if evidence.path not in inventory.database:
                closure.hold(evidence.path, Reach.PRIMARY, evidence)
        for name, evidence in [*roots.roots(facts), *pinned.items()]:
            closure.hold(name, Reach.PRIMARY, evidence)
        closure.hold_by_rules()
        closure.run()
    except BlockedError as error:
        raise _refused(error, blocked) from error
    fate.hold_unowned()
    kept = fate.settle()
    removed = image.tree.keys() - kept
    changes = manager.rewrite(image, inventory, kept - inventory.database) if manager else {}
    primary = {p: e for p, e in closure.evidence.items() if closure.reach[p] == Reach.PRIMARY}
    left = packages_left(image.tree, inventory, kept - inventory.database)
    packages = [
        _package(package, inventory, image.tree, kept, left)
        for key, package in sorted(inventory.packages.items())
    ]
    plan = Plan(
        paredown=paredown_schemas.__version__,
        image=image.identity,
        platform=image.platform,
        granularity=granularity,
        before=_totals(image.tree, image.tree.keys(), {}, len(packages)),
        after=_totals(image.tree, kept, changes, sum(p.action != "remove" for p in packages)),
        traces=traced.trace_inputs(runs),
        packages=tuple(packages),
        paths=tuple(
            sorted(
                _paths_that_go(image.tree, inventory, closure, removed, blocked)
                + _paths_that_stay(image.tree, inventory, closure, kept),
                key=lambda decision: decision.path,
            )
        ),
        evidence=tuple(_evidence(inventory, closure, kept)),
        risks=find_risks(contents, inventory, primary, removed),
        links=tuple(_directory_links(image.tree)),
        kept=tuple(_listed(inventory, _owned_files(image.tree, inventory, kept))),
        removed=tuple(_listed(inventory, removed)),
    )
    return Decision(plan, kept, tuple(contents.warnings))


def _pins(
    policy: Policy, tree: Tree, inventory: Inventory
) -> tuple[dict[str, Evidence], dict[str, str]]:
    """Return the evidence of what pins keep, and the reasons of what pins remove."""
    pinned: dict[str, Evidence] = {}
    blocked: dict[str, str] = {}
    for pin in policy.pins:
        paths = set(pin.paths(tree, inventory)) - inventory.database
        if not paths:
            raise ParedownError(
                f"cannot apply pin {escape_name(pin.target)}: the image has nothing of that name"
            )
        for path in sorted(paths):
            if pin.action == "keep":
                pinned.setdefault(path, Evidence("", "pinned", None, pin.reason))
            else:
                blocked.setdefault(tree.canonical(path), pin.reason)
    for path in pinned:
        blocked.pop(tree.canonical(path), None)
    return pinned, blocked


def _refused(error: BlockedError, blocked: Mapping[str, str]) -> ParedownError:
    first = error.chain[0]
    reason = escape_name(blocked[first.path])
    return ParedownError(
        f"cannot remove {escape_name(first.path)} as the policy asks ({reason}): it is used: "
        + " <- ".join(describe(evidence) for evidence in error.chain),
        hint="drop the pin, or record again without what uses it",
    )


def _package(
    package: Package,
    inventory: Inventory,
    tree: Tree,
    kept: AbstractSet[str],
    packages: AbstractSet[str],
) -> PackageDecision:
    owned = inventory.owned[package.key]
    # As for the package's own database: links to directories, such as /lib, are shared by many.
    files = [path for path in owned if not tree.leads_to_directory(path)]
    left = [path for path in files if path in kept]
    whole: Action = "keep" if len(left) == len(files) else "trim"
    action = whole if package.key in packages else "remove"
    return PackageDecision(
        name=package.name,
        architecture=package.architecture,
        version=package.version,
        manager=package.manager,
        action=action,
        files=len(files),
        bytes=_bytes(tree, files, {}),
        kept_files=len(left),
        kept_bytes=_bytes(tree, left, {}),
    )


def _totals(
    tree: Tree, paths: Iterable[str], changes: Mapping[str, bytes | None], packages: int
) -> Totals:
    files = [
        path
        for path in paths
        if tree[path].type != "directory" and changes.get(path, b"") is not None
    ]
    return Totals(packages=packages, files=len(files), bytes=_bytes(tree, files, changes))


def _bytes(tree: Tree, paths: Iterable[str], changes: Mapping[str, bytes | None]) -> int:
    total = 0
    groups: set[int] = set()
    for path in paths:
        entry = tree[path]
        if entry.hardlinks is None or entry.hardlinks not in groups:
            change = changes.get(path)
            total += entry.size if change is None else len(change)
        if entry.hardlinks is not None:
            groups.add(entry.hardlinks)
    return total


def _paths_that_go(
    tree: Tree,
    inventory: Inventory,
    closure: Closure,
    removed: AbstractSet[str],
    blocked: Mapping[str, str],
) -> list[PathDecision]:
    """Return what goes of packages that stay whole, and of what no package lists."""
    decisions = []
    for path in sorted(removed):
        owners = inventory.owners.get(path, frozenset())
        whole = min(owners & closure.whole_packages, default=None)
        if (
            (whole or not owners)
            and path not in inventory.derived
            and not tree.leads_to_directory(path)
        ):
            reason = blocked.get(path, "its target goes")
            decisions.append(PathDecision(path, "remove", whole, reason))
    return decisions


def _paths_that_stay(
    tree: Tree, inventory: Inventory, closure: Closure, kept: AbstractSet[str]
) -> list[PathDecision]:
    """Return what stays of packages that go otherwise, where packages go or stay as a whole."""
    if not closure.whole_packages:
        return []
    alone = sorted(path for path, reach in closure.reach.items() if reach == Reach.ALONE)
    return [
        PathDecision(path, "keep", min(owners), closure.evidence[path].detail)
        for path in alone
        if (owners := inventory.owners.get(path, frozenset()))
        and owners.isdisjoint(closure.whole_packages)
        and path in kept
        and not tree.leads_to_directory(path)
    ]


def _evidence(inventory: Inventory, closure: Closure, kept: AbstractSet[str]) -> list[Evidence]:
    """The primary closure, and what else holds a package; what is merely owned is implied."""
    chosen: dict[str, Evidence] = {}
    for path, evidence in closure.evidence.items():
        reach = closure.reach[path]
        implied = reach != Reach.PRIMARY and (
            evidence.kind in ("owned", "derived") or _shares_fate(inventory, path, evidence.by)
        )
        if not implied and path in kept:
            chosen.update((link.path, link) for link in closure.chain(path))
    return [
        dataclasses.replace(e, package=min(inventory.owners.get(path, ()), default=None))
        for path, e in sorted(chosen.items())
    ]


def _shares_fate(inventory: Inventory, path: str, by: str | None) -> bool:
    """Say whether every package of ``path`` has ``by`` too: the link between them holds nothing."""
    owners = inventory.owners.get(path, frozenset())
    return bool(owners) and owners <= inventory.owners.get(by or "", frozenset())


def _directory_links(tree: Tree) -> list[DirectoryLink]:
    links = []
    for path, entry in tree.items():
        if entry.type == "symlink" and tree.leads_to_directory(path):
            resolved = tree.resolve(path)
            links += [DirectoryLink(path, resolved.path)] if resolved else []
    return sorted(links)


def _owned_files(tree: Tree, inventory: Inventory, kept: AbstractSet[str]) -> set[str]:
    return {p for p in inventory.owners if p in kept and not tree.leads_to_directory(p)}


def _listed(inventory: Inventory, paths: AbstractSet[str]) -> list[ListedPaths]:
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
