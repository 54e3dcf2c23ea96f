"""Whether every package of which something is left can still be seen, with or without a CVE.

A scan that lists the packages that it found is one witness, where it was made of both images; the
slim image's own package database, as this program reads it, is another.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from paredown_minimizer.cves.matching import Packages, called
from paredown_minimizer.cves.scans import SYSTEM, Report
from paredown_minimizer.image.source import open_image
from paredown_minimizer.output import first_of, plural
from paredown_minimizer.packages.base import Package
from paredown_minimizer.packages.registry import find_managers
from paredown_schemas.cves import Scan, ScanFormat
from paredown_schemas.plan import PackageDecision, Plan

_SHOWN = 3
Scans = Sequence[tuple[Scan, Report]]


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
    """What is not seen any more, by key, and what was found beside."""

    hidden: tuple[str, ...]
    warnings: tuple[str, ...]


def look(plan: Plan, packages: Packages, before: Scans, after: Scans, slim: str | None) -> Sight:
    """Return which packages of which something is left the slim image does not show.

    Raises:
        ParedownError: ``slim`` cannot be read.
    """
    left = [package for package in plan.packages if package.action != "remove"]
    hidden: set[str] = set()
    warnings: list[str] = []
    listed, shown = _listed(packages, before), _listed(packages, after)
    for name, seen in shown.items():
        # Where it listed those of the original, it lists all that it sees: the others may not.
        if seen or (name == "cyclonedx" and listed.get(name)):
            expected = listed.get(name) or _system(left)
            missing = {package.key for package in left if package.key in expected - seen}
            warnings += _told(missing, f"the {name} scan of the slim image does not show")
            hidden |= missing
        elif listed.get(name):
            warnings.append(f"the {name} scan of the slim image lists no packages")
    if slim is not None:
        missing, extra = _declared(plan, left, slim)
        warnings += _told(missing, "the slim image's package database does not have")
        warnings += _told(extra, "the slim image's package database has, and the plan removes,")
        hidden |= missing
    return Sight(tuple(sorted(hidden)), tuple(warnings))


def _listed(packages: Packages, scans: Scans) -> dict[ScanFormat, set[str]]:
    """Return by scanner the keys of all packages that its scans list."""
    keys: dict[ScanFormat, set[str]] = {}
    for _, report in scans:
        found = keys.setdefault(report.format, set())
        found.update(p.key for subject in report.packages for p in packages.meant(subject))
    return keys


def _system(left: Iterable[PackageDecision]) -> set[str]:
    return {package.key for package in left if package.manager in SYSTEM}


def _declared(plan: Plan, left: Iterable[PackageDecision], slim: str) -> tuple[set[str], set[str]]:
    """Return which keys the slim image lacks, and which it has beside the plan's."""
    with contextlib.closing(open_image(slim, plan.platform)) as image:
        found = {
            _what(each): each.key for each in find_managers(image).read(image).packages.values()
        }
    expected = {_what(package): package.key for package in left}
    missing = {key for what, key in expected.items() if what not in found}
    return missing, {key for what, key in found.items() if what not in expected}


def _what(package: PackageDecision | Package) -> tuple[str | None, ...]:
    """Return what tells a package apart: rpm's keys change where one of two versions goes."""
    return (
        package.manager,
        called(package),
        package.version,
        package.architecture,
        package.location,
    )


def _told(keys: AbstractSet[str], what: str) -> Iterator[str]:
    if keys:
        yield f"{what} {plural(len(keys), 'package')}: {first_of(sorted(keys), _SHOWN)}"
