"""From evidence to a plan: what of an image stays, what goes, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import paredown_schemas
from paredown_minimizer import planrecords, roots, traced, unowned
from paredown_minimizer.beforehand import find_beforehand
from paredown_minimizer.closure import BlockedError, Closure, Reach
from paredown_minimizer.contents import Contents
from paredown_minimizer.facts import Facts
from paredown_minimizer.fate import Fate
from paredown_minimizer.handed import hand_over
from paredown_minimizer.image.model import Image
from paredown_minimizer.leftout import leave_out
from paredown_minimizer.loader import Loader
from paredown_minimizer.needed import find_needs, find_unrecorded
from paredown_minimizer.osrelease import distribution
from paredown_minimizer.packages.base import PackageManager
from paredown_minimizer.packages.combined import NO_PACKAGES
from paredown_minimizer.pins import apply_pins, pin_records, refusal
from paredown_minimizer.planrecords import Settled
from paredown_minimizer.policy import Policy
from paredown_minimizer.policy import granularities as policy_granularities
from paredown_minimizer.profile import profile
from paredown_minimizer.rebase import rebase
from paredown_minimizer.risks import find_risks, with_levels
from paredown_minimizer.rulebook import Rulebook, load_rules
from paredown_minimizer.sessions import Sessions
from paredown_minimizer.surface.exposure import find_exposure
from paredown_minimizer.traces import in_order
from paredown_minimizer.trim import Granularities, Trim
from paredown_minimizer.yielding import Yielding, paths_unless_used, proofs
from paredown_schemas.plan import Granularity, Plan
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
    old: Plan | None = None,
) -> Decision:
    """Decide what of ``image`` stays, from what ``runs`` saw.

    Without a package manager everything counts as the application, and stays. Runs that are of
    ``old``'s image are rebased onto this one.

    Raises:
        ParedownError: the package database is malformed, or a pin removes what is used.
    """
    inventory = manager.read(image) if manager else NO_PACKAGES
    rebased = rebase(in_order(runs), old, image, inventory)
    runs = rebased.runs
    sessions = Sessions(runs)
    contents = Contents(image)
    facts = Facts(contents)
    loader = Loader(contents, facts.environment.get("LD_LIBRARY_PATH", ""))
    rulebook = Rulebook((*load_rules(), *policy.rules), facts, loader)
    rest = leave_out(policy, runs, image, sessions)
    seen = traced.traced_evidence(rest.runs, image, sessions)
    programs = [elf for each in seen if (elf := contents.elf(each.path))]
    pinned = apply_pins(policy, image.tree, inventory, rulebook, programs)
    blocked = pinned.removed
    yielding = Yielding(pinned.rules, paths_unless_used(policy, image.tree))
    handed = hand_over(policy, image.tree, inventory)
    granularities = Granularities(granularity, policy_granularities(policy, inventory))
    trim = Trim(facts)
    closure = Closure(
        contents, inventory, loader, rulebook, granularities, trim, set(blocked), yielding
    )
    fate = Fate(image.tree, inventory, closure, rulebook, set(blocked), handed)
    try:
        for evidence in seen:
            if evidence.path not in inventory.database and evidence.path not in inventory.catalogue:
                closure.hold(evidence.path, Reach.PRIMARY, evidence)
        for name, evidence in [*roots.roots(facts), *pinned.evidence.items()]:
            reach = Reach.ALONE if name in pinned.alone else Reach.PRIMARY
            closure.hold(name, reach, evidence)
        by_file = {key for key in inventory.packages if granularities.of(key) == "file"}
        for evidence in rebased.holds(image, inventory, by_file):
            closure.hold(evidence.path, Reach.OWNED, evidence)
        closure.hold_by_rules()
        closure.run()
    except BlockedError as error:
        raise refusal(error, blocked) from error
    fate.hold_application()
    kept = fate.settle()
    changes = manager.rewrite(image, inventory, kept - inventory.database) if manager else {}
    decided = {**yielding.reasons(kept), **blocked}
    settled = Settled(
        image, inventory, closure, granularities, trim, decided, handed, kept, changes
    )
    plan = _plan(settled, runs, rest.runs, sessions, contents)
    gave_way = tuple(yielding.told(kept))
    plan = dataclasses.replace(
        plan,
        pins=pin_records(policy, pinned, gave_way),
        gave_way=gave_way,
        unless_used=proofs(policy, image.tree, rest.runs, kept),
        left_out=rest.left_out,
        profile=profile(rest.runs, sessions, seen, image.tree, inventory),
        rebase=rebased.rebase,
        moved=rebased.moved,
    )
    return Decision(plan, kept, (*rest.warnings, *inventory.warnings, *contents.warnings))


def _plan(
    settled: Settled,
    runs: Sequence[Run],
    counted: Sequence[Run],
    sessions: Sessions,
    contents: Contents,
) -> Plan:
    image, inventory = settled.image, settled.inventory
    packages = planrecords.packages(settled)
    risks = find_risks(settled, contents, packages, counted)
    before, after = planrecords.totals(settled, packages)
    needs = find_needs(counted, contents)
    surface, exposed = find_exposure(contents, inventory, settled.kept, needs)
    return Plan(
        paredown=paredown_schemas.__version__,
        image=image.identity,
        platform=image.platform,
        granularity=settled.granularities.default,
        before=before,
        after=after,
        traces=traced.trace_inputs(runs, image),
        packages=with_levels(packages, risks),
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
        surface=surface,
        exposed=exposed,
        beforehand=find_beforehand(settled, packages),
        needs=needs,
        unrecorded=find_unrecorded(runs),
        distribution=distribution(contents),
    )
