"""Which of a plan's runs saw what: a path's scenarios, in how many runs a package was seen."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Mapping

from paredown_schemas.plan import Evidence, Plan, TraceSession
from paredown_schemas.ranges import unfold


@dataclasses.dataclass(frozen=True, slots=True)
class SeenIn:
    """The runs, by their numbers in the plan, that used something, of ``total``."""

    runs: frozenset[int]
    total: int

    @property
    def new(self) -> bool:
        """Say whether only the last run, of several, used it."""
        return self.total > 1 and self.runs == {self.total - 1}

    @property
    def phrase(self) -> str:
        """Return it in words: ``seen in 3 of 5 runs``; empty if no run, or the only one, did."""
        if not self.runs or self.total == 1:
            return ""
        seen = f"seen in {len(self.runs):,} of {self.total:,} runs"
        return f"{seen}, new in the last run" if self.new else seen


class PlanRuns:
    """What a plan's evidence says of its runs."""

    def __init__(self, plan: Plan) -> None:
        """Look at ``plan``; its traces are in the order of their start."""
        self._plan = plan
        self._seen: dict[str, tuple[TraceSession, ...]] = {}  # many paths have the same

    def sessions(self, evidence: Evidence) -> tuple[TraceSession, ...]:
        """Return the sessions that used a traced path, by run; none of other evidence."""
        seen = evidence.seen or ""
        if seen not in self._seen:
            sessions = self._plan.sessions
            self._seen[seen] = tuple(sessions[n] for n in sorted(unfold(seen, len(sessions))))
        return self._seen[seen]

    def scenarios(self, evidence: Evidence) -> tuple[str, ...]:
        """Return the names of the scenarios in which a path was used, sorted."""
        traces = self._plan.traces
        names = {traces[s.run].scenario for s in self.sessions(evidence) if s.run < len(traces)}
        return tuple(sorted(filter(None, names)))

    def of(self, *evidence: Evidence) -> SeenIn:
        """Return the runs that used any of the paths."""
        runs = frozenset(session.run for each in evidence for session in self.sessions(each))
        return SeenIn(runs, len(self._plan.traces))

    @functools.cached_property
    def packages(self) -> Mapping[str, SeenIn]:
        """Return the runs that used anything of each package, by key; what none used is missing."""
        held: dict[str, list[Evidence]] = collections.defaultdict(list)
        for evidence in self._plan.evidence:
            if evidence.package is not None and evidence.seen:
                held[evidence.package].append(evidence)
        return {package: self.of(*evidence) for package, evidence in held.items()}
