"""What becomes of each CVE of the original: the three figures, and what stays or is new."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import scans
from paredown_minimizer.cves.compare import compare
from paredown_schemas.cves import Cves, Finding, SeverityCount
from paredown_schemas.errors import DamagedInputError, UsageError
from paredown_schemas.plan import DirectoryLink, Layer, ListedPaths, PackageDecision, Plan
from plans import example_plan
from scans import grype, grype_match, trivy, trivy_result, trivy_vulnerability, write


def language(manager: str, name: str, place: str, action: Any, version: str) -> PackageDecision:
    """Return a language's package of two files."""
    kept = {"keep": 2, "trim": 1, "remove": 0}[action]
    return PackageDecision(name, "", version, manager, action, 2, 10, kept, kept * 5, place)


def system(name: str, action: Any, version: str, source: str | None = None) -> PackageDecision:
    """Return a package of Debian."""
    kept = {"keep": 2, "trim": 1, "remove": 0}[action]
    return PackageDecision(
        name, "amd64", version, "dpkg", action, 2, 10, kept, kept * 5, source=source
    )


PLAN = example_plan(
    packages=(
        system("bash", "remove", "5.2.15-2+b2", "bash-source"),
        system("libc-bin", "remove", "2.36-9", "glibc"),
        system("libc6", "keep", "2.36-9", "glibc"),
        system("liblog4j2-java", "trim", "2.19.0-2", "apache-log4j2"),
        system("python3-jwt", "trim", "2.6.0-1"),
        language("java", "app", "/srv/app.jar", "keep", "1.0"),
        language("npm", "ms", "/app/node_modules/ms", "keep", "2.1.2"),
        language("npm", "ms", "/app/node_modules/debug/node_modules/ms", "remove", "2.0.0"),
        language("python", "flask", "/usr/lib/python3/site", "remove", "2.2.2"),
    ),
    links=(DirectoryLink("/lib", "/usr/lib"),),
    kept=(
        ListedPaths("java:app@/srv/app.jar", "/srv", ("app.jar",)),
        ListedPaths("libc6:amd64", "/usr/lib", ("libc.so.6",)),
        ListedPaths("npm:ms@/app/node_modules/ms", "/app/node_modules/ms", ("package.json",)),
    ),
    removed=(
        ListedPaths(None, "/opt", ("tool",)),
        ListedPaths("liblog4j2-java:amd64", "/usr/share/java", ("log4j-core.jar",)),
        ListedPaths(
            "npm:ms@/app/node_modules/debug/node_modules/ms",
            "/app/node_modules/debug/node_modules/ms",
            ("package.json",),
        ),
        ListedPaths("python3-jwt:amd64", "/usr/lib/python3/jwt.dist-info", ("METADATA",)),
    ),
)
BASH = grype_match("CVE-2022-3715", "bash", "5.2.15-2+b2", paths=["/var/lib/dpkg/status"])
LIBC = grype_match("CVE-2023-4911", "libc6", "2.36-9", paths=["/var/lib/dpkg/status"])


def made(tmp_path: Path, before: Any, after: Any = None, plan: Plan = PLAN) -> Cves:
    """Compare two reports, or project one."""
    old = [write(tmp_path / "before.json", before)]
    new = [write(tmp_path / "after.json", after)] if after is not None else []
    return compare(plan, old, new)


def fates(cves: Cves) -> dict[str, str]:
    return {finding.id: finding.fate for finding in cves.findings}


def test_gone_with_its_package_and_left_with_it(tmp_path: Path) -> None:
    cves = made(tmp_path, grype([BASH, LIBC]), grype([LIBC]))
    assert fates(cves) == {"CVE-2022-3715": "gone", "CVE-2023-4911": "stays"}
    assert {finding.package for finding in cves.findings} == {"bash:amd64", "libc6:amd64"}
    assert cves.counts == (SeverityCount("high", 2, 1, 1, 0, 0, 0),)
    assert not cves.projected
    assert cves.warnings == ()


def test_lost_where_its_package_is_left_and_the_scan_lacks_it(tmp_path: Path) -> None:
    cves = made(tmp_path, grype([BASH, LIBC]), grype([]))
    assert fates(cves) == {"CVE-2022-3715": "gone", "CVE-2023-4911": "lost"}
    assert cves.counts == (SeverityCount("high", 2, 0, 1, 0, 1, 0),)


def test_projected_from_the_plan_where_the_slim_image_was_not_scanned(tmp_path: Path) -> None:
    cves = made(tmp_path, grype([BASH, LIBC]))
    assert fates(cves) == {"CVE-2022-3715": "gone", "CVE-2023-4911": "stays"}
    assert cves.projected


