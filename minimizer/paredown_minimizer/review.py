"""What a reviewer needs of a plan: each package's decision with its reason, and the risks."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from paredown_schemas.plan import Action, Evidence, PackageDecision, PathDecision, Plan, Risk

# What convinces most comes first: what was seen or ordered, then what follows from it.
STRENGTH = (
    "pinned",
    "root",
    "traced",
    "interpreter",
    "linked",
    "rule",
    "symlink",
    "derived",
    "owned",
)


@dataclasses.dataclass(frozen=True, slots=True)
class PackageReview:
    """One package: the decision, its strongest evidence, and what else would have held it."""

    decision: PackageDecision
    strongest: Evidence | None
    evidence: int  # number of paths of it that evidence holds
    named: int  # number of kept files that name something of it that goes

    @property
    def key(self) -> str:
        """Return the package's key."""
        return f"{self.decision.name}:{self.decision.architecture}"


@dataclasses.dataclass(frozen=True, slots=True)
class Review:
    """A plan, arranged for reading; everything is sorted."""

    plan: Plan
    packages: Mapping[Action, Sequence[PackageReview]]
    paths: Sequence[PathDecision]
    risks: Mapping[str | None, Sequence[Risk]]  # by package; None: nobody's


def review_plan(plan: Plan) -> Review:
    """Arrange ``plan`` for review."""
    held = _evidence_by_package(plan)
    risks = _by_package(plan.risks)
    packages: dict[Action, list[PackageReview]] = {"remove": [], "trim": [], "keep": []}
    for decision in sorted(plan.packages):
        key = f"{decision.name}:{decision.architecture}"
        own = held.get(key, [])
        packages[decision.action].append(
            PackageReview(
                decision=decision,
                strongest=min(own, key=_convincing, default=None),
                evidence=len({evidence.path for evidence in own}),
                named=len({risk.named_by for risk in risks.get(key, ())}),
            )
        )
    return Review(plan, packages, plan.paths, risks)


def _evidence_by_package(plan: Plan) -> dict[str, list[Evidence]]:
    held: dict[str, list[Evidence]] = collections.defaultdict(list)
    for evidence in plan.evidence:
        if evidence.package is not None:
            held[evidence.package].append(evidence)
    return held


def _by_package(risks: Sequence[Risk]) -> dict[str | None, list[Risk]]:
    grouped: dict[str | None, list[Risk]] = {}
    for risk in sorted(risks, key=lambda risk: (risk.package or "", risk.path, risk.named_by)):
        grouped.setdefault(risk.package, []).append(risk)
    return grouped


def _convincing(evidence: Evidence) -> tuple[int, int, str, str, str]:
    # Of several traced paths one that was executed says the most, a directory the least.
    if {"exec", "script", "interpreter"} & set(evidence.how):
        use = 0
    elif evidence.how == ("directory",):
        use = 3
    else:
        use = 1 if evidence.exes else 2
    order = STRENGTH.index(evidence.kind), use, evidence.path
    return *order, evidence.by or "", evidence.detail or ""
