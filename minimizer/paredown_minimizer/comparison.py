"""What changed between two plans: of the same image, or of two releases of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from paredown_minimizer.review import PackageReview, Review
from paredown_schemas.plan import PackageDecision, Plan, TraceInput

Change = Literal[
    "goes",  # it stayed, whole or in part
    "returns",  # it went
    "less",  # less of it stays
    "more",
    "added",  # the other image does not have it
    "dropped",  # this image does not have it
    "version",
    "evidence",  # something else holds it now
]
# Of these records a plan has a list that a reader compares; each is what it says.
RECORDS = (
    "paths",
    "pins",
    "gave_way",
    "unless_used",
    "left_out",
    "exposed",
    "needs",
    "unrecorded",
)


@dataclasses.dataclass(frozen=True, slots=True)
class PackageChange:
    """What became of one package."""

    change: Change
    old: PackageReview | None
    new: PackageReview | None

    @property
    def shown(self) -> PackageReview:
        """Return it as it is now, or was at last."""
        package = self.new or self.old
        if package is None:
            raise AssertionError
        return package


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """What only the new plan has, and what only the old one had."""

    new: Sequence[Any]
    gone: Sequence[Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """Two plans, and what changed; everything is sorted."""

    old: Review
    new: Review
    settings: Sequence[tuple[str, str, str]]  # what, was, is
    traces: Difference
    packages: Sequence[PackageChange]
    risks: Difference  # of RiskReview; whose level changed is in both
    records: Mapping[str, Difference]  # by the plan's field
    goes: Sequence[str]  # paths that stayed and go now
    returns: Sequence[str]


def compare(old: Review, new: Review) -> Comparison:
    """Compare two plans by package, by record and by path."""
    risks = [
        {(each.level, each.package, each.path, each.reason): each for each in review.risks}
        for review in (old, new)
    ]
    return Comparison(
        old=old,
        new=new,
        settings=list(_settings(old.plan, new.plan)),
        traces=_difference(_runs(old.plan), _runs(new.plan)),
        packages=sorted(_packages(old, new), key=lambda change: change.shown.key),
        risks=_difference(*risks),
        records={name: _difference(*_records(old.plan, new.plan, name)) for name in RECORDS},
        goes=sorted(_newly_gone(old.plan, new.plan)),
        returns=sorted(_newly_gone(new.plan, old.plan)),
    )


def _settings(old: Plan, new: Plan) -> Iterator[tuple[str, str, str]]:
    for name in ("image", "platform", "granularity", "paredown"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            yield name, was, now


def _runs(plan: Plan) -> Mapping[str, TraceInput]:
    return {trace.run: trace for trace in plan.traces}


def _records(old: Plan, new: Plan, name: str) -> Iterator[Mapping[Any, Any]]:
    for plan in (old, new):
        yield {record: record for record in getattr(plan, name)}


def _difference(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> Difference:
    return Difference(
        [each for key, each in new.items() if key not in old],
        [each for key, each in old.items() if key not in new],
    )


def _packages(old: Review, new: Review) -> Iterator[PackageChange]:
    for was, now in _pairs(old, new):
        if change := _change(was, now):
            yield PackageChange(change, was, now)


def _pairs(old: Review, new: Review) -> Iterator[tuple[PackageReview | None, PackageReview | None]]:
    """Match packages by key; and by name, where the key has a version in its place, as a gem's."""
    was, now = ({package.key: package for package in _all(review)} for review in (old, new))
    names = [_by_name(mine.values(), other) for mine, other in ((was, now), (now, was))]
    moved = {names[0][name].key: names[1][name].key for name in names[0].keys() & names[1].keys()}
    for key, package in was.items():
        yield package, now.pop(moved.get(key, key), None)
    yield from ((None, package) for package in now.values())


def _all(review: Review) -> Iterator[PackageReview]:
    return (package for packages in review.packages.values() for package in packages)


def _by_name(
    packages: Iterable[PackageReview], other: Mapping[str, object]
) -> dict[tuple[str, str], PackageReview]:
    """Return those that the other image lacks under their key, where the name is of one alone."""
    found: dict[tuple[str, str], list[PackageReview]] = {}
    for package in packages:
        if package.decision.location is not None and package.key not in other:
            name = package.decision.manager, package.decision.name
            found.setdefault(name, []).append(package)
    return {name: alone[0] for name, alone in found.items() if len(alone) == 1}


def _change(old: PackageReview | None, new: PackageReview | None) -> Change | None:
    if old is None or new is None:
        return "added" if old is None else "dropped"
    was, now = old.decision, new.decision
    if "remove" in (was.action, now.action) and was.action != now.action:
        return "goes" if now.action == "remove" else "returns"
    if extent := _extent(was, now):
        return extent
    if was.version != now.version:
        return "version"
    return "evidence" if _holds(old) != _holds(new) else None


def _extent(was: PackageDecision, now: PackageDecision) -> Change | None:
    """Say whether less or more of a package stays; another version has other files anyway."""
    if was.action != now.action:
        return "less" if now.action == "trim" else "more"
    if was.version == now.version and was.kept_files != now.kept_files:
        return "less" if now.kept_files < was.kept_files else "more"
    return None


def _holds(package: PackageReview) -> tuple[str, ...] | None:
    evidence = package.strongest
    if evidence is None:
        return None
    return evidence.kind, evidence.path, evidence.by or "", evidence.detail or ""


def _newly_gone(old: Plan, new: Plan) -> set[str]:
    """Return which paths go in ``new`` and stayed in ``old``.

    What no package owns is listed only where it goes, so that what a release brought and removes at
    once counts too.
    """
    kept = {path for listed in old.kept for path in listed.paths()}
    gone = {path for listed in old.removed for path in listed.paths()}
    return {
        path
        for listed in new.removed
        for path in listed.paths()
        if path in kept or (listed.package is None and path not in gone)
    }
