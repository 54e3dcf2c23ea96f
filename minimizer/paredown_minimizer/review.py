"""What a reviewer needs of a plan: each package's decision with its reason, and the risks."""

from __future__ import annotations

import collections
import dataclasses
import typing
from collections.abc import Iterable, Mapping, Sequence

from paredown_minimizer.runs import PlanRuns, SeenIn
from paredown_schemas.plan import (
    Action,
    Evidence,
    Level,
    PackageDecision,
    PathDecision,
    Plan,
    Risk,
    RiskReason,
    UnownedGroup,
)

LEVELS: tuple[Level, ...] = typing.get_args(Level)  # the highest first
# What convinces most comes first: what was seen or ordered, then what follows from it.
STRENGTH = (
    "pinned",
    "root",
    "traced",
    "interpreter",
    "script",
    "linked",
    "rule",
    "symlink",
    "derived",
    "owned",
)


@dataclasses.dataclass(frozen=True, slots=True)
class RiskReview:
    """One thing that goes and may be missed, and everything that says so for the same reason."""

    level: Level
    package: str | None
    path: str | None
    reason: RiskReason
    named_by: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class PackageReview:
    """One package: the decision, its strongest evidence, and what else would have held it."""

    decision: PackageDecision
    strongest: Evidence | None
    evidence: int  # number of paths of it that evidence holds
    risks: Sequence[RiskReview]  # the highest first
    seen: SeenIn | None  # None: by no run

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
    # By risk, then the system's first, by name.
    packages: Mapping[Action, Sequence[PackageReview]]
    application: Sequence[LanguageReview]  # the language packages that stay as its own
    unowned: Sequence[UnownedGroup]  # the largest first
    paths: Sequence[PathDecision]
    risks: Sequence[RiskReview]  # the highest first


def review_plan(plan: Plan) -> Review:
    """Arrange ``plan`` for review."""
    held = _evidence_by_package(plan)
    risks = _fold(plan.risks)
    risky = collections.defaultdict(list)
    for risk in risks:
        risky[risk.package].append(risk)
    seen = PlanRuns(plan).packages
    packages: dict[Action, list[PackageReview]] = {"remove": [], "trim": [], "keep": []}
    for decision in sorted(plan.packages, key=lambda package: rank(package.risk)):
        own = held.get(decision.key, [])
        packages[decision.action].append(
            PackageReview(
                decision=decision,
                strongest=min(own, key=_convincing, default=None),
                evidence=len({evidence.path for evidence in own}),
                risks=risky.get(decision.key, ()),
                seen=seen.get(decision.key),
            )
        )
    application = _by_place(package for package in packages["keep"] if package.by_default)
    unowned = sorted(plan.unowned, key=lambda group: (-group.bytes, group.directory, group.whole))
    return Review(plan, packages, application, unowned, plan.paths, risks)


def rank(level: Level | None) -> int:
    """Return the place of a level: high comes first, and what has none last."""
    return len(LEVELS) if level is None else LEVELS.index(level)


def _fold(risks: Iterable[Risk]) -> list[RiskReview]:
    """Fold what names the same thing for the same reason into one, the highest first."""
    named: dict[tuple[Level, str | None, str | None, RiskReason], set[str]] = {}
    for risk in risks:
        key = (risk.level, risk.package, risk.path, risk.reason)
        named.setdefault(key, set()).add(risk.named_by)
    order = sorted(named, key=lambda key: (rank(key[0]), key[1] or "", key[2] or "", key[3]))
    return [RiskReview(*key, tuple(sorted(named[key]))) for key in order]


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
