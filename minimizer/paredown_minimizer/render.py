"""The review of a plan as text: a table to read, a list to grep, a document for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from paredown_minimizer.output import align, human_size, percent_gone, plural
from paredown_minimizer.review import PackageReview, Review
from paredown_schemas.names import escape_name
from paredown_schemas.plan import (
    Action,
    Evidence,
    PackageDecision,
    Plan,
    Totals,
    UnownedGroup,
)

FORMAT = "paredown-diff"
VERSION = 1

MARKS: dict[Action, str] = {"remove": "-", "trim": "~", "keep": "+"}
_TITLES: dict[Action, str] = {"remove": "Removed", "trim": "Trimmed", "keep": "Kept"}
# A common path named by many files would hide the rest of the list.
_NAMED_BY = 3
_UNUSED = 4
_GROUPS = 15
# What builders write before the step itself.
_HISTORY = ("RUN ", "/bin/sh -c #(nop) ", "/bin/sh -c ")
_HISTORY_LIMIT = 60


def table(review: Review) -> Iterator[str]:
    """Yield the lines that a person reads from top to bottom."""
    yield from _header(review.plan)
    for action, packages in review.packages.items():
        for manager, decided in _by_manager(packages):
            yield ""
            yield _title(action, manager, decided)
            places = bool(manager) and _common_place(decided) is None
            yield from align([_row(package, place=places) for package in decided], right=[3])
    yield from _application(review)
    yield from _unowned(review)
    if review.paths:
        yield ""
        yield f"Single paths: {len(review.paths):,}"
        yield from align(
            (
                f"{MARKS[path.action]} {escape_name(path.path)}",
                escape_name(path.package or "unowned"),
                escape_name(path.reason or ""),
            )
            for path in review.paths
        )
    yield ""
    yield from _risks(review)


def _header(plan: Plan) -> Iterator[str]:
    yield from align(
        [
            ("image", f"{escape_name(plan.image)}, {escape_name(plan.platform)}"),
            ("plan", f"{plan.id}, granularity {plan.granularity}"),
            *(
                (
                    "trace",
                    f"{escape_name(trace.scenario or trace.run)}: {plural(trace.files, 'path')}, "
                    + ": ".join([trace.verdict, *filter(None, ["; ".join(trace.reasons)])]),
                )
                for trace in plan.traces
            ),
        ]
    )
    yield ""
    before, after = plan.before, plan.after
    yield from align(
        [
            ("", "before", "after", "gone"),
            (
                "size",
                human_size(before.bytes),
                human_size(after.bytes),
                percent_gone(before.bytes, after.bytes),
            ),
            *_package_rows(plan),
            _count_row("files", before.files, after.files),
        ],
        right=[1, 2, 3],
    )


def _package_rows(plan: Plan) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row for the packages of each manager."""
    managers = dict.fromkeys(decision.manager for decision in plan.packages)
    if len(managers) < 2:
        yield _count_row("packages", plan.before.packages, plan.after.packages)
        return
    for manager in managers:
        actions = [decision.action for decision in plan.packages if decision.manager == manager]
        left = sum(action != "remove" for action in actions)
        yield _count_row(f"{escape_name(manager)} packages", len(actions), left)


def _by_manager(packages: Sequence[PackageReview]) -> Iterator[tuple[str, list[PackageReview]]]:
    """Yield what was decided, the system's packages as "" and each language's by its name."""
    decided = [package for package in packages if not package.by_default]
    for manager in dict.fromkeys(_language(package) for package in decided):
        yield manager, [package for package in decided if _language(package) == manager]


def _language(package: PackageReview) -> str:
    return "" if package.decision.location is None else package.decision.manager


def _count_row(what: str, before: int, after: int) -> tuple[str, str, str, str]:
    return what, f"{before:,}", f"{after:,}", percent_gone(before, after)


def _title(action: Action, manager: str, packages: Sequence[PackageReview]) -> str:
    decisions = [package.decision for package in packages]
    count = plural(len(decisions), f"{escape_name(manager)} package".strip())
    if manager and (place := _common_place(packages)):
        count += f" in {escape_name(place)}"
    kept, whole = sum(d.kept_bytes for d in decisions), sum(d.bytes for d in decisions)
    size = {
        "remove": human_size(whole),
        "trim": f"{human_size(whole)}, of which {human_size(kept)} stay",
        "keep": human_size(whole),
    }[action]
    return f"{_TITLES[action]}: {count}, {size}"


