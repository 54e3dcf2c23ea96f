"""Which of the original's vulnerabilities the slim image does not have: OpenVEX 0.2.0.

Two things are claimed, each only where the plan's lists of files carry it:

- ``component_not_present``: the finding's package is gone with all its files, and no other of its
  name and version is left.
- ``vulnerable_code_not_present``: the package is still declared, and either every file that the
  vulnerability was found in is code (an archive, a library, a program) and went, as did the
  package's other code; or nothing is left of the package but notices (licence, changelog).

The rest is not claimed. That a package's metadata went says nothing of its code. That no program of
it is left is not enough: what is vulnerable can be data (of ca-certificates, a root of trust) or a
configuration. Nothing is claimed of what no Package URL names; nor where the vulnerability is left
in the same package, or in something that the scanner calls the same (an archive in an archive); nor
of what a scan of the slim image lacks though it should not ("lost").
"""

from __future__ import annotations

import collections
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from paredown_minimizer.evidence.purls import image_purl, package_purl
from paredown_minimizer.evidence.subject import NamedImage, dump, require_of
from paredown_minimizer.output import plural
from paredown_minimizer.planpaths import PlanPaths
from paredown_schemas import __version__
from paredown_schemas.cves import Cves, Finding
from paredown_schemas.names import escape_name
from paredown_schemas.plan import PackageDecision, Plan

# What go-vex writes where nobody says who makes the claim. It is never Paredown.
AUTHOR = "Unknown Author"

_Reason = tuple[Literal["component_not_present", "vulnerable_code_not_present"], str]
_PLACE = "https://openvex.dev/docs/paredown/vex"  # in the namespace that OpenVEX shares
_WENT = ("gone", "file-gone")
_CODE = re.compile(r".*\.(?:jar|war|ear|so)|.*\.so\.[\d.]+|.*/s?bin/[^/]+")
_NOTICE = re.compile(
    r"/usr/share/(?:doc|licenses)/(?:.+/)?"
    r"(?:copyright|licen[cs]e|copying|notice|changelog|changes|news|readme|authors)"
    r"(?:[.-](?:debian|md|rst|txt|html|gz|xz|bz2))*",
    re.IGNORECASE,
)


def make(
    plan: Plan, cves: Cves, image: NamedImage, time: str | None, author: str | None = None
) -> str | None:
    """Return the document about the slim image, which ``image`` is.

    ``time`` is as ``subject.time_of`` returns it; ``author`` is who makes the claims, a person or
    an organization. None where there is nothing to claim, or OpenVEX has no way to say it: without
    the identity of an image that is known to be the plan's, or a time.

    Raises:
        ParedownError: the CVEs are of another plan.
    """
    require_of(plan, cves.plan, "the list of CVEs")
    product = _product(image)
    if product is None or time is None:
        return None
    claims = list(_Claims(plan, cves).statements(product))
    if not claims:
        return None
    document = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "author": author or AUTHOR,
        "timestamp": time,
        "version": 1,
        "tooling": f"Paredown {__version__}",
        "statements": claims,
    }
    digest = hashlib.sha256(dump(document).encode()).hexdigest()
    named = {"@context": document.pop("@context"), "@id": f"{_PLACE}-{digest}"}
    return dump({**named, **document})


def _product(image: NamedImage) -> dict[str, Any] | None:
    if image.identity is None:
        return None
    purl = image_purl(image)
    product: dict[str, Any] = {"@id": purl.to_string() if purl else image.identity}
    if purl:
        product["identifiers"] = {"purl": purl.to_string()}
    if image.sha256:
        product["hashes"] = {"sha-256": image.sha256}
    return product


