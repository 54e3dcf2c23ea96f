"""A plan's evidence as a graph: what holds a path, and what a path holds."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from paredown_minimizer.closure import describe
from paredown_minimizer.runs import PlanRuns
from paredown_schemas.plan import Evidence, PackageDecision, Plan


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """What stays because of something: packages, the largest first, and paths of no package.

    The plan records one reason a path; ``alone`` are the packages whose every reason it is.
    """

    alone: Sequence[PackageDecision]
    shared: Sequence[PackageDecision]
    paths: Sequence[str]


class Chains:
    """The evidence of one plan, by what it is of and by what it comes from."""

    def __init__(self, plan: Plan) -> None:
        """Index the evidence of ``plan``."""
        self.plan = plan
        self.runs = PlanRuns(plan)
        self.evidence = {record.path: record for record in plan.evidence}
        self.by: dict[str, list[Evidence]] = collections.defaultdict(list)
        self.of: dict[str, list[Evidence]] = collections.defaultdict(list)
        for record in plan.evidence:
            if record.by:
                self.by[record.by].append(record)
            if record.package:
                self.of[record.package].append(record)

    def up(self, start: Evidence) -> Iterator[str]:
        """Yield what needs what up to where it begins, a line each, each deeper than the last."""
        seen: set[str] = set()
        record: Evidence | None = start
        while record is not None and record.path not in seen:
            seen.add(record.path)
            yield f"{'  ' * len(seen)}{self.describe(record)}"
            if record.kind == "owned" and record.by:
                record = self._holder(record.by, seen)
            else:
                record = self.evidence.get(record.by or "")

    def describe(self, record: Evidence) -> str:
        """Return one piece of evidence, with the scenarios of a traced path."""
        return describe(record, self.runs.scenarios(record))

    def _holder(self, package: str, seen: Iterable[str]) -> Evidence | None:
        """Return what made a package stay whole; never what it holds itself."""
        held = (r for r in self.of[package] if r.kind != "owned" and r.path not in seen)
        return next(held, None)

    def down(self, paths: Iterable[str], but: str | None = None) -> Held:
        """Return what stays because of ``paths``, the package ``but`` left out."""
        start = set(paths)
        found = set(start)
        waiting = list(start)
        while waiting:
            for record in self._next(waiting.pop()):
                if record.path not in found:
                    found.add(record.path)
                    waiting.append(record.path)
        owners = {self.evidence[path].package for path in found & self.evidence.keys()}
        packages = sorted(
            (p for p in self.plan.packages if p.key in owners and p.key != but and p.kept_files),
            key=lambda package: (-package.kept_bytes, package.key),
        )
        alone = [package for package in packages if self._only(package.key, found)]
        return Held(
            alone,
            [package for package in packages if package not in alone],
            sorted(p for p in found - start if self.evidence[p].package is None),
        )

    def _next(self, path: str) -> Iterator[Evidence]:
        yield from self.by[path]
        record = self.evidence.get(path)
        # A package stays whole because of what is used of it, not because of its own files.
        if record is not None and record.package and record.kind != "owned":
            yield from self.by[record.package]

    def _only(self, package: str, found: set[str]) -> bool:
        return all(record.path in found for record in self.of[package] if record.kind != "owned")
