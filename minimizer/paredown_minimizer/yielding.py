"""What gives way to the policy: rules that a pin removes, and programs that go unless used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Tree
from paredown_minimizer.policy import Policy, UnlessUsed
from paredown_minimizer.surface.members import members
from paredown_schemas import plan
from paredown_schemas.plan import Evidence, GaveWay
from paredown_schemas.trace import STARTED, Run


class Yielding:
    """Says of evidence whether the policy lets it hold nothing; tells what it would.

    A program that goes unless used is held by what is primary and what follows from that: traced,
    root, pinned, the interpreter or a command of a script that is started, linked. A rule, and a
    package or an application that stays whole, do not hold it.
    """

    def __init__(self, rules: Mapping[str, str], unless_used: Mapping[str, str]) -> None:
        """Each with the policy's reason: ``rules`` that do not fire; paths that go unless used."""
        self._rules = rules
        self._unless_used = unless_used
        self._told: dict[tuple[str, str], GaveWay] = {}

    def gives_way(self, evidence: Evidence, is_firm: Callable[[], bool]) -> bool:
        """Say whether ``evidence`` holds nothing, the policy having decided so.

        ``is_firm`` says whether it is primary, or what something that stays is linked with.
        """
        rule = evidence.detail or "" if evidence.kind == "rule" else ""
        reason = self._rules.get(rule)
        if reason is None and evidence.path in self._unless_used and (rule or not is_firm()):
            reason = self._unless_used[evidence.path]
        if reason is None:
            return False
        if rule:
            told = GaveWay(evidence.path, rule, evidence.by, reason)
            self._told.setdefault((told.path, told.rule), told)
        return True

    def told(self, kept: AbstractSet[str]) -> Iterator[GaveWay]:
        """Yield what rules would have held and goes, sorted."""
        yield from (each for _, each in sorted(self._told.items()) if each.path not in kept)

    def reasons(self, kept: AbstractSet[str]) -> dict[str, str]:
        """Return what nothing was seen to use, and goes, with the reason."""
        return {path: why for path, why in self._unless_used.items() if path not in kept}


def paths_unless_used(policy: Policy, tree: Tree) -> dict[str, str]:
    """Return the paths that go unless something is seen to use them, with the reason."""
    found: dict[str, str] = {}
    for entry in policy.unless_used:
        found = {**dict.fromkeys(members(entry.what, tree), entry.reason), **found}
    return found


def proofs(
    policy: Policy, tree: Tree, runs: Sequence[Run], kept: AbstractSet[str]
) -> tuple[plan.UnlessUsed, ...]:
    """Return for each kind what of it goes and stays, and what the runs started."""
    if not policy.unless_used:  # nobody asks, and many runs are long to look through
        return ()
    started = [file.path for run in runs for file in run.files() if file.how in STARTED]
    records = (_proof(entry, tree, started, len(runs), kept) for entry in policy.unless_used)
    return tuple(sorted(records))


def _proof(
    entry: UnlessUsed, tree: Tree, started: Sequence[str], runs: int, kept: AbstractSet[str]
) -> plan.UnlessUsed:
    paths = members(entry.what, tree)
    return plan.UnlessUsed(
        what=entry.what,
        reason=entry.reason,
        execs=len(started),
        runs=runs,
        used=sum(path in paths for path in started),
        gone=tuple(path for path in paths if path not in kept),
        stays=tuple(path for path in paths if path in kept),
    )
