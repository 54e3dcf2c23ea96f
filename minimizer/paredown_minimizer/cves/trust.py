"""Whether two sides' scans can be compared at all: in words, for whoever reads the figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from paredown_minimizer.cves.matching import Packages, same_version
from paredown_minimizer.cves.scans import Report
from paredown_minimizer.output import first_of, plural
from paredown_schemas.cves import Scan
from paredown_schemas.plan import Plan

Scans = Sequence[tuple[Scan, Report]]
_SHOWN = 3


def warnings(plan: Plan, packages: Packages, before: Scans, after: Scans) -> Iterator[str]:
    """Yield what makes the figures doubtful."""
    yield from _other_image(plan, before)
    yield from _strangers(packages, before)
    yield from _still_there(packages, after)
    old = {report.format: report for _, report in before}
    new = {report.format: report for _, report in after}
    for name in sorted(old.keys() - new.keys() if new else ()):
        yield f"no {name} scan of the slim image: what it found is projected from the plan"
    for name in sorted(new.keys() - old.keys()):
        yield f"no {name} scan of the original: what it finds alone counts as new"
    for name in sorted(old.keys() & new.keys()):
        yield from _different(old[name], new[name])


def _different(old: Report, new: Report) -> Iterator[str]:
    name = old.format
    if old.tool != new.tool:
        yield f"not the same scanner: {_told(old.tool)} before, {_told(new.tool)} after"
    if old.database != new.database:
        yield (
            f"not the same database of {name}: {_told(old.database)} before, "
            f"{_told(new.database)} after"
        )
    elif old.database is None:
        yield (
            f"{name} does not say which database it used: the scans were made at "
            f"{_told(old.created)} and {_told(new.created)}"
        )


def _other_image(plan: Plan, before: Scans) -> Iterator[str]:
    ours = [layer.diff_id for layer in plan.layers]
    for scan, report in before:
        if ours and report.layers and list(report.layers) != ours:
            yield (
                f"the {scan.format} scan of {_told(scan.image)} is not of the plan's image: "
                "its layers are others"
            )


def _strangers(packages: Packages, before: Scans) -> Iterator[str]:
    """Tell what the plan does not know: its fate follows from its files, where they are told."""
    subjects = {found.subject for _, report in before for found in report.found}
    unknown, other = set(), set()
    for subject in subjects:
        group = packages.meant(subject)
        name = f"{subject.name} {subject.version}"
        if not group:
            unknown.add(name)
        elif group == packages.named(subject) and not any(
            same_version(package, subject) for package in group
        ):
            other.add(name)
    if unknown:
        yield (
            f"{plural(len(unknown), 'package')} that scans name and the plan does not know: "
            f"{_some(unknown)}; files alone tell what becomes of them"
        )
    if other:
        yield (
            f"{plural(len(other), 'package')} of another version than the plan's: "
            f"{_some(other)}; is the scan of this image?"
        )


def _still_there(packages: Packages, after: Scans) -> Iterator[str]:
    subjects = {found.subject for _, report in after for found in report.found}
    subjects |= {subject for _, report in after for subject in report.packages}
    there = {
        f"{subject.name} {subject.version}"
        for subject in subjects
        if packages.fate(subject, packages.meant(subject)) == "gone"
    }
    if there:
        yield (
            f"the slim image shows {plural(len(there), 'package')} that the plan removes: "
            f"{_some(there)}; is it made of this plan?"
        )


def _told(what: str | None) -> str:
    return what or "not told"


def _some(names: set[str]) -> str:
    return first_of(sorted(names), _SHOWN)