def test_new_in_the_slim_image(tmp_path: Path) -> None:
    cves = made(tmp_path, grype([]), grype([LIBC]))
    assert fates(cves) == {"CVE-2023-4911": "new"}
    assert cves.counts == (SeverityCount("high", 0, 1, 0, 0, 0, 1),)


@pytest.mark.parametrize("scanned", [True, False])
def test_file_gone_while_its_package_is_declared(tmp_path: Path, scanned: bool) -> None:
    jar = "/usr/share/java/log4j-core.jar"
    before = grype(
        [
            grype_match("GHSA-a", "log4j-core", "2.19.0", "java-archive", paths=[jar]),
            grype_match(
                "GHSA-b",
                "PyJWT",
                "2.6.0",
                "python",
                paths=["/lib/python3/jwt.dist-info/METADATA"],
                purl="pkg:pypi/pyjwt@2.6.0",
            ),
        ]
    )
    cves = made(tmp_path, before, grype([]) if scanned else None)
    assert {(f.id, f.fate, f.package) for f in cves.findings} == {
        ("GHSA-a", "file-gone", "liblog4j2-java:amd64"),
        ("GHSA-b", "file-gone", "python3-jwt:amd64"),
    }


def test_one_of_several_places_that_is_left_is_enough_to_stay(tmp_path: Path) -> None:
    jar = "/usr/share/java/log4j-core.jar"
    found = grype_match("GHSA-a", "log4j", "1", "java-archive", paths=[jar, "/srv/log4j.jar"])
    assert fates(made(tmp_path, grype([found]))) == {"GHSA-a": "stays"}
    twice = [grype_match("GHSA-a", "log4j", "1", "java-archive", paths=[p]) for p in (jar, "/x")]
    assert sorted(f.fate for f in made(tmp_path, grype(twice)).findings) == ["file-gone", "stays"]


def test_architectures_are_told_apart(tmp_path: Path) -> None:
    foreign = dataclasses.replace(system("libc6", "remove", "2.36-9"), architecture="i386")
    plan = dataclasses.replace(PLAN, packages=(foreign, *PLAN.packages))
    purl = "pkg:deb/debian/libc6@2.36-9?arch={}&distro=debian-12"
    found = [
        grype_match(f"CVE-2024-000{n}", "libc6", "2.36-9", purl=purl.format(arch))
        for n, arch in enumerate(("amd64", "i386"))
    ]
    cves = made(tmp_path, grype(found), plan=plan)
    assert fates(cves) == {"CVE-2024-0000": "stays", "CVE-2024-0001": "gone"}


def test_what_no_package_has_goes_with_its_file_or_is_lost(tmp_path: Path) -> None:
    before = grype(
        [
            grype_match("CVE-2024-0001", "stdlib", "go1.20", "go-module", paths=["/opt/tool"]),
            grype_match("CVE-2024-0002", "stdlib", "go1.20", "go-module", paths=["/opt/other"]),
            grype_match("CVE-2024-0003", "what", "1", "github-action"),
        ]
    )
    cves = made(tmp_path, before)
    assert fates(cves) == {
        "CVE-2024-0001": "gone",
        "CVE-2024-0002": "stays",
        "CVE-2024-0003": "stays",
    }
    assert any("the plan does not know" in warning for warning in cves.warnings)
    again = made(tmp_path, before, grype([]))
    assert fates(again) == {
        "CVE-2024-0001": "gone",
        "CVE-2024-0002": "lost",
        "CVE-2024-0003": "lost",
    }


def test_copies_of_a_languages_package_are_told_apart_by_version_and_place(tmp_path: Path) -> None:
    result = trivy_result(
        [
            trivy_vulnerability("CVE-1111-1111", "ms", "2.0.0"),
            trivy_vulnerability("CVE-1111-1112", "ms", "2.1.2"),
            trivy_vulnerability(
                "CVE-1111-1113",
                "ms",
                "9",
                path="app/node_modules/debug/node_modules/ms/package.json",
            ),
        ],
        class_="lang-pkgs",
        type_="node-pkg",
        target="Node.js",
    )
    cves = made(tmp_path, trivy(result))
    assert fates(cves) == {
        "CVE-1111-1111": "gone",
        "CVE-1111-1112": "stays",
        "CVE-1111-1113": "gone",
    }


def test_an_archive_in_an_archive_shares_its_fate(tmp_path: Path) -> None:
    result = trivy_result(
        [
            trivy_vulnerability(
                "CVE-2021-44228",
                "org.apache.logging.log4j:log4j-core",
                "2.14.1",
                path="srv/app.jar/BOOT-INF/lib/log4j-core-2.14.1.jar",
            )
        ],
        class_="lang-pkgs",
        type_="jar",
        target="Java",
    )
    (finding,) = made(tmp_path, trivy(result)).findings
    assert (finding.fate, finding.package) == ("stays", "java:app@/srv/app.jar")


