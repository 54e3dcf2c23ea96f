"""CVEs before and after, by severity; then what stays, and what is gone, by package."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

from paredown_minimizer.material import Material
from paredown_minimizer.output import plural
from paredown_minimizer.pages import Column, Mark, Row, Section
from paredown_minimizer.pages.phrases import some
from paredown_minimizer.pages.report.summary import summed
from paredown_schemas.cves import Cves, Fate, Finding, Scan, SeverityCount
from paredown_schemas.names import escape_name

_NONE = "Not compared: no scan of the original was given."
_FIGURES = (
    "Three figures, which are never added up: gone with its package (no file of it is left); file "
    "gone while the package is still declared (a scanner may go on reporting it); lost from sight "
    "(the package has files left and yet a scan no longer reports it), which must be zero."
)
_PROJECTED = (
    "Projected: the slim image was not scanned; what is said of it follows from the plan alone."
)
_TITLES: dict[Fate, tuple[str, Mark]] = {
    "lost": ("Lost from sight", "✗"),
    "new": ("New", "!"),
    "stays": ("Stay", "!"),
    "file-gone": ("File gone, package still declared", "~"),
    "gone": ("Gone with their packages", "-"),
}
_FIXED = 3


def chapters(material: Material) -> Iterator[Section]:
    """Yield the chapter of CVEs."""
    cves = material.cves
    if cves is None:
        yield Section("cves", "CVEs: not compared", prose=(_NONE,), chapter=True)
        return
    prose = (*([_PROJECTED] if cves.projected else []), _FIGURES)
    title = "CVEs before and after" + (", projected" if cves.projected else "")
    yield Section("cves", title, prose=prose, chapter=True)
    yield _by_severity(cves)
    yield _warnings(cves)
    yield _hidden(cves)
    for fate, (title, mark) in _TITLES.items():
        found = [finding for finding in cves.findings if finding.fate == fate]
        yield _by_package(found) if fate == "gone" else _listed(found, fate, title, mark)
    yield Section("scans", "Scans", _SCANS, [_scan(scan) for scan in cves.scans], headed=True)


def _by_severity(cves: Cves) -> Section:
    stay = "stay, projected" if cves.projected else "stay"
    titles = ("before", "gone with package", "file gone", "lost from sight", stay, "new")
    columns = (Column("severity"), *(Column(title, "number") for title in titles))
    rows = [_severity(count.severity, count) for count in cves.counts]
    if len(rows) > 1:
        rows.append(_severity("all", summed(cves)))
    return Section("severities", "By severity", columns, rows, headed=True)


def _severity(name: str, count: SeverityCount) -> Row:
    figures = (
        *(count.before, count.gone, count.file_gone, count.lost),
        *(count.after - count.new, count.new),
    )
    return Row((name, *(f"{figure:,}" for figure in figures)))


def _warnings(cves: Cves) -> Section:
    rows = [Row((escape_name(text),), "!") for text in cves.warnings]
    return Section("warnings", "Read these figures with care", (Column("warning"),), rows)


def _hidden(cves: Cves) -> Section:
    rows = [Row((escape_name(key),), "✗") for key in cves.hidden]
    note = "Something of each is left, and the slim image, or its scan, does not show it."
    title = f"Packages out of sight: {len(rows):,}"
    return Section("hidden", title, (Column("package", "name"),), rows, note=note)


def _listed(found: Sequence[Finding], fate: Fate, title: str, mark: Mark) -> Section:
    rows = [
        Row(
            (
                escape_name(finding.id),
                finding.severity,
                escape_name(finding.name),
                escape_name(finding.version),
                some(finding.fixed, _FIXED) or "no fix known",
            ),
            mark,
            finding.package,
        )
        for finding in found
    ]
    columns = (
        Column("CVE"),
        Column("severity"),
        Column("package", "name"),
        Column("version"),
        Column("fixed in"),
    )
    return Section(f"cves-{fate}", f"{title}: {len(rows):,}", columns, rows, headed=True)


def _by_package(found: Sequence[Finding]) -> Section:
    packages: dict[tuple[str, str, str | None], list[Finding]] = {}
    for finding in found:
        key = (finding.name, finding.version, finding.package)
        packages.setdefault(key, []).append(finding)
    ranked = sorted(packages.items(), key=lambda item: (-len(item[1]), item[0][:2]))
    rows = [
        Row(
            (
                escape_name(name),
                escape_name(version),
                f"{len(findings):,}",
                _severities(findings),
                some([finding.id for finding in findings], _FIXED),
            ),
            "-",
            package,
        )
        for (name, version, package), findings in ranked
    ]
    columns = (
        Column("package", "name"),
        Column("version"),
        Column("CVEs", "number"),
        Column("by severity"),
        Column("which"),
    )
    title = f"{_TITLES['gone'][0]}: {len(found):,}, of {plural(len(rows), 'package')}"
    return Section("cves-gone", title, columns, rows, headed=True)


def _severities(findings: Sequence[Finding]) -> str:
    counts = collections.Counter(finding.severity for finding in findings)
    return ", ".join(f"{count:,} {severity}" for severity, count in counts.items())


_SCANS = (
    Column("of"),
    Column("format"),
    Column("tool"),
    Column("database"),
    Column("says it scanned"),
    Column("sha256", "name"),
)


def _scan(scan: Scan) -> Row:
    side = "the original" if scan.side == "before" else "the slim image"
    told = (scan.tool or "", scan.database or "", scan.image or "", scan.sha256)
    return Row((side, scan.format, *(escape_name(text) for text in told)))
