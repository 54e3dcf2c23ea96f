"""CVEs before and after, as a person reads them in a terminal: the counts, then what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from paredown_minimizer.output import align
from paredown_minimizer.pages import TOP
from paredown_schemas.cves import Cves, Fate, Finding, SeverityCount
from paredown_schemas.names import escape_name

_COUNTS = ("before", "after", "gone", "file gone", "lost", "new")
_SECTIONS: tuple[tuple[Fate, str], ...] = (
    ("lost", "Lost from sight: something of the package is left, and the scan does not have it"),
    ("new", "New in the slim image"),
    ("stays", "What stays, the worst first"),
)


def lines(cves: Cves) -> Iterator[str]:
    """Yield the lines of the table."""
    if cves.projected:
        yield "Projected from the plan: what is said of the slim image no scan has shown."
        yield ""
    rows = [(count.severity, *_cells([count])) for count in cves.counts]
    table = [("", *_COUNTS), *rows, ("all", *_cells(cves.counts))]
    yield from align(table, right=range(1, 7))
    for fate, title in _SECTIONS:
        found = [finding for finding in cves.findings if finding.fate == fate]
        yield from _section(title, found, TOP if fate == "stays" else len(found))
    if cves.hidden:
        yield from ("", "Packages of which something is left and that the slim image does not show")
        yield from (f"  {escape_name(key)}" for key in cves.hidden)
    if cves.warnings:
        yield ""
        yield from (f"! {escape_name(warning)}" for warning in cves.warnings)


def _cells(counts: Sequence[SeverityCount]) -> Iterable[str]:
    names = (name.replace(" ", "_") for name in _COUNTS)
    return (f"{sum(getattr(count, name) for count in counts):,}" for name in names)


def _section(title: str, found: Sequence[Finding], shown: int) -> Iterator[str]:
    if not found:
        return
    yield from ("", title)
    yield from (f"  {line}" for line in align(map(_row, found[:shown])))
    if len(found) > shown:
        yield f"  and {len(found) - shown:,} more: --format json"


def _row(finding: Finding) -> tuple[str, ...]:
    fixed = ", ".join(finding.fixed)
    return (
        finding.severity,
        escape_name(finding.id),
        escape_name(f"{finding.name} {finding.version}"),
        f"update to {escape_name(fixed)}" if fixed else "no fix is known",
    )