def _common_place(packages: Sequence[PackageReview]) -> str | None:
    """Return where language packages lie, if that is one place."""
    places = {package.place for package in packages}
    return places.pop() if len(places) == 1 else None


def _row(package: PackageReview, *, place: bool) -> tuple[str, ...]:
    decision = package.decision
    size = decision.kept_bytes if decision.action == "trim" else decision.bytes
    return (
        f"{MARKS[decision.action]} {escape_name(decision.name)}",
        escape_name(decision.version),
        _extent(decision),
        human_size(size),
        *([f"in {escape_name(package.place)}"] if place else []),
        _reason(package),
    )


def _extent(decided: PackageDecision | UnownedGroup) -> str:
    files = plural(decided.files, "file")
    if not decided.kept_files:
        return f"all {files}" if decided.files != 1 else files
    if decided.kept_files == decided.files:
        return files
    return f"{decided.kept_files:,} of {files}"


def _application(review: Review) -> Iterator[str]:
    if not review.application:
        return
    yield ""
    yield "Kept as the application's own (the policy's language_packages would hand them over):"
    rows = []
    for group in review.application:
        size = sum(package.decision.bytes for package in group.packages)
        used = len(group.packages) - len(group.unused)
        rows.append(
            (
                f"+ {plural(len(group.packages), f'{escape_name(group.manager)} package')}",
                human_size(size),
                f"{used:,} used",
                f"in {escape_name(group.place)}",
                _largest(group.unused),
            )
        )
    yield from align(rows, right=[1, 2])


def _largest(unused: Sequence[PackageReview]) -> str:
    names = [
        f"{escape_name(package.decision.name)} {human_size(package.decision.bytes)}"
        for package in unused[:_UNUSED]
    ]
    more = [f"{len(unused) - _UNUSED:,} more"] if len(unused) > _UNUSED else []
    return f"unused: {', '.join([*names, *more])}" if names else ""


def _unowned(review: Review) -> Iterator[str]:
    groups = review.unowned
    if not groups:
        return
    files, size = sum(group.files for group in groups), sum(group.bytes for group in groups)
    own = "" if all(group.handed for group in groups) else ", the application"
    yield ""
    yield f"Unowned: {plural(files, 'file')}, {human_size(size)}{own}"
    yield from align([_unowned_row(review.plan, group) for group in groups[:_GROUPS]], right=[2])
    if len(groups) > _GROUPS:
        rest = groups[_GROUPS:]
        files, size = sum(group.files for group in rest), sum(group.bytes for group in rest)
        places = plural(len(rest), "place")
        yield f"  and {places} more: {plural(files, 'file')}, {human_size(size)}"


def _unowned_row(plan: Plan, group: UnownedGroup) -> tuple[str, ...]:
    layer = "" if group.layer is None else _made_by(plan, group.layer)
    traced = f"{group.traced:,} used" if group.traced else "none used"
    handed = f"handed over: {escape_name(group.handed)}" if group.handed else ""
    return (
        f"{_group_mark(group)} {escape_name(pattern_of(group))}",
        _extent(group),
        human_size(group.bytes),
        traced,
        *((layer,) if plan.layers else ()),
        handed,
    )


def _group_mark(group: UnownedGroup) -> str:
    if not group.kept_files:
        return MARKS["remove"]
    return MARKS["keep" if group.kept_files == group.files else "trim"]


def pattern_of(group: UnownedGroup) -> str:
    """Return a group as a policy would name it."""
    return group.directory.rstrip("/") + ("/**" if group.whole else "/*")


def _made_by(plan: Plan, layer: int) -> str:
    text = escape_name(plan.layers[layer].created_by or "") if layer < len(plan.layers) else ""
    for prefix in _HISTORY:
        text = text.removeprefix(prefix).strip()
    text = text.removesuffix("# buildkit").strip()
    text = text if len(text) <= _HISTORY_LIMIT else text[: _HISTORY_LIMIT - 1] + "…"
    return f"layer {layer + 1}: {text}" if text else f"layer {layer + 1}"


def _reason(package: PackageReview) -> str:
    if package.strongest is not None and package.decision.action != "remove":
        more = package.evidence - 1
        return describe(package.strongest) + (f", and {more:,} more" if more else "")
    if package.decision.action != "remove":
        return ""
    if package.named:
        return f"nothing used it; named by {plural(package.named, 'kept file')}"
    return "nothing used it"


