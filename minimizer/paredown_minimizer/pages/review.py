"""The page of one plan: what goes, why it is safe, what is risky, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer import rebase
from paredown_minimizer.output import human_size, percent_gone, plural
from paredown_minimizer.pages import Column, Page, Row, Section, lean
from paredown_minimizer.pages.packages import (
    application,
    files,
    levels,
    packages,
    paths,
    risks,
    unowned,
)
from paredown_minimizer.pages.policy import left_out, pins, unless_used, ways_given
from paredown_minimizer.pages.rebase import moved, new_packages
from paredown_minimizer.pages.surface import exposed, needs, surface, unrecorded
from paredown_minimizer.profile import sentence
from paredown_minimizer.review import Review
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan

_RUNS = 5
MAP = Section("map", "Bytes that go and stay", picture="map")
CURVE = Section("curve", "Paths known over time", picture="curve")


def review_page(review: Review) -> Page:
    """Return the page of a plan."""
    plan = review.plan
    sections = [
        risks(review),
        MAP,
        CURVE,
        moved(plan),
        new_packages(plan),
        *packages(review),
        application(review),
        unowned(review),
        paths(review),
        pins(plan),
        ways_given(plan),
        unless_used(plan),
        left_out(plan),
        surface(plan),
        exposed(plan),
        needs(plan),
        unrecorded(plan),
        files(plan),
    ]
    return Page(
        title=_title(plan),
        facts=[*_facts(plan), ("profile", sentence(plan)), ("risks", levels(review.risks))],
        totals=totals(plan),
        sections=lean(sections),
    )


def _title(plan: Plan) -> str:
    before, after = plan.before, plan.after
    go = f"{before.packages - after.packages:,} of {plural(before.packages, 'package')}"
    return (
        f"Paredown removes {go}, and {percent_gone(before.bytes, after.bytes)} "
        f"of {human_size(before.bytes)}"
    )


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    yield "image", f"{escape_name(plan.image)}, {escape_name(plan.platform)}"
    yield "plan", f"{plan.id}, granularity {plan.granularity}"
    if plan.rebase:
        yield "rebased", rebase.sentence(plan.rebase)
    for trace in plan.traces[:_RUNS]:
        files = f"{escape_name(trace.scenario or trace.run)}: {plural(trace.files, 'path')}"
        reasons = ": " + escape_name("; ".join(trace.reasons)) if trace.reasons else ""
        yield "trace", f"{files}, {trace.verdict}{reasons}"
    if len(plan.traces) > _RUNS:
        yield "traces", f"and {len(plan.traces) - _RUNS:,} more"


def totals(plan: Plan) -> Section:
    """Return how much there was, is and went: bytes, packages, files."""
    before, after = plan.before, plan.after
    sizes = human_size(before.bytes), human_size(after.bytes)
    rows = [
        ("size", *sizes, percent_gone(before.bytes, after.bytes)),
        *_package_rows(plan),
        _counts("files", before.files, after.files),
    ]
    columns = (Column(""), *(Column(title, "number") for title in ("before", "after", "gone")))
    return Section("totals", "", columns, [Row(cells) for cells in rows], headed=True)


def _package_rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    """Yield a row for the packages of each manager."""
    managers = dict.fromkeys(decision.manager for decision in plan.packages)
    if len(managers) < 2:
        yield _counts("packages", plan.before.packages, plan.after.packages)
        return
    for manager in managers:
        actions = [decision.action for decision in plan.packages if decision.manager == manager]
        left = sum(action != "remove" for action in actions)
        yield _counts(f"{escape_name(manager)} packages", len(actions), left)


def _counts(what: str, before: int, after: int) -> tuple[str, ...]:
    return what, f"{before:,}", f"{after:,}", percent_gone(before, after)
