"""The page of two plans: what became of packages, risks and settings between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from paredown_minimizer.comparison import Change, Comparison, PackageChange
from paredown_minimizer.output import human_size, plural
from paredown_minimizer.pages import MARKS, Column, Mark, Page, Row, Section, lean
from paredown_minimizer.pages.packages import paths, risks
from paredown_minimizer.pages.phrases import reason
from paredown_minimizer.pages.policy import left_out, pins, unless_used, ways_given
from paredown_minimizer.pages.surface import KINDS, exposed, needs, unrecorded
from paredown_minimizer.review import Review, rank
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan, Totals

_TITLES: dict[Change, str] = {
    "goes": "Newly removed",
    "returns": "Back again",
    "less": "Loses more",
    "more": "Keeps more",
    "added": "New in the image",
    "dropped": "No longer in the image",
    "version": "Another version",
    "evidence": "Held by something else",
}
_FIRST: AbstractSet[Change] = {"goes", "returns"}
_PATHS = 12


def comparison_page(comparison: Comparison) -> Page:
    """Return the page of two plans."""
    sections = [
        *_packages(comparison, _FIRST),
        *_records(comparison, old=False),
        *_packages(comparison, _TITLES.keys() - _FIRST),
        *_records(comparison, old=True),
        _surface(comparison),
        *_paths(comparison),
    ]
    return Page(
        title=_title(comparison),
        facts=list(_facts(comparison)),
        totals=_totals(comparison.old.plan, comparison.new.plan),
        sections=lean(sections),
    )


def _title(comparison: Comparison) -> str:
    counts = dict.fromkeys(_TITLES, 0)
    for each in comparison.packages:
        counts[each.change] += 1
    told = [f"{_TITLES[change].lower()} ({n:,})" for change, n in counts.items() if n]
    return "Between two plans: " + (", ".join(told) or "the same packages")


def _facts(comparison: Comparison) -> Iterator[tuple[str, str]]:
    yield "old plan", comparison.old.plan.id
    yield "new plan", comparison.new.plan.id
    for what, was, now in comparison.settings:
        yield what, f"{escape_name(was)} → {escape_name(now)}"
    for label, traces in (
        ("new traces", comparison.traces.new),
        ("gone traces", comparison.traces.gone),
    ):
        for trace in traces[:_PATHS]:
            name = escape_name(trace.scenario or trace.run)
            yield label, f"{name}: {plural(trace.files, 'path')}, {trace.verdict}"
        if len(traces) > _PATHS:
            yield label, f"and {len(traces) - _PATHS:,} more"


def _totals(old: Plan, new: Plan) -> Section:
    rows = [*_total("image", old.before, new.before), *_total("left", old.after, new.after)]
    columns = (Column(""), *(Column(title, "number") for title in ("was", "is", "change")))
    return Section("totals", "", columns, rows, headed=True)


def _total(what: str, old: Totals, new: Totals) -> Iterator[Row]:
    size = new.bytes - old.bytes
    sign = "-" if size < 0 else "+"
    change = f"{sign}{human_size(abs(size))}" if size else "0"
    yield Row((f"size, {what}", human_size(old.bytes), human_size(new.bytes), change))
    for name in ("packages", "files"):
        was, now = getattr(old, name), getattr(new, name)
        change = f"{now - was:+,}" if now != was else "0"
        yield Row((f"{name}, {what}", f"{was:,}", f"{now:,}", change))


def _packages(comparison: Comparison, changes: AbstractSet[Change]) -> Iterator[Section]:
    columns = (
        Column("package", "name"),
        Column("version"),
        Column("files"),
        Column("size", "number"),
        Column("risk"),
        Column("reason"),
    )
    for change, title in _TITLES.items():
        if change not in changes:
            continue
        found = [each for each in comparison.packages if each.change == change]
        rows = [_package(each) for each in sorted(found, key=_weight)]
        title_ = f"{title}: {plural(len(found), 'package')}"
        yield Section(change, title_, columns, rows, first=change in _FIRST)


def _weight(change: PackageChange) -> tuple[bool, int, str]:
    """What stays comes first: it runs. Then what goes, by its risk."""
    decision = change.shown.decision
    return decision.action == "remove", rank(decision.risk), change.shown.key


def _package(change: PackageChange) -> Row:
    now = change.shown
    sides = [side for side in (change.old, change.new) if side is not None]
    size = now.decision.kept_bytes if now.decision.kept_files else now.decision.bytes
    cells = (
        escape_name(now.decision.name),
        _both([escape_name(side.decision.version) for side in sides]),
        _both([f"{side.decision.kept_files:,}/{side.decision.files:,}" for side in sides]),
        human_size(size),
        now.decision.risk or "",
        _both([reason(side) for side in sides] if change.change == "evidence" else [reason(now)]),
    )
    return Row(cells, MARKS[now.decision.action], now.key)


def _both(texts: Sequence[str]) -> str:
    return " → ".join(dict.fromkeys(texts))


def _records(comparison: Comparison, *, old: bool) -> Iterator[Section]:
    """Yield what only one of the plans has, as the plan's own page shows it."""
    review = comparison.old if old else comparison.new
    found: dict[str, Any] = {
        name: tuple(difference.gone if old else difference.new)
        for name, difference in comparison.records.items()
    }
    plan = dataclasses.replace(review.plan, **found)
    mine = comparison.risks.gone if old else comparison.risks.new
    only = dataclasses.replace(review, plan=plan, paths=plan.paths, risks=mine)
    yield from (_renamed(section, old=old) for section in _sections(only, plan))


def _sections(review: Review, plan: Plan) -> Iterator[Section]:
    yield risks(review)
    policy = (pins, ways_given, unless_used, left_out)
    yield from (make(plan) for make in (*policy, exposed, needs, unrecorded))
    yield paths(review)


def _renamed(section: Section, *, old: bool) -> Section:
    word = "Gone" if old else "New"
    title = f"{word}: {section.title[:1].lower()}{section.title[1:]}"
    # What an old plan said of keeping and removing is no more.
    rows = [dataclasses.replace(row, mark="") for row in section.rows] if old else section.rows
    name = f"{word.lower()}-{section.name}"
    return dataclasses.replace(section, name=name, title=title, rows=rows, note="")


def _surface(comparison: Comparison) -> Section:
    old, new = (
        {count.kind: count.after for count in review.plan.surface}
        for review in (comparison.old, comparison.new)
    )
    rows = [
        Row((KINDS[kind], f"{old.get(kind, 0):,}", f"{new.get(kind, 0):,}"))
        for kind in sorted(old.keys() | new.keys())
        if old and new and old.get(kind, 0) != new.get(kind, 0)
    ]
    columns = Column(""), Column("was", "number"), Column("is", "number")
    return Section("surface", "Attack surface that is left", columns, rows, headed=True)


def _paths(comparison: Comparison) -> Iterator[Section]:
    kinds: Sequence[tuple[str, str, Mark, Sequence[str]]] = (
        ("paths-go", "Paths that newly go", "-", comparison.goes),
        ("paths-return", "Paths that stay again", "+", comparison.returns),
    )
    for name, title, mark, found in kinds:
        rows = [Row((escape_name(path),), mark) for path in found]
        yield Section(name, f"{title}: {len(found):,}", (Column("path", "name"),), rows, top=_PATHS)