def describe(evidence: Evidence) -> str:
    """Return one piece of evidence as a short phrase, names escaped."""
    path = escape_name(evidence.path)
    by = escape_name(evidence.by or "")
    detail = escape_name(evidence.detail or "")
    if evidence.kind == "traced":
        who = escape_name(evidence.exes[0]) if evidence.exes else ""
        return f"traced {path}" + (f" by {who}" if who and who != path else "")
    if evidence.kind == "rule":
        return f"rule {detail}: {path}" + (f" for {by}" if by else "")
    phrase = f"{evidence.kind} {path}" + (f" by {by}" if by else "")
    return phrase + (f" ({detail})" if detail and detail not in (path, by) else "")


def _risks(review: Review) -> Iterator[str]:
    if not review.risks:
        yield "Risks: no kept file names something that goes"
        return
    packages = sum(package is not None for package in review.risks)
    paths = len({risk.path for risk in review.plan.risks})
    yield f"Risks: {plural(paths, 'path')} of {plural(packages, 'package')} named by kept files"
    rows = []
    for package, risks in review.risks.items():
        named: dict[str, list[str]] = {}
        for risk in risks:
            named.setdefault(risk.path or "", []).append(escape_name(risk.named_by))
        for path, names in named.items():
            more = f", and {len(names) - _NAMED_BY:,} more" if len(names) > _NAMED_BY else ""
            rows.append(
                (
                    f"! {escape_name(package or 'unowned')}",
                    escape_name(path),
                    "named by " + ", ".join(names[:_NAMED_BY]) + more,
                )
            )
    yield from align(rows)


def listing(review: Review) -> Iterator[str]:
    """Yield one package, path or risk a line, every path that goes among them."""
    for action, packages in review.packages.items():
        for package in packages:
            decision = package.decision
            yield " ".join(
                [
                    f"{MARKS[action]} pkg {escape_name(decision.name)}",
                    f"{escape_name(decision.version)} {escape_name(decision.architecture) or '-'}",
                    *([] if decision.location is None else [escape_name(package.key)]),
                    f"{decision.kept_bytes}/{decision.bytes} bytes",
                    f"{decision.kept_files}/{decision.files} files",
                    _reason(package),
                ]
            ).rstrip()
    for group in review.plan.unowned:
        yield (
            f"{_group_mark(group)} unowned {escape_name(pattern_of(group))} "
            f"{'-' if group.layer is None else group.layer + 1} "
            f"{group.kept_bytes}/{group.bytes} bytes {group.kept_files}/{group.files} files "
            f"{group.traced} traced"
        )
    for path in review.paths:
        if path.action == "keep":
            yield f"+ path {escape_name(path.path)} {escape_name(path.package or '-')}"
    for entry in review.plan.removed:
        package_key = escape_name(entry.package or "-")
        for name in entry.paths():
            yield f"- path {escape_name(name)} {package_key}"
    for risk in review.plan.risks:
        yield (
            f"! risk {escape_name(risk.path or '-')} {escape_name(risk.package or '-')} "
            f"{escape_name(risk.named_by)}"
        )


def document(review: Review) -> dict[str, Any]:
    """Return the review as diff-1.schema.json describes it."""
    plan = review.plan
    return {
        "format": FORMAT,
        "version": VERSION,
        "plan": plan.id,
        "image": plan.image,
        "platform": plan.platform,
        "granularity": plan.granularity,
        "before": _totals(plan.before),
        "after": _totals(plan.after),
        "traces": [_record(trace) for trace in plan.traces],
        "sessions": [_record(session) for session in plan.sessions],
        "packages": [
            _package(package) for packages in review.packages.values() for package in packages
        ],
        "paths": [_record(path) for path in review.paths],
        "unowned": [_record(group) for group in review.unowned],
        "layers": [_record(layer) for layer in plan.layers],
        "risks": [_record(risk) for risks in review.risks.values() for risk in risks],
    }


def _totals(totals: Totals) -> dict[str, int]:
    return {"packages": totals.packages, "files": totals.files, "bytes": totals.bytes}


def _package(package: PackageReview) -> dict[str, Any]:
    strongest = package.strongest
    return {
        **_record(package.decision),
        "reason": _reason(package),
        "evidence": None if strongest is None else _record(strongest),
        "evidence_paths": package.evidence,
        "named_by": package.named,
    }


def _record(record: Any) -> dict[str, Any]:
    return {
        field.name: _escaped(getattr(record, field.name)) for field in dataclasses.fields(record)
    }


def _escaped(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_escaped(item) for item in value]
    return escape_name(value) if isinstance(value, str) else value
