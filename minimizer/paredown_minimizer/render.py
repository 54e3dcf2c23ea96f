"""The review of a plan as text: a table to read, a list to grep, a document for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from paredown_minimizer.output import align, human_size, percent_gone, plural
from paredown_minimizer.review import PackageReview, Review
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Action, Evidence, Plan, Totals

FORMAT = "paredown-diff"
VERSION = 1

MARKS: dict[Action, str] = {"remove": "-", "trim": "~", "keep": "+"}
_TITLES: dict[Action, str] = {"remove": "Removed", "trim": "Trimmed", "keep": "Kept"}
# A common path named by many files would hide the rest of the list.
_NAMED_BY = 3


def table(review: Review) -> Iterator[str]:
    """Yield the lines that a person reads from top to bottom."""
    yield from _header(review.plan)
    for action, packages in review.packages.items():
        if packages:
            yield ""
            yield _title(action, packages)
            yield from align([_row(package) for package in packages], right=[3])
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
            _count_row("packages", before.packages, after.packages),
            _count_row("files", before.files, after.files),
        ],
        right=[1, 2, 3],
    )


def _count_row(what: str, before: int, after: int) -> tuple[str, str, str, str]:
    return what, f"{before:,}", f"{after:,}", percent_gone(before, after)


def _title(action: Action, packages: Sequence[PackageReview]) -> str:
    decisions = [package.decision for package in packages]
    count = plural(len(decisions), "package")
    kept, whole = sum(d.kept_bytes for d in decisions), sum(d.bytes for d in decisions)
    size = {
        "remove": human_size(whole),
        "trim": f"{human_size(whole)}, of which {human_size(kept)} stay",
        "keep": human_size(whole),
    }[action]
    return f"{_TITLES[action]}: {count}, {size}"


def _row(package: PackageReview) -> tuple[str, ...]:
    decision = package.decision
    size = decision.kept_bytes if decision.action == "trim" else decision.bytes
    return (
        f"{MARKS[decision.action]} {escape_name(decision.name)}",
        escape_name(decision.version),
        _extent(package),
        human_size(size),
        _reason(package),
    )


def _extent(package: PackageReview) -> str:
    decision = package.decision
    files = plural(decision.files, "file")
    if decision.action == "remove":
        return f"all {files}" if decision.files != 1 else files
    if decision.kept_files == decision.files:
        return files
    return f"{decision.kept_files:,} of {files}"


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
            named.setdefault(risk.path, []).append(escape_name(risk.named_by))
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
                    f"{escape_name(decision.version)} {escape_name(decision.architecture)}",
                    f"{decision.kept_bytes}/{decision.bytes} bytes",
                    f"{decision.kept_files}/{decision.files} files",
                    _reason(package),
                ]
            ).rstrip()
    for path in review.paths:
        if path.action == "keep":
            yield f"+ path {escape_name(path.path)} {escape_name(path.package or '-')}"
    for entry in review.plan.removed:
        package_key = escape_name(entry.package or "-")
        for name in entry.paths():
            yield f"- path {escape_name(name)} {package_key}"
    for risk in review.plan.risks:
        yield (
            f"! risk {escape_name(risk.path)} {escape_name(risk.package or '-')} "
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
        "packages": [
            _package(package) for packages in review.packages.values() for package in packages
        ],
        "paths": [_record(path) for path in review.paths],
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
