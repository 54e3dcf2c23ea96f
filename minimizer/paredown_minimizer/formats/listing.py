"""A list to grep and to compare: a package, path or risk a line, every path that goes too.

Sorted by name within each kind, so that git diff shows a changed decision as a changed line.
"""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.comparison import Comparison
from paredown_minimizer.pages import MARKS
from paredown_minimizer.pages.phrases import group_mark, pattern_of, reason
from paredown_minimizer.review import PackageReview, Review, RiskReview
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan


def review(review: Review) -> str:
    """Return the list of a plan's review."""
    return "".join(line + "\n" for line in _lines(review))


def comparison(comparison: Comparison) -> str:
    """Return the list of what changed between two plans."""
    return "".join(line + "\n" for line in _changes(comparison))


def _changes(comparison: Comparison) -> Iterator[str]:
    for what, was, now in comparison.settings:
        yield f"~ setting {what} {escape_name(was)} {escape_name(now)}"
    for each in comparison.packages:
        old, new = each.old, each.new
        versions = [escape_name(side.decision.version) if side else "-" for side in (old, new)]
        sizes = [str(side.decision.kept_bytes) if side else "-" for side in (old, new)]
        yield (
            f"{MARKS[each.shown.decision.action]} pkg {escape_name(each.shown.key)} {each.change} "
            f"{' -> '.join(versions)} {' -> '.join(sizes)} bytes {reason(each.shown)}"
        ).rstrip()
    yield from (f"- path {escape_name(path)}" for path in comparison.goes)
    yield from (f"+ path {escape_name(path)}" for path in comparison.returns)
    for word, risks in (("new", comparison.risks.new), ("gone", comparison.risks.gone)):
        for risk in risks:
            yield from (line.replace("! risk", f"! {word} risk", 1) for line in _risk(risk))


def _lines(review: Review) -> Iterator[str]:
    packages = {package.key: package for each in review.packages.values() for package in each}
    for decision in review.plan.packages:
        yield _package(packages[decision.key])
    yield from _unowned(review.plan)
    for path in review.paths:
        if path.action == "keep":
            yield f"+ path {escape_name(path.path)} {escape_name(path.package or '-')}"
    for entry in review.plan.removed:
        key = escape_name(entry.package or "-")
        for name in entry.paths():
            yield f"- path {escape_name(name)} {key}"
    for risk in review.risks:
        yield from _risk(risk)


def _risk(risk: RiskReview) -> Iterator[str]:
    what = f"{escape_name(risk.package or '-')} {escape_name(risk.path or '-')}"
    for name in risk.named_by:
        yield f"! risk {risk.level} {what} {risk.reason} {escape_name(name)}"


def _package(package: PackageReview) -> str:
    decision = package.decision
    words = [
        f"{MARKS[decision.action]} pkg {escape_name(decision.name)}",
        f"{escape_name(decision.version)} {escape_name(decision.architecture) or '-'}",
        *([] if decision.location is None else [escape_name(package.key)]),
        f"{decision.kept_bytes}/{decision.bytes} bytes",
        f"{decision.kept_files}/{decision.files} files",
        *([f"{decision.risk} risk"] if decision.risk else []),
        reason(package),
    ]
    return " ".join(words).rstrip()


def _unowned(plan: Plan) -> Iterator[str]:
    for group in plan.unowned:
        yield (
            f"{group_mark(group)} unowned {escape_name(pattern_of(group))} "
            f"{'-' if group.layer is None else group.layer + 1} "
            f"{group.kept_bytes}/{group.bytes} bytes {group.kept_files}/{group.files} files "
            f"{group.traced} traced"
        )
