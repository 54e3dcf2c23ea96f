"""From evidence to a plan: what of an image stays, what goes, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import paredown_schemas
from paredown_minimizer import planrecords, roots, traced, unowned
from paredown_minimizer.closure import BlockedError, Closure, Reach, describe
from paredown_minimizer.contents import Contents
from paredown_minimizer.facts import Facts
from paredown_minimizer.fate import Fate
from paredown_minimizer.handed import hand_over
from paredown_minimizer.image.model import Image, Tree
from paredown_minimizer.loader import Loader
from paredown_minimizer.packages.base import Inventory, PackageManager
from paredown_minimizer.packages.combined import NO_PACKAGES
from paredown_minimizer.planrecords import Settled
from paredown_minimizer.policy import Policy
from paredown_minimizer.risk import find_risks
from paredown_minimizer.rulebook import Rulebook, load_rules
from paredown_minimizer.sessions import Sessions
from paredown_minimizer.traces import in_order
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Evidence, Granularity, Plan, Risk
from paredown_schemas.trace import Run


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
    runs = in_order(runs)
    sessions = Sessions(runs)
    inventory = manager.read(image) if manager else NO_PACKAGES
    contents = Contents(image)
    facts = Facts(contents)
    loader = Loader(contents, facts.environment.get("LD_LIBRARY_PATH", ""))
    rulebook = Rulebook(load_rules(), facts, loader)
    pinned, blocked = _pins(policy, image.tree, inventory)
    handed = hand_over(policy, image.tree, inventory)
    whole = granularity == "package"
    closure = Closure(contents, inventory, loader, rulebook, whole=whole, blocked=set(blocked))
    fate = Fate(image.tree, inventory, closure, rulebook, set(blocked), handed)
    try:
        for evidence in traced.traced_evidence(runs, image, sessions):
            if evidence.path not in inventory.database and evidence.path not in inventory.catalogue:
                closure.hold(evidence.path, Reach.PRIMARY, evidence)
        for name, evidence in [*roots.roots(facts), *pinned.items()]:
            closure.hold(name, Reach.PRIMARY, evidence)
        closure.hold_by_rules()
        closure.run()
    except BlockedError as error:
        raise _refused(error, blocked) from error
    fate.hold_application()
    kept = fate.settle()
    changes = manager.rewrite(image, inventory, kept - inventory.database) if manager else {}
    settled = Settled(image, inventory, closure, granularity, blocked, handed, kept, changes)
    risks = find_risks(contents, inventory, _primary(closure), settled.removed)
    plan = _plan(settled, runs, sessions, risks)
    return Decision(plan, kept, (*inventory.warnings, *contents.warnings))


def _primary(closure: Closure) -> dict[str, Evidence]:
    return {p: e for p, e in closure.evidence.items() if closure.reach[p] == Reach.PRIMARY}


def _plan(
    settled: Settled, runs: Sequence[Run], sessions: Sessions, risks: tuple[Risk, ...]
) -> Plan:
    image, inventory = settled.image, settled.inventory
    packages = planrecords.packages(settled)
    before, after = planrecords.totals(settled, packages)
    return Plan(
        paredown=paredown_schemas.__version__,
        image=image.identity,
        platform=image.platform,
        granularity=settled.granularity,
        before=before,
        after=after,
        traces=traced.trace_inputs(runs),
        packages=tuple(packages),
        paths=tuple(planrecords.paths(settled)),
        unowned=tuple(unowned.groups(settled)),
        layers=tuple(unowned.layers(image)),
        evidence=tuple(planrecords.evidence(settled)),
        risks=risks,
        links=tuple(planrecords.directory_links(image.tree)),
        kept=tuple(planrecords.listed(inventory, planrecords.owned_files(settled))),
        removed=tuple(planrecords.listed(inventory, settled.removed)),
        catalogue=tuple(planrecords.listed(inventory, settled.removed & inventory.catalogue)),
        sessions=sessions.all,
    )


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
