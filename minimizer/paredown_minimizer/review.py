"""What a reviewer needs of a plan: each package's decision with its reason, and the risks."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from paredown_schemas.plan import (
    Action,
    Evidence,
    PackageDecision,
    PathDecision,
    Plan,
    Risk,
    UnownedGroup,
)

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
        return self.decision.key

    @property
    def by_default(self) -> bool:
        """Say whether it is a language's package that stays as the application's own."""
        return self.decision.location is not None and self.decision.handed is None

    @property
    def place(self) -> str:
        """Return the directory that a language's package was installed into."""
        location, name = self.decision.location or "/", self.decision.name
        if location.endswith(f"/{name}"):
            return location[: -len(name) - 1] or "/"
        above, _, last = location.rpartition("/")
        return above or "/" if last.startswith(name) else location


@dataclasses.dataclass(frozen=True, slots=True)
class LanguageReview:
    """The packages of one language in one place that stay as the application's own."""

    manager: str
    place: str
    packages: Sequence[PackageReview]

    @property
    def unused(self) -> list[PackageReview]:
        """Return those of which nothing was used, the largest first."""
        found = [package for package in self.packages if package.strongest is None]
        return sorted(found, key=lambda package: (-package.decision.bytes, package.key))


@dataclasses.dataclass(frozen=True, slots=True)
class Review:
    """A plan, arranged for reading; everything is sorted."""

    plan: Plan
    packages: Mapping[Action, Sequence[PackageReview]]  # the system's first
    application: Sequence[LanguageReview]  # the language packages that stay as its own
    unowned: Sequence[UnownedGroup]  # the largest first
    paths: Sequence[PathDecision]
    risks: Mapping[str | None, Sequence[Risk]]  # by package; None: nobody's


def review_plan(plan: Plan) -> Review:
    """Arrange ``plan`` for review."""
    held = _evidence_by_package(plan)
    risks = _by_package(plan.risks)
    packages: dict[Action, list[PackageReview]] = {"remove": [], "trim": [], "keep": []}
    for decision in plan.packages:
        key = decision.key
        own = held.get(key, [])
        packages[decision.action].append(
            PackageReview(
                decision=decision,
                strongest=min(own, key=_convincing, default=None),
                evidence=len({evidence.path for evidence in own}),
                named=len({risk.named_by for risk in risks.get(key, ())}),
            )
        )
    application = _by_place(package for package in packages["keep"] if package.by_default)
    unowned = sorted(plan.unowned, key=lambda group: (-group.bytes, group.directory, group.whole))
    return Review(plan, packages, application, unowned, plan.paths, risks)


def _by_place(packages: Iterable[PackageReview]) -> list[LanguageReview]:
    """Fold packages by place; what lies within another's place, as npm nests, counts there."""
    folded: dict[tuple[str, str], list[PackageReview]] = {}
    last = ("", "")
    for package in sorted(packages, key=lambda p: (p.decision.manager, p.place.split("/"), p.key)):
        place = (package.decision.manager, package.place)
        if last[0] != place[0] or not f"{place[1]}/".startswith(f"{last[1]}/"):
            last = place
        folded.setdefault(last, []).append(package)
    return [LanguageReview(*place, found) for place, found in folded.items()]


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
