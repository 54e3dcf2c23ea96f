"""The page of one plan: what goes, why it is safe, what is risky, and what to do about it."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

from paredown_minimizer.output import human_size, percent_gone, plural
from paredown_minimizer.page import MARKS, Column, Page, Row, Section
from paredown_minimizer.phrases import (
    extent,
    group_mark,
    made_by,
    pattern_of,
    reason,
    says,
)
from paredown_minimizer.review import LEVELS, PackageReview, Review
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Action, Plan, UnownedGroup

_TITLES: dict[Action, str] = {"remove": "Removed", "trim": "Trimmed", "keep": "Kept"}
_UNUSED = 4
_RUNS = 5
_RISKS = 12  # so many belong on the first screen

_NAME = Column("package", "name")
_PATH = Column("path", "name")
_SIZE = Column("size", "number")
_REASON = Column("reason")


def review_page(review: Review) -> Page:
    """Return the page of a plan."""
    return Page(
        title="What goes, and why the rest stays",
        facts=[*_facts(review.plan), ("risks", _levels(review))],
        totals=_totals(review.plan),
        sections=[section for section in _sections(review) if section.rows],
    )


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    yield "image", f"{escape_name(plan.image)}, {escape_name(plan.platform)}"
    yield "plan", f"{plan.id}, granularity {plan.granularity}"
    for trace in plan.traces[:_RUNS]:
        files = f"{escape_name(trace.scenario or trace.run)}: {plural(trace.files, 'path')}"
        reasons = ": " + escape_name("; ".join(trace.reasons)) if trace.reasons else ""
        yield "trace", f"{files}, {trace.verdict}{reasons}"
    if len(plan.traces) > _RUNS:
        yield "", f"and {plural(len(plan.traces) - _RUNS, 'more trace')}"


def _totals(plan: Plan) -> Section:
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


def _sections(review: Review) -> Iterator[Section]:
    yield _risks(review)
    for action, packages in review.packages.items():
        for manager, decided in _by_manager(packages):
            yield _packages(action, manager, decided)
    yield _application(review)
    yield _unowned(review)
    yield _paths(review)


def _levels(review: Review) -> str:
    counts = collections.Counter(risk.level for risk in review.risks)
    levels = ", ".join(f"{counts[level]:,} {level}" for level in LEVELS if counts[level])
    return levels or "none: nothing that stays names, loads or needs what goes"


def _risks(review: Review) -> Section:
    rows = [
        Row(
            (
                risk.level,
                escape_name(risk.package or "unowned"),
                escape_name(risk.path or ""),
                says(risk),
            ),
            "!",
            risk.package,
        )
        for risk in review.risks
    ]
    return Section(
        "risks",
        f"Risks: {_levels(review)}",
        (Column("level"), _NAME, _PATH, Column("because it is")),
        rows,
        note="Let the load use it and record again, or pin it in the policy, or accept it.",
        top=_RISKS,
    )


def _by_manager(packages: Sequence[PackageReview]) -> Iterator[tuple[str, list[PackageReview]]]:
    """Yield what was decided, the system's packages as "" and each language's by its name."""
    decided = [package for package in packages if not package.by_default]
    for manager in sorted({_language(package) for package in decided}):
        yield manager, [package for package in decided if _language(package) == manager]


def _language(package: PackageReview) -> str:
    return "" if package.decision.location is None else package.decision.manager


def _packages(action: Action, manager: str, packages: Sequence[PackageReview]) -> Section:
    place = bool(manager) and _common_place(packages) is None
    levels = any(package.decision.risk for package in packages)
    columns = (
        _NAME,
        Column("version"),
        Column("files"),
        _SIZE,
        *([Column("place", "name")] if place else []),
        *([Column("risk")] if levels else []),
        _REASON,
    )
    rows = [_package(package, place=place, levels=levels) for package in packages]
    name = "-".join(filter(None, [_TITLES[action].lower(), escape_name(manager)]))
    return Section(name, _title(action, manager, packages), columns, rows)


def _package(package: PackageReview, *, place: bool, levels: bool) -> Row:
    decision = package.decision
    size = decision.kept_bytes if decision.action == "trim" else decision.bytes
    cells = (
        escape_name(decision.name),
        escape_name(decision.version),
        extent(decision),
        human_size(size),
        *([f"in {escape_name(package.place)}"] if place else []),
        *([decision.risk or ""] if levels else []),
        reason(package),
    )
    return Row(cells, MARKS[decision.action], package.key)


def _title(action: Action, manager: str, packages: Sequence[PackageReview]) -> str:
    decisions = [package.decision for package in packages]
    count = plural(len(decisions), f"{escape_name(manager)} package".strip())
    if manager and (place := _common_place(packages)):
        count += f" in {escape_name(place)}"
    kept, whole = sum(d.kept_bytes for d in decisions), sum(d.bytes for d in decisions)
    size = human_size(whole)
    if action == "trim":
        size += f", of which {human_size(kept)} stay"
    return f"{_TITLES[action]}: {count}, {size}"


def _common_place(packages: Sequence[PackageReview]) -> str | None:
    """Return where language packages lie, if that is one place."""
    places = {package.place for package in packages}
    return places.pop() if len(places) == 1 else None


def _application(review: Review) -> Section:
    rows = []
    for group in review.application:
        size = sum(package.decision.bytes for package in group.packages)
        cells = (
            plural(len(group.packages), f"{escape_name(group.manager)} package"),
            human_size(size),
            f"{len(group.packages) - len(group.unused):,} used",
            f"in {escape_name(group.place)}",
            _largest(group.unused),
        )
        rows.append(Row(cells, "+"))
    return Section(
        "application",
        "Kept as the application's own (the policy's language_packages would hand them over)",
        (Column("packages"), _SIZE, Column("used", "number"), Column("place"), Column("unused")),
        rows,
    )


def _largest(unused: Sequence[PackageReview]) -> str:
    names = [
        f"{escape_name(package.decision.name)} {human_size(package.decision.bytes)}"
        for package in unused[:_UNUSED]
    ]
    rest = [f"{len(unused) - _UNUSED:,} more"] if len(unused) > _UNUSED else []
    return f"unused: {', '.join([*names, *rest])}" if names else ""


def _unowned(review: Review) -> Section:
    groups, layers = review.unowned, bool(review.plan.layers)
    files, size = sum(group.files for group in groups), sum(group.bytes for group in groups)
    own = "" if all(group.handed for group in groups) else ", the application"
    columns = (
        _PATH,
        Column("files"),
        _SIZE,
        Column("used"),
        *([Column("layer")] if layers else []),
        Column("policy"),
    )
    rows = [_group(review.plan, group) for group in groups]
    title = f"Unowned: {plural(files, 'file')}, {human_size(size)}{own}"
    return Section("unowned", title, columns, rows, top=15)


def _group(plan: Plan, group: UnownedGroup) -> Row:
    cells = (
        escape_name(pattern_of(group)),
        extent(group),
        human_size(group.bytes),
        f"{group.traced:,} used" if group.traced else "none used",
        *([made_by(plan, group.layer)] if plan.layers else []),
        f"handed over: {escape_name(group.handed)}" if group.handed else "",
    )
    return Row(cells, group_mark(group))


def _paths(review: Review) -> Section:
    rows = [
        Row(
            (
                escape_name(path.path),
                escape_name(path.package or "unowned"),
                escape_name(path.reason or ""),
            ),
            MARKS[path.action],
        )
        for path in review.paths
    ]
    return Section("paths", f"Single paths: {len(rows):,}", (_PATH, _NAME, _REASON), rows)
