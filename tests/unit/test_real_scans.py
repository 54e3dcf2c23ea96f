"""Figures from reports of real images and AlmaLinux's real records, against those by other means.

Checked by hand once: the reports were read beside the figures here, each vulnerability with its
package and severity; of the records, a script of 30 lines with rpm's own comparison and nothing of
this project counted what ``test_almalinux_records`` expects. The files are no part of the project:
where they are missing the tests skip.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from fixture_types import Require
from paredown_minimizer.cves.compare import compare
from paredown_schemas.cves import Severity, SeverityCount
from paredown_schemas.plan import Distribution, Layer, PackageDecision, Plan
from plans import example_plan
from scans import SHARED, write

TRIVY = SHARED / "scans/trivy"
GRYPE = SHARED / "scans/grype"


def plan_of(packages: Collection[PackageDecision], **changes: Any) -> Plan:
    return example_plan(packages=tuple(packages), kept=(), removed=(), links=(), **changes)


def decided(name: str, version: str, arch: str, manager: str, gone: Collection[str]) -> Any:
    stays = name not in gone
    return PackageDecision(
        name, arch, version, manager, "keep" if stays else "remove", 1, 1, int(stays), int(stays)
    )


def reported(report: dict[str, Any], gone: Collection[str]) -> Plan:
    """Return a plan with the packages of a report of Trivy, read here once more."""
    found = [each for result in report["Results"] for each in result.get("Vulnerabilities", ())]
    packages = {}
    for each in found:
        purl = each["PkgIdentifier"]["PURL"]
        arch = purl.partition("?arch=")[2].partition("&")[0]
        manager = purl.partition("/")[0].removeprefix("pkg:").replace("deb", "dpkg")
        version = each["InstalledVersion"]
        packages[each["PkgName"]] = decided(each["PkgName"], version, arch, manager, gone)
    layers = tuple(Layer(diff_id) for diff_id in report["Metadata"]["DiffIDs"])
    return plan_of(packages.values(), layers=layers)


# Report -> what the plan removes, and of each severity: before, after, gone.
FIGURES: dict[str, tuple[str, dict[Severity, tuple[int, int, int]]]] = {
    "almalinux-8": ("", {"medium": (1, 1, 0)}),
    "alpine-310": ("libssl1.1", {"medium": (4, 2, 2)}),
    "alpine-39": ("musl-utils libssl1.1", {"critical": (2, 1, 1), "medium": (4, 2, 2)}),
    "alpine-distroless": ("git", {"medium": (1, 0, 1)}),
    "debian-buster": ("bash", {"critical": (1, 1, 0), "low": (1, 0, 1)}),
    "debian-stretch": ("bash e2fsprogs libss2", {"medium": (4, 2, 2), "low": (1, 0, 1)}),
    "distroless-base": ("openssl", {"medium": (2, 1, 1), "low": (2, 1, 1)}),
    "distroless-python27": ("", {"medium": (2, 2, 0), "low": (2, 2, 0)}),
    "rockylinux-8": ("openssl-libs", {"medium": (1, 0, 1)}),
    "ubi-7": ("bash", {"low": (1, 0, 1)}),
}


@pytest.fixture(params=FIGURES)
def name(request: pytest.FixtureRequest, require: Require) -> str:
    require((TRIVY / f"{request.param}.json").is_file(), "no reports of real images")
    return str(request.param)


def counts(name: str) -> tuple[SeverityCount, ...]:
    return tuple(
        SeverityCount(severity, before, after, gone, 0, 0, 0)
        for severity, (before, after, gone) in FIGURES[name][1].items()
    )


def test_projected_from_a_report(name: str) -> None:
    file = TRIVY / f"{name}.json"
    gone, _ = FIGURES[name]
    cves = compare(reported(json.loads(file.read_text()), gone.split()), [file])
    assert cves.counts == counts(name)
    assert cves.projected
    assert cves.warnings == ()


def test_compared_with_a_report_of_what_is_left(name: str, tmp_path: Path) -> None:
    """The report without the packages that go, and then without one that stays: it is lost."""
    file = TRIVY / f"{name}.json"
    report = json.loads(file.read_text())
    gone = FIGURES[name][0].split()
    plan = reported(report, gone)
    for result in report["Results"]:
        found = result.get("Vulnerabilities", ())
        result["Vulnerabilities"] = [each for each in found if each["PkgName"] not in gone]
    report["Metadata"]["DiffIDs"] = ["sha256:" + "0" * 64]
    cves = compare(plan, [file], [write(tmp_path / "after.json", report)])
    assert cves.counts == counts(name)
    assert not cves.projected
    left = [each for result in report["Results"] for each in result["Vulnerabilities"]]
    if left:
        report["Results"][0]["Vulnerabilities"] = left[1:]
        again = compare(plan, [file], [write(tmp_path / "after.json", report)])
        assert [finding.id for finding in again.findings if finding.fate == "lost"] == [
            left[0]["VulnerabilityID"]
        ]


def test_aliases_and_fixes_of_a_report(require: Require) -> None:
    file = TRIVY / "debian-buster.json"
    require(file.is_file(), "no reports of real images")
    libidn, bash = compare(reported(json.loads(file.read_text()), ()), [file]).findings
    assert (libidn.id, libidn.aliases, libidn.fixed) == (
        "CVE-2019-18224",
        ("DSA-4613-1",),
        ("2.0.5-1+deb10u1",),
    )
    assert (bash.id, bash.severity, bash.fixed, bash.package) == (
        "CVE-2019-18276",
        "low",
        (),
        "bash:amd64",
    )


def test_a_report_of_grype(require: Require) -> None:
    """Two matches: an rpm that goes, low, three fixes; and a deb that stays, critical, none."""
    file = GRYPE / "image.json"
    require(file.is_file(), "no reports of real images")
    plan = plan_of(
        [
            decided("package-1", "1.1.1", "x86_64", "rpm", ["package-1"]),
            decided("package-2", "2.2.2", "amd64", "dpkg", ()),
        ]
    )
    cves = compare(plan, [file])
    assert cves.counts == (
        SeverityCount("critical", 1, 1, 0, 0, 0, 0),
        SeverityCount("low", 1, 0, 1, 0, 0, 0),
    )
    assert cves.findings[1].fixed == ("1.2.1", "2.1.3", "3.4.0")
    assert cves.scans[0].tool == "grype [not provided]"
    # Its slim image's scan is empty: what is left is lost.
    both = compare(plan, [file], [GRYPE / "empty.json"])
    assert [finding.fate for finding in both.findings] == ["lost", "gone"]


OLDER = """
function older(...)
  for _, compared in ipairs({...}) do
    if compared ~= 0 then print(compared < 0 and "yes" or "no") return end
  end
  print("no")