def test_a_source_package_means_all_that_was_built_of_it(tmp_path: Path) -> None:
    """osv-scanner and Debian's records name glibc: libc6 stays, libc-bin goes."""
    before = grype(
        [
            grype_match("CVE-2222-2221", "glibc", "2.36-9"),
            grype_match("CVE-2222-2222", "bash-source", "5.2.15-2"),
            grype_match("CVE-2222-2223", "odd", "1", upstream=["bash-source"]),
        ]
    )
    cves = made(tmp_path, before)
    assert {(f.id, f.fate, f.package) for f in cves.findings} == {
        ("CVE-2222-2221", "stays", "libc6:amd64"),
        ("CVE-2222-2222", "gone", "bash:amd64"),
        ("CVE-2222-2223", "gone", "bash:amd64"),
    }


def test_python_names_in_any_spelling(tmp_path: Path) -> None:
    found = grype_match("CVE-2333-2333", "Flask", "2.2.2", "python")
    assert made(tmp_path, grype([found])).findings[0].package == (
        "python:flask@/usr/lib/python3/site"
    )


def test_one_cve_however_often_and_under_which_name_it_was_found(tmp_path: Path) -> None:
    before = grype(
        [
            grype_match("GHSA-xxxx", "bash", "5.2.15-2+b2", related=["CVE-2022-3715"]),
            grype_match("CVE-2022-3715", "bash", "5.2.15-2+b2", severity="Low", fixed=["6"]),
        ]
    )
    (finding,) = made(tmp_path, before).findings
    assert finding == Finding(
        "CVE-2022-3715",
        "bash",
        "5.2.15-2+b2",
        "high",
        "gone",
        "bash:amd64",
        ("GHSA-xxxx",),
        ("6",),
    )


def test_an_advisory_counts_once_for_each_of_its_cves(tmp_path: Path) -> None:
    found = grype_match("ELSA-1", "bash", "5.2.15-2+b2", related=["CVE-2022-1111", "cve-2022-2222"])
    cves = made(tmp_path, grype([found]))
    assert [(f.id, f.aliases) for f in cves.findings] == [
        ("CVE-2022-1111", ("ELSA-1",)),
        ("CVE-2022-2222", ("ELSA-1",)),
    ]


def test_two_scanners_are_each_compared_with_their_own(tmp_path: Path) -> None:
    """What Trivy alone found is projected where it did not look again."""
    tzdata = trivy_result([trivy_vulnerability("CVE-2024-9", "libc6", "2.36-9")])
    before = [
        write(tmp_path / "grype", grype([LIBC])),
        write(tmp_path / "trivy", trivy(tzdata)),
    ]
    after = [write(tmp_path / "after", grype([LIBC]))]
    cves = compare(PLAN, before, after)
    assert set(fates(cves).values()) == {"stays"}
    assert cves.projected
    assert "no trivy scan of the slim image" in cves.warnings[0]


def test_other_scanners_and_databases_are_told(tmp_path: Path) -> None:
    old, new = grype([LIBC]), grype([LIBC], version="0.91.0", built="2025-03-02T04:00:00Z")
    cves = made(tmp_path, old, new)
    assert cves.warnings == (
        "not the same scanner: grype 0.90.0 before, grype 0.91.0 after",
        (
            "not the same database of grype: schema v6.0.2, 2025-03-01T04:08:24Z before, "
            "schema v6.0.2, 2025-03-02T04:00:00Z after"
        ),
    )
    (warning,) = made(tmp_path, trivy(), trivy(created="2025-03-01T13:00:00Z")).warnings
    assert "trivy does not say which database it used" in warning
    assert "2025-03-01T12:00:00Z and 2025-03-01T13:00:00Z" in warning


def test_scans_of_other_images_are_told(tmp_path: Path) -> None:
    plan = dataclasses.replace(PLAN, layers=(Layer("sha256:" + "1" * 64),))
    same = grype([LIBC], layers=["sha256:" + "1" * 64])
    assert made(tmp_path, same, plan=plan).warnings == ()
    other = grype([LIBC], layers=["sha256:" + "2" * 64])
    assert "is not of the plan's image" in made(tmp_path, other, plan=plan).warnings[0]
    older = grype([grype_match("CVE-1-1", "libc6", "2.31-1")])
    assert "of another version than the plan's: libc6 2.31-1" in made(tmp_path, older).warnings[0]
    kept = made(tmp_path, grype([BASH]), grype([BASH]))
    assert "shows 1 package that the plan removes: bash 5.2.15-2+b2" in kept.warnings[0]


