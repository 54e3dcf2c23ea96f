"""Short phrases for people: evidence, risks, extents. Names are escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from paredown_minimizer.output import first_of, more, plural
from paredown_minimizer.pages import MARKS, Mark
from paredown_minimizer.review import PackageReview, RiskReview
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Evidence, PackageDecision, Plan, RiskReason, UnownedGroup

# What builders write before the step itself.
_HISTORY = ("RUN ", "/bin/sh -c #(nop) ", "/bin/sh -c ")
_HISTORY_LIMIT = 60
_NAMED_BY = 3
_SAYS: dict[RiskReason, str] = {
    "looked-up": "was looked for by",
    "named": "is named by",
    "command": "is a command in",
    "pattern": "can be loaded by",
    "depends": "is depended on by",
    "recommends": "is recommended by",
    "configures": "configures",
    "interpreter": "starts",
    "needed": "is needed by",
    "utility": "is a POSIX utility for",
}


def evidence_phrase(evidence: Evidence) -> str:
    """Return one piece of evidence."""
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


def reason(package: PackageReview) -> str:
    """Return why a package stays or goes."""
    if package.decision.action != "remove":
        if package.strongest is None:
            return ""
        held = evidence_phrase(package.strongest) + more(package.evidence - 1)
        return "; ".join([held, *_remarks(package)])
    if not package.risks:
        return "nothing used it"
    first = package.risks[0]
    others = sum(len(risk.named_by) for risk in package.risks) - 1
    what = escape_name(first.path) if first.path else "it"
    who = escape_name(first.named_by[0])
    return f"nothing used it, but {what} {_SAYS[first.reason]} {who}" + more(others)


def _remarks(package: PackageReview) -> Iterator[str]:
    decision = package.decision
    if package.seen and package.seen.phrase:
        yield package.seen.phrase
    if decision.trimmed:
        yield f"without {some([each.kind for each in decision.trimmed], _NAMED_BY)}"
    if decision.granularity:
        why = f": {escape_name(decision.granularity_reason)}" if decision.granularity_reason else ""
        yield f"granularity {decision.granularity}, by the policy{why}"


def says(risk: RiskReview) -> str:
    """Return why something may be missed, and who says so."""
    return f"{_SAYS[risk.reason]} {some(risk.named_by, _NAMED_BY)}"


def some(names: Sequence[str], shown: int) -> str:
    """Return the first of ``names``, escaped, and how many more there are."""
    return first_of([escape_name(name) for name in names], shown)


def extent(decided: PackageDecision | UnownedGroup) -> str:
    """Return how many files stay of how many."""
    files = plural(decided.files, "file")
    if not decided.kept_files:
        return f"all {files}" if decided.files != 1 else files
    if decided.kept_files == decided.files:
        return files
    return f"{decided.kept_files:,} of {files}"


def group_mark(group: UnownedGroup) -> Mark:
    """Return the mark of what happens to a group."""
    if not group.kept_files:
        return MARKS["remove"]
    return MARKS["keep" if group.kept_files == group.files else "trim"]


def pattern_of(group: UnownedGroup) -> str:
    """Return a group as a policy would name it."""
    return group.directory.rstrip("/") + ("/**" if group.whole else "/*")


def made_by(plan: Plan, layer: int | None) -> str:
    """Return which layer something is of, and the step that made it."""
    if layer is None:
        return ""
    text = escape_name(plan.layers[layer].created_by or "") if layer < len(plan.layers) else ""
    for prefix in _HISTORY:
        text = text.removeprefix(prefix).strip()
    text = text.removesuffix("# buildkit").strip()
    text = text if len(text) <= _HISTORY_LIMIT else text[: _HISTORY_LIMIT - 1] + "…"
    return f"layer {layer + 1}: {text}" if text else f"layer {layer + 1}"