end
"""
GONE = ("vim", "python3", "python3-libs", "curl", "systemd", "sqlite", "openssl")


def test_almalinux_records(require: Require, tmp_path: Path) -> None:
    """AlmaLinux 9's advisories against the packages of CBL-Mariner 2.0, as rpm lists them.

    346 pairs of a CVE and a package that is older than the advisory's: 125 of them important, 185
    moderate and 36 low; of the packages that go, 67, 88 and 17. rpm judges each version once more.
    """
    records, database = (
        SHARED / "osv/almalinux9.tar.gz",
        SHARED / "rpm/cbl-mariner-2.0.rpmdb.sqlite",
    )
    require(records.is_file() and database.is_file(), "no records and no database of real images")
    require(shutil.which("rpm") is not None, "rpm")
    with tarfile.open(records) as archive:
        archive.extractall(tmp_path / "osv", filter="data")
    shutil.copy(database, tmp_path / "rpmdb.sqlite")
    form = "%{NAME} %{EPOCHNUM} %{VERSION}-%{RELEASE} %{ARCH}\\n"
    listed = [line.split() for line in rpm(tmp_path, "-qa", "--qf", form).splitlines()]
    packages = [
        decided(name, evr if epoch == "0" else f"{epoch}:{evr}", arch, "rpm", GONE)
        for name, epoch, evr, arch in listed
    ]
    assert len(packages) == 129
    plan = plan_of(packages, distribution=Distribution("almalinux", "9.3"))
    cves = compare(plan, [], [], tmp_path / "osv")
    assert cves.counts == (
        SeverityCount("high", 125, 58, 67, 0, 0, 0),
        SeverityCount("medium", 185, 97, 88, 0, 0, 0),
        SeverityCount("low", 36, 19, 17, 0, 0, 0),
    )
    assert cves.scans[0].database is not None
    assert cves.scans[0].database.startswith("1,783 records")
    installed = {name: (epoch, evr) for name, epoch, evr, _ in listed}
    assert {(f.id, f.name) for f in cves.findings} == older_than_fixed(tmp_path, installed)


def older_than_fixed(space: Path, installed: dict[str, tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the CVEs of the installed packages that rpm says are older than what fixes them."""
    named, script = [], []
    for file in sorted((space / "osv").rglob("*.json")):
        record = json.loads(file.read_text())
        for affected in record["affected"]:
            package = affected["package"]
            if package["ecosystem"] == "AlmaLinux:9" and package["name"] in installed:
                fixed = affected["ranges"][0]["events"][1]["fixed"]
                epoch, _, rest = fixed.rpartition(":")
                pairs = zip(installed[package["name"]][1].split("-"), rest.split("-"), strict=True)
                compared = [f'rpm.vercmp("{mine}", "{theirs}")' for mine, theirs in pairs]
                ours = installed[package["name"]][0]
                script.append(f"older({ours} - {epoch or 0}, {', '.join(compared)})")
                named.append((package["name"], [c for c in record["related"] if "CVE-" in c]))
    (space / "older.lua").write_text(OLDER + "\n".join(script))
    told = re.findall("yes|no", rpm(space, "--eval", f'%{{lua:dofile("{space}/older.lua")}}'))
    assert len(told) == len(named) == 207
    both = zip(named, told, strict=True)
    return {(cve, name) for (name, cves), older in both if older == "yes" for cve in cves}


def rpm(database: Path, *arguments: str) -> str:
    command = ["rpm", "--dbpath", str(database), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
