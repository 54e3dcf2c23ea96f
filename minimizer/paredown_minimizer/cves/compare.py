"""What became of each CVE of the original: gone, its file gone, lost from sight, or still there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from paredown_minimizer.cves import severity, trust, visibility
from paredown_minimizer.cves.formats import read_scan
from paredown_minimizer.cves.matching import Group, Packages, plain_name
from paredown_minimizer.cves.osv import match
from paredown_minimizer.cves.scans import Found, Report, Subject
from paredown_schemas import __version__
from paredown_schemas.cves import Cves, Fate, Finding, ScanFormat, SeverityCount
from paredown_schemas.errors import UsageError
from paredown_schemas.plan import Plan

Identity = tuple[object, ...]


@dataclasses.dataclass(slots=True)
class _Case:
    """One vulnerability of one package, as all scans of one side tell it."""

    found: Found
    group: Group
    formats: set[ScanFormat]

    def add(self, found: Found, format_: ScanFormat) -> None:
        """Unite what another scan, or the same one elsewhere, says."""
        ours, theirs = self.found, found
        self.formats.add(format_)
        if ours == theirs:
            return
        self.found = dataclasses.replace(
            ours,
            aliases=tuple(sorted({*ours.aliases, *theirs.aliases})),
            severity=severity.worst((ours.severity, theirs.severity)),
            fixed=tuple(dict.fromkeys((*ours.fixed, *theirs.fixed))),
            subject=dataclasses.replace(
                ours.subject,
                paths=tuple(dict.fromkeys((*ours.subject.paths, *theirs.subject.paths))),
            ),
        )


def compare(
    plan: Plan,
    before: Sequence[Path],
    after: Sequence[Path] = (),
    osv: Path | None = None,
    slim: str | None = None,
) -> Cves:
    """Return the fate of each finding of the scans ``before`` and of the OSV records.

    What no scan ``after`` by the same scanner could show follows from the plan: it is projected.
    ``slim`` is the slim image as a SOURCE: its own package database is looked at.

    Raises:
        UsageError: there is nothing to compare.
        DamagedInputError: a scan is malformed, or of no known format.
        ParedownError: one cannot be read.
    """
    if not before and osv is None:
        raise UsageError(
            "cannot compare CVEs: no scan of the original, and no OSV records",
            hint="give some by --before or --osv",
        )
    old = [read_scan(path, "before") for path in before]
    new = [read_scan(path, "after") for path in after]
    packages = Packages(plan)
    had = _cases(packages, (report for _, report in old))
    has = _cases(packages, (report for _, report in new))
    matched = match(plan, osv) if osv else None
    for found, package in matched.found if matched else ():
        _add(had, found, (package,), "osv")
    scanned = {report.format for _, report in new}
    findings = sorted((*_old(packages, had, has, scanned), *_new(had, has)), key=_worst_first)
    records = [matched.scan] if matched else []
    sight = visibility.look(plan, packages, old, new, slim)
    told = (*trust.warnings(plan, packages, old, new), *sight.warnings)
    return Cves(
        paredown=__version__,
        plan=plan.id,
        projected=matched is not None or any(each.format not in scanned for _, each in old),
        scans=tuple(sorted([*(scan for scan, _ in (*old, *new)), *records])),
        counts=tuple(_counts(findings)),
        findings=tuple(findings),
        hidden=sight.hidden,
        warnings=(*told, *(matched.warnings if matched else ())),
    )


def _cases(packages: Packages, reports: Iterable[Report]) -> dict[Identity, _Case]:
    cases: dict[Identity, _Case] = {}
    groups: dict[Subject, Group] = {}
    for report in reports:
        for found in report.found:
            subject = found.subject
            if subject not in groups:
                groups[subject] = packages.meant(subject)
            _add(cases, found, groups[subject], report.format)
    return cases


def _add(cases: dict[Identity, _Case], found: Found, group: Group, format_: ScanFormat) -> None:
    identity = _identity(found, group)
    if identity in cases:
        cases[identity].add(found, format_)
    else:
        cases[identity] = _Case(found, group, {format_})


def _identity(found: Found, group: Group) -> Identity:
    """What the plan knows is one, wherever a scanner found it; else the place tells apart."""
    subject = found.subject
    name = plain_name(subject.name, subject.type)
    if group:
        return found.id, subject.type, name, *(package.key for package in group)
    return found.id, subject.type, name, subject.version, subject.paths


def _old(
    packages: Packages,
    had: dict[Identity, _Case],
    has: dict[Identity, _Case],
    scanned: AbstractSet[ScanFormat],
) -> Iterator[Finding]:
    for identity, case in had.items():
        fate: Fate = packages.fate(case.found.subject, case.group)
        if identity in has:
            fate = "stays"
        elif fate == "stays" and case.formats & scanned:
            fate = "lost"
        yield _finding(case, fate)


def _new(had: dict[Identity, _Case], has: dict[Identity, _Case]) -> Iterator[Finding]:
    return (_finding(case, "new") for identity, case in has.items() if identity not in had)


def _finding(case: _Case, fate: Fate) -> Finding:
    found, subject = case.found, case.found.subject
    # Of several that it may be, one that is left speaks for all.
    left = [package.key for package in case.group if package.action != "remove"]
    keys = [*left, *(package.key for package in case.group)]
    return Finding(
        id=found.id,
        name=subject.name,
        version=subject.version,
        severity=found.severity,
        fate=fate,
        package=keys[0] if keys else None,
        aliases=found.aliases,
        fixed=found.fixed,
        paths=subject.paths,
    )


def _worst_first(finding: Finding) -> tuple[object, ...]:
    return (
        severity.ORDER.index(finding.severity),
        finding.name,
        finding.id,
        finding.version,
        finding.package or "",
        finding.paths,
    )


def _counts(findings: Sequence[Finding]) -> Iterator[SeverityCount]:
    for each in severity.ORDER:
        fates = [finding.fate for finding in findings if finding.severity == each]
        new, gone, file_gone, lost = (
            fates.count(fate) for fate in ("new", "gone", "file-gone", "lost")
        )
        if fates:
            after = fates.count("stays") + new
            yield SeverityCount(each, len(fates) - new, after, gone, file_gone, lost, new)
