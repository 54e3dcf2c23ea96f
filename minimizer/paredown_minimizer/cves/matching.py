"""Which packages of a plan a scanner means, and what becomes of what is found in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Literal

from paredown_minimizer.cves.scans import SYSTEM, Subject
from paredown_minimizer.packages.base import Package
from paredown_minimizer.planpaths import PlanPaths
from paredown_schemas.plan import PackageDecision, Plan

_SEPARATORS = re.compile(r"[-_.]+")
Group = tuple[PackageDecision, ...]


class Packages:
    """The packages of a plan, as scanners name them."""

    def __init__(self, plan: Plan) -> None:
        """Take a plan."""
        self.paths = PlanPaths(plan)
        self._by_key = {package.key: package for package in plan.packages}
        self._by_name: dict[tuple[str, str], list[PackageDecision]] = {}
        self._by_source: dict[tuple[str, str], list[PackageDecision]] = {}
        for package in plan.packages:
            name = plain_name(called(package), package.manager)
            self._by_name.setdefault((package.manager, name), []).append(package)
            if package.source is not None:
                self._by_source.setdefault((package.manager, package.source), []).append(package)

    def meant(self, subject: Subject) -> Group:
        """Return the packages that ``subject`` may be: none where the plan knows none.

        Several where a scanner tells too little, or names the source package. What lies in a
        package of another kind (a Python distribution that dpkg installed, an archive in an
        archive) is that package's.
        """
        named = self.named(subject)
        if subject.type in SYSTEM:
            return named
        owners = {self.paths.owner(path) for path in subject.paths} - {None}
        owned = tuple(package for key, package in self._by_key.items() if key in owners)
        return tuple(package for package in named if package in owned) or owned or named

    def named(self, subject: Subject) -> Group:
        """Return the packages of the name, or else of the source package's, as close as told."""
        name = plain_name(subject.name, subject.type)
        found = self._by_name.get((subject.type, name)) or next(
            filter(None, (self._by_source.get((subject.type, n)) for n in (name, subject.source))),
            [],
        )
        found = _narrowed(found, lambda package: same_version(package, subject))
        found = _narrowed(found, lambda package: package.architecture == subject.architecture)
        return tuple(found)

    def fate(self, subject: Subject, group: Group) -> Literal["gone", "file-gone", "stays"]:
        """Return what the plan makes of a finding in ``subject``, which ``group`` is.

        It stays in sight as long as one of the files stays that a scanner found it by; of the
        system's packages that is the database.
        """
        if group and all(package.action == "remove" for package in group):
            return "gone"
        if subject.paths and all(map(self.paths.goes, subject.paths)):
            return "file-gone" if group else "gone"
        return "stays"


def called(package: PackageDecision | Package) -> str:
    """Return a package's own name: rpm's have their version in it where there are several."""
    if package.manager == "rpm":
        return package.name.removesuffix(f"-{package.version}")
    return package.name


def plain_name(name: str, manager: str) -> str:
    """Return a name as the plan has it, however a scanner writes it.

    Python's by PEP 503; a Java archive's without its group.
    """
    if manager == "python":
        return _SEPARATORS.sub("-", name).lower()
    if manager == "java":
        return name.rpartition(":")[2].rpartition("/")[2]
    return name.lower() if manager == "composer" else name


def same_version(package: PackageDecision, subject: Subject) -> bool:
    """Say whether a scanner's version is the package's: epoch 0 and a leading v may be written."""
    return _plain_version(package.version) == _plain_version(subject.version)


def _plain_version(version: str) -> str:
    return version.removeprefix("0:").removeprefix("v")


def _narrowed(
    packages: Iterable[PackageDecision], condition: Callable[[PackageDecision], bool]
) -> list[PackageDecision]:
    """Return those of which ``condition`` holds; all where it holds of none."""
    known = list(packages)
    return [package for package in known if condition(package)] or known