def test_findings_and_counts_are_sorted_worst_first(tmp_path: Path) -> None:
    words = ["Low", "Unknown", "Critical", "Negligible", "Medium", "High"]
    matches = [
        grype_match(f"CVE-2020-111{n}", "bash", "5.2.15-2+b2", severity=word)
        for n, word in enumerate(words)
    ]
    cves = made(tmp_path, grype(matches))
    order = ["critical", "high", "medium", "low", "negligible", "unknown"]
    assert [finding.severity for finding in cves.findings] == order
    assert [count.severity for count in cves.counts] == order
    again = made(tmp_path, grype(matches[::-1]))
    assert again.findings == cves.findings


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(UsageError, match="no scan of the original"):
        compare(PLAN, [])


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"matches": 3, "descriptor": {}}, r"\$\.matches must be a list"),
        ({"matches": [3], "descriptor": {}}, r"\$\.matches\[0\] must be an object"),
        (
            grype([grype_match("", "bash", "1")]),
            r"\$\.matches\[0\]\.vulnerability\.id must be a text",
        ),
        (
            grype([grype_match("CVE-1", "x" * 5000, "1")]),
            r"\$\.matches\[0\]\.artifact\.name is longer",
        ),
        ({**trivy(), "SchemaVersion": 3}, r"\$\.SchemaVersion must be 2"),
        (
            trivy({"Vulnerabilities": [{"VulnerabilityID": ["x"]}]}),
            r"\$\.Results\[0\]\.Vulnerabilities\[0\]\.VulnerabilityID must be a text",
        ),
        ({"bomFormat": "SPDX"}, "of no format that is known"),
    ],
)
def test_what_is_wrong_in_a_scan_is_told_with_its_place(
    tmp_path: Path, document: Any, where: str
) -> None:
    with pytest.raises(DamagedInputError, match=rf"cannot read scan .*before\.json: {where}"):
        made(tmp_path, document)


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"a": nul}'])
def test_what_is_no_scan_at_all_is_told(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "scan"
    file.write_bytes(raw)
    with pytest.raises(DamagedInputError, match="cannot read scan"):
        compare(PLAN, [file])


def test_reports_of_real_images_are_read() -> None:
    files = sorted(scans.SHARED.glob("scans/*/*.json"))
    if not files:
        pytest.skip("no reports of real images beside the project")
    counts = {file.stem: len(compare(PLAN, [file]).findings) for file in files}
    assert counts["image"] == 2
    assert counts["empty"] == 0


def listing(*names: str) -> dict[str, Any]:
    """Return a report of Trivy with a list of Debian's packages."""
    packages = [{"ID": name, "Name": name, "Version": "1"} for name in names]
    return trivy(trivy_result([], packages=packages))


def test_packages_that_a_scan_no_longer_shows_are_hidden(tmp_path: Path) -> None:
    """Those that it showed before; all of the system's where nothing tells."""
    before = listing("bash", "libc6", "python3-jwt")
    hidden = made(tmp_path, before, listing("libc6"))
    assert hidden.hidden == ("python3-jwt:amd64",)
    assert "does not show 1 package: python3-jwt:amd64" in hidden.warnings[-1]
    assert made(tmp_path, before, listing("libc6", "python3-jwt")).hidden == ()
    alone = made(tmp_path, trivy(), listing("libc6"))
    assert alone.hidden == ("liblog4j2-java:amd64", "python3-jwt:amd64")
    none = made(tmp_path, before, trivy())
    assert none.hidden == ()
    assert none.warnings[-1] == "the trivy scan of the slim image lists no packages"


def test_rpms_of_several_versions_are_known_by_their_name(tmp_path: Path) -> None:
    """Their keys have the version in them: kernel-core-5.14.0-1.el9:x86_64."""
    actions: list[tuple[int, Any]] = [(1, "remove"), (2, "keep")]
    kernels = [
        PackageDecision(
            f"kernel-core-5.14.0-{n}.el9", "x86_64", f"5.14.0-{n}.el9", "rpm", action, 1, 1, 0, 0
        )
        for n, action in actions
    ]
    plan = example_plan(packages=tuple(kernels))
    found = [
        grype_match(f"CVE-2024-000{n}", "kernel-core", f"0:5.14.0-{n}.el9", "rpm") for n in (1, 2)
    ]
    cves = made(tmp_path, grype(found), plan=plan)
    assert fates(cves) == {"CVE-2024-0001": "gone", "CVE-2024-0002": "stays"}
    assert cves.warnings == ()
