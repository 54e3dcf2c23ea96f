"""What happens to packages and to what no package owns, and the risks of it."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

from paredown_minimizer.output import human_size, plural
from paredown_minimizer.pages import MARKS, TOP, Column, Row, Section
from paredown_minimizer.pages.phrases import (
    extent,
    group_mark,
    made_by,
    pattern_of,
    reason,
    says,
    some,
)
from paredown_minimizer.review import LEVELS, PackageReview, Review, RiskReview
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Action, Level, Plan, RiskReason, UnownedGroup

_TITLES: dict[Action, str] = {"remove": "Removed", "trim": "Trimmed", "keep": "Kept"}
_UNUSED = 4
_NAMES = 6
_PATHS = 1
_KEPT = 10  # read after what goes
_RISKS = 12  # so many belong on the first screen

_NAME = Column("package", "name")
_PATH = Column("path", "name")
_SIZE = Column("size", "number")
_REASON = Column("reason")


def levels(risks: Sequence[RiskReview]) -> str:
    """Return how many risks there are of each level."""
    counts = collections.Counter(risk.level for risk in risks)
    told = ", ".join(f"{counts[level]:,} {level}" for level in LEVELS if counts[level])
    return told or "none: nothing that stays names, loads or needs what goes"


def risks(review: Review) -> Section:
    """Return what goes and may be missed, the highest level first; paths alike are one row."""
    alike: dict[tuple[Level, str | None, RiskReason, tuple[str, ...]], list[RiskReview]] = {}
    for risk in review.risks:
        key = (risk.level, risk.package, risk.reason, risk.named_by)
        alike.setdefault(key, []).append(risk)
    rows = [
        Row(
            (
                level,
                escape_name(package or "unowned"),
                some([risk.path for risk in found if risk.path], _PATHS),
                says(found[0]),
            ),
            "!",
            package,
        )
        for (level, package, _, _), found in alike.items()
    ]
    return Section(
        "risks",
        f"Risks: {levels(review.risks)}",
        (Column("level"), _NAME, _PATH, Column("because it")),
        rows,
        note="Let the load use it and record again, or pin it in the policy, or accept it.",
        top=_RISKS,
        first=True,
    )


def packages(review: Review) -> Iterator[Section]:
    """Yield what goes, loses some files and stays; the system's packages and each language's."""
    for action, decided in review.packages.items():
        for manager, found in _by_manager(decided):
            yield _packages(action, manager, found)


def _by_manager(packages: Sequence[PackageReview]) -> Iterator[tuple[str, list[PackageReview]]]:
    """Yield what was decided, the system's packages as "" and each language's by its name."""
    decided = [package for package in packages if not package.by_default]
    for manager in sorted({_language(package) for package in decided}):
        yield manager, [package for package in decided if _language(package) == manager]


def _language(package: PackageReview) -> str:
    return "" if package.decision.location is None else package.decision.manager


def _packages(action: Action, manager: str, packages: Sequence[PackageReview]) -> Section:
    place = bool(manager) and _common_place(packages) is None
    columns = (
        _NAME,
        Column("version"),
        Column("files"),
        _SIZE,
        Column("place", "name"),
        Column("risk"),
        _REASON,
    )
    rows = [_package(package, place=place) for package in packages]
    name = "-".join(filter(None, [_TITLES[action].lower(), escape_name(manager)]))
    title = _title(action, manager, packages)
    top = _KEPT if action == "keep" else TOP
    return Section(name, title, columns, rows, top=top, detailed=True)


def _package(package: PackageReview, *, place: bool) -> Row:
    decision = package.decision
    size = decision.kept_bytes if decision.action == "trim" else decision.bytes
    cells = (
        escape_name(decision.name),
        escape_name(decision.version),
        extent(decision),
        human_size(size),
        f"in {escape_name(package.place)}" if place else "",
        decision.risk or "",
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


def application(review: Review) -> Section:
    """Return the language packages that stay by default, by place."""
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


def unowned(review: Review) -> Section:
    """Return what no package owns, the largest first."""
    groups = review.unowned
    files, size = sum(group.files for group in groups), sum(group.bytes for group in groups)
    own = "" if all(group.handed for group in groups) else ", the application"
    columns = (
        _PATH,
        Column("files"),
        _SIZE,
        Column("used"),
        Column("layer"),
        Column("policy"),
    )
    rows = [_group(review.plan, group) for group in groups]
    title = f"Unowned: {plural(files, 'file')}, {human_size(size)}{own}"
    return Section("unowned", title, columns, rows, top=_KEPT)


def _group(plan: Plan, group: UnownedGroup) -> Row:
    cells = (
        escape_name(pattern_of(group)),
        extent(group),
        human_size(group.bytes),
        f"{group.traced:,} used" if group.traced else "none used",
        made_by(plan, group.layer),
        f"handed over: {escape_name(group.handed)}" if group.handed else "",
    )
    return Row(cells, group_mark(group))


def paths(review: Review) -> Section:
    """Return the paths that differ from what is decided for their package or group."""
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


def files(plan: Plan) -> Section:
    """Return which files go, a row a directory; nobody reads them before the rest."""
    rows = [
        Row(
            (
                escape_name(listed.directory.rstrip("/") + "/"),
                f"{len(listed.names):,}",
                some(listed.names, _NAMES),
                escape_name(listed.package or "unowned"),
            ),
            "-",
            listed.package,
        )
        for listed in plan.removed
    ]
    count = sum(len(listed.names) for listed in plan.removed)
    columns = Column("directory", "name"), Column("paths", "number"), Column("names", "name"), _NAME
    return Section("files", f"Paths that go: {count:,}", columns, rows, top=0)
