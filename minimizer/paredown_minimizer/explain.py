"""Why a plan keeps or removes something, from the plan alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from paredown_minimizer.closure import describe
from paredown_minimizer.image.model import is_below, parent
from paredown_minimizer.output import human_size, plural
from paredown_minimizer.review import PackageReview, review_plan
from paredown_minimizer.runs import PlanRuns
from paredown_minimizer.trim import trimmed_as
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Evidence, ListedPaths, Plan, Risk

_SHOWN = 10


def explain(plan: Plan, subject: str) -> list[str]:
    """Return the explanation of a path (it begins with a slash) or a package, in lines.

    Raises:
        ParedownError: the plan knows no such package.
    """
    if subject.startswith("/"):
        return list(_path(plan, "/" + "/".join(filter(None, subject.split("/")))))
    found = [
        review
        for reviews in review_plan(plan).packages.values()
        for review in reviews
        if subject in _names(review)
    ]
    if not found:
        raise ParedownError(
            f"cannot explain {escape_name(subject)}: the image has no such package",
            hint="a path begins with a slash",
        )
    return [line for review in found for line in _package(plan, review)]


def _names(review: PackageReview) -> tuple[str, str, str]:
    name = review.decision.name
    return review.key, name, f"{review.decision.manager}:{name}"


def _path(plan: Plan, path: str) -> Iterator[str]:
    path = _canonical(plan, path)
    name = escape_name(path)
    evidence = {record.path: record for record in plan.evidence}
    gone, owner = _find(plan.removed, path)
    if not gone:
        owned, owner = _find(plan.kept, path)
        yield f"{name} stays:" if owned or path in evidence else f"{name}: no package has it"
        if path in evidence:
            yield from _chain(plan, evidence[path])
        elif owner:
            yield from _chain(plan, Evidence(path, "owned", owner))
        else:
            yield "  if the image has it, it stays: with what it was made from, or the application"
        return
    reasons = [record.reason for record in plan.paths if record.path == path and record.reason]
    of = f", of {escape_name(owner)}," if owner else ""
    if reasons:
        yield f"{name} goes: {escape_name(reasons[0])}"
    elif kind := _trimmed_kind(plan, path, owner):
        yield f"{name}{of} goes: {kind}, which no program reads at run time"
    else:
        yield f"{name}{of} goes: nothing that was used leads to it"
        yield from _handed(plan, path, owner)
    yield from _named_by(risk for risk in plan.risks if risk.path == path)


def _trimmed_kind(plan: Plan, path: str, owner: str | None) -> str | None:
    owners = (package for package in plan.packages if package.key == owner)
    return trimmed_as(path, (trimmed.kind for package in owners for trimmed in package.trimmed))


def _handed(plan: Plan, path: str, owner: str | None) -> Iterator[str]:
    """Say that the policy handed something over, which stays otherwise."""
    reasons = [package.handed for package in plan.packages if package.key == owner]
    if owner is None:
        reasons = [
            group.handed
            for group in plan.unowned
            if parent(path) == group.directory or (group.whole and is_below(path, group.directory))
        ]
    yield from (f"  handed over by the policy: {escape_name(why)}" for why in reasons if why)


def _canonical(plan: Plan, path: str) -> str:
    """Return the name under which the plan has ``path``: /bin/sh is /usr/bin/sh on merged /usr."""
    targets = {link.path: link.target for link in plan.links}
    here = ""
    *directories, name = path.lstrip("/").split("/")
    for component in directories:
        step = f"{here}/{component}"
        here = targets.get(step, step).rstrip("/")
    return f"{here}/{name}"


def _package(plan: Plan, review: PackageReview) -> Iterator[str]:
    decision = review.decision
    key, version = escape_name(review.key), escape_name(decision.version)
    if decision.action == "remove":
        yield f"{key} {version} goes: nothing that was used leads to any of its files"
        if decision.handed:
            yield f"  handed over by the policy: {escape_name(decision.handed)}"
        yield from _named_by(risk for risk in plan.risks if risk.package == review.key)
        return
    if decision.action == "keep":
        yield f"{key} {version} stays whole ({decision.files} files)"
    else:
        files = f"{decision.kept_files} of {decision.files} files"
        yield f"{key} {version} is trimmed to {files}"
        for kind in decision.trimmed:
            count = f"{plural(kind.files, 'file')}, {human_size(kind.bytes)}"
            yield f"  without {escape_name(kind.kind)}: {count}"
    own = [record for record in plan.evidence if record.package == review.key]
    if review.strongest is None:
        default = "  nothing used it; language packages stay unless the policy hands them over"
        yield default if review.by_default else "  beside what stays"
        return
    runs = PlanRuns(plan)
    if phrase := runs.of(*own).phrase:
        yield f"  {phrase}"
    yield from _chain(plan, review.strongest)
    others = [record for record in own if record != review.strongest]
    for record in others[:_SHOWN]:
        yield f"  also {describe(record, runs.scenarios(record))}"
    if len(others) > _SHOWN:
        yield f"  and {len(others) - _SHOWN} more"


def _chain(plan: Plan, start: Evidence) -> Iterator[str]:
    """Follow what needs what up to where it begins; a package's chain goes on at what holds it."""
    evidence = {record.path: record for record in plan.evidence}
    runs = PlanRuns(plan)
    seen: set[str] = set()
    record: Evidence | None = start
    depth = 1
    while record is not None and record.path not in seen:
        seen.add(record.path)
        yield f"{'  ' * depth}{describe(record, runs.scenarios(record))}"
        depth += 1
        if record.kind == "owned" and record.by:
            record = _holder(evidence.values(), record.by, seen)
        else:
            record = evidence.get(record.by or "")


def _holder(evidence: Iterable[Evidence], package: str, seen: set[str]) -> Evidence | None:
    """Return what made a package stay whole; never what it holds itself."""
    held = (
        record
        for record in evidence
        if record.package == package and record.kind != "owned" and record.path not in seen
    )
    return next(held, None)


def _find(listed: Iterable[ListedPaths], path: str) -> tuple[bool, str | None]:
    owners = (record.package for record in listed if path in record.paths())
    owner = next(owners, "")
    return owner != "", owner or None


def _named_by(risks: Iterable[Risk]) -> Iterator[str]:
    named = list(risks)
    for risk in named[:_SHOWN]:
        yield f"  risk: {escape_name(risk.named_by)} names {escape_name(risk.path or '-')}"
    if len(named) > _SHOWN:
        yield f"  and {len(named) - _SHOWN} more names"
