"""Which of OSV's ecosystems an image's packages belong to, and how records name them.

Followed: the OSV schema 1.7, "Defined ecosystems"; and where the databases do otherwise, what they
publish: AlmaLinux names binary packages.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Literal

from paredown_minimizer.cves.matching import called
from paredown_schemas.plan import Distribution, PackageDecision, Plan

# What records name: the package, the source package, or either.
Naming = Literal["binary", "source", "either"]
_RED_HAT = re.compile(r"enterprise_linux:(?P<major>\d+)(?:\.\d+)?(?:::.*)?")
_SLE = re.compile(r".*\b(?P<release>\d+( SP\d+)?)")


@dataclasses.dataclass(frozen=True, slots=True)
class Ecosystem:
    """One ecosystem of the image: the packages of one manager."""

    name: str  # without its release
    manager: str
    naming: Naming
    release: str | None = None  # as ``_RELEASES`` makes it of the image's; None for any

    def covers(self, ecosystem: str) -> bool:
        """Say whether a record's ecosystem, "Debian:12", is this one; without a release it is."""
        name, colon, release = ecosystem.partition(":")
        if name != self.name:
            return False
        if not colon or self.release is None:
            return True
        return _RELEASES.get(name, str)(release) == self.release

    def names(self, package: PackageDecision) -> Iterator[tuple[str, str]]:
        """Yield the names of a package that records may have, each with its version."""
        name = called(package)
        source = package.source or name
        if self.naming != "source":
            yield f"{package.group}:{name}" if package.group else name, package.version
        if self.naming == "source" or (self.naming == "either" and source != name):
            yield source, package.source_version or package.version


# os-release's ID, the ecosystem, its manager, and what records name.
_DISTRIBUTIONS: dict[str, tuple[str, str, Naming]] = {
    "almalinux": ("AlmaLinux", "rpm", "binary"),
    "alpine": ("Alpine", "apk", "source"),
    "chainguard": ("Chainguard", "apk", "either"),
    "debian": ("Debian", "dpkg", "source"),
    "mageia": ("Mageia", "rpm", "source"),
    "opensuse-leap": ("openSUSE", "rpm", "either"),
    "opensuse-tumbleweed": ("openSUSE", "rpm", "either"),
    "rhel": ("Red Hat", "rpm", "binary"),
    "rocky": ("Rocky Linux", "rpm", "either"),
    "sles": ("SUSE", "rpm", "either"),
    "ubuntu": ("Ubuntu", "dpkg", "source"),
    "wolfi": ("Wolfi", "apk", "either"),
}
_LANGUAGES = (
    Ecosystem("PyPI", "python", "binary"),
    Ecosystem("npm", "npm", "binary"),
    Ecosystem("RubyGems", "gem", "binary"),
    Ecosystem("Packagist", "composer", "binary"),
    Ecosystem("Maven", "java", "binary"),
)


def ecosystems(plan: Plan) -> list[Ecosystem]:
    """Return the ecosystems of the plan's packages."""
    managers = {package.manager for package in plan.packages}
    system = [_system(plan.distribution)] if plan.distribution else []
    return [each for each in (*system, *_LANGUAGES) if each and each.manager in managers]


def manager_of(ecosystem: str) -> str:
    """Return the manager of an ecosystem's packages, as a record names it; itself if unknown."""
    name = ecosystem.partition(":")[0]
    languages = {each.name: each.manager for each in _LANGUAGES}
    systems = {known: manager for known, manager, _ in _DISTRIBUTIONS.values()}
    return languages.get(name) or systems.get(name) or name


def _system(distribution: Distribution) -> Ecosystem | None:
    known = _DISTRIBUTIONS.get(distribution.id)
    if known is None:
        return None
    name, manager, naming = known
    version = distribution.version_id or ""
    if name == "openSUSE":  # "Leap 15.5", "Tumbleweed"
        version = (distribution.name or "").removeprefix("openSUSE ")
    elif name == "SUSE":  # 15.5 is "15 SP5"
        version = version.replace(".", " SP")
    elif name in ("Alpine", "Ubuntu"):
        version = ".".join(version.split(".")[:2])
    else:
        version = version.partition(".")[0]
    return Ecosystem(name, manager, naming, version or None)


def _ubuntu(release: str) -> str:
    """Pro's fixes are not for those who have it not: such a release is none of an image's."""
    return release.removesuffix(":LTS")


def _red_hat(release: str) -> str:
    match = _RED_HAT.fullmatch(release)
    return match["major"] if match else ""


def _suse(release: str) -> str:
    """Products and modules have their release at the end: "... for Basesystem 15 SP5"."""
    match = _SLE.fullmatch(release)
    return match["release"] if match else ""


_RELEASES: dict[str, Callable[[str], str]] = {
    "Alpine": lambda release: release.removeprefix("v"),
    "Red Hat": _red_hat,
    "SUSE": _suse,
    "Ubuntu": _ubuntu,
}