class _Claims:
    """What the findings of one plan come to."""

    def __init__(self, plan: Plan, cves: Cves) -> None:
        self._plan = plan
        self._cves = cves
        self._paths = PlanPaths(plan)
        self._packages = {package.key: package for package in plan.packages}
        self._left = {_software(each) for each in plan.packages if each.action != "remove"}
        self._made_from = {record.by for record in plan.evidence if record.kind == "derived"}
        self._kept: dict[str | None, list[str]] = collections.defaultdict(list)
        for listed in plan.kept:
            self._kept[listed.package] += listed.paths()
        self._named: dict[str, list[Finding]] = collections.defaultdict(list)
        for finding in cves.findings:
            for name in {finding.id, *finding.aliases}:
                self._named[name].append(finding)

    def statements(self, product: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield one for each vulnerability of each package, sorted."""
        groups: dict[tuple[str, str], list[Finding]] = collections.defaultdict(list)
        for finding in self._cves.findings:
            if finding.package in self._packages:
                groups[finding.id, finding.package].append(finding)
        for (name, key), findings in sorted(groups.items()):
            purl = package_purl(self._packages[key], self._plan.distribution)
            reason = self._reason(findings, key) if purl else None
            if purl and reason:
                component = {"@id": str(purl), "identifiers": {"purl": str(purl)}}
                aliases = {alias for finding in findings for alias in finding.aliases} - {name}
                yield {
                    "vulnerability": {
                        "name": escape_name(name),
                        **({"aliases": sorted(map(escape_name, aliases))} if aliases else {}),
                    },
                    "products": [{**product, "subcomponents": [component]}],
                    "status": "not_affected",
                    "justification": reason[0],
                    "status_notes": f"{reason[1]} {self._seen(findings)} By {self._plan.id}.",
                }

    def _reason(self, findings: list[Finding], key: str) -> _Reason | None:
        """Return what can be claimed of a vulnerability of a package, and the evidence in words."""
        reasons = []
        called = {finding.name for finding in findings}
        for name in {name for finding in findings for name in (finding.id, *finding.aliases)}:
            for finding in self._named[name]:
                if finding.package == key:
                    reasons.append(self._reason_of(finding, self._packages[key]))
                elif finding.name in called and finding.fate not in _WENT:
                    return None
        return None if None in reasons else min(filter(None, reasons))

    def _reason_of(self, finding: Finding, package: PackageDecision) -> _Reason | None:
        if package.action == "remove":
            whole = not package.kept_files and _software(package) not in self._left
            files = plural(package.files, "file")
            why = f"The package went with all that it had: {files}."
            return ("component_not_present", why) if finding.fate == "gone" and whole else None
        kept = sorted(self._kept[package.key])
        if finding.fate == "file-gone" and self._code_went(finding, package, kept):
            why = f"What it was found in went: {_listed(finding.paths)}."
        elif finding.fate in ("stays", "file-gone") and self._notices(package, kept):
            why = f"Of the package nothing is left but {_listed(kept)}."
        else:
            return None
        return "vulnerable_code_not_present", why

    def _code_went(self, finding: Finding, package: PackageDecision, kept: list[str]) -> bool:
        """Say so only where nothing is left that the files could have been other names of."""
        return (
            all(map(_CODE.fullmatch, finding.paths))
            and all(self._paths.goes(path) for path in finding.paths)
            and {self._paths.owner(path) for path in finding.paths} == {package.key}
            and len(kept) == package.kept_files
            and not any(map(_CODE.fullmatch, kept))
        )

    def _notices(self, package: PackageDecision, kept: list[str]) -> bool:
        return (
            0 < len(kept) == package.kept_files
            and package.key not in self._made_from
            and all(map(_NOTICE.fullmatch, kept))
        )

    def _seen(self, findings: list[Finding]) -> str:
        if any(finding.fate == "stays" for finding in findings):
            return "Scanners go on listing it, as the package is still declared."
        if self._cves.projected:
            return "Projected from the plan."
        return "A scan of the slim image no longer finds it."


def _software(package: PackageDecision) -> tuple[str, str, str]:
    return package.manager, package.name, package.version


def _listed(paths: Iterable[str]) -> str:
    return ", ".join(map(escape_name, paths))
