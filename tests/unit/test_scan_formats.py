"""What each scanner's report says, in one form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paredown_minimizer.cves.formats import FORMATS, read_scan
from paredown_minimizer.cves.reading import parse
from paredown_minimizer.cves.scans import Found, Report, Subject, subject
from paredown_schemas.errors import DamagedInputError
from scans import (
    anything_in,
    below,
    grype,
    grype_match,
    osv_scanner,
    record,
    trivy,
    trivy_result,
    trivy_vulnerability,
    write,
)

CYCLONEDX = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
    "version": 1,
    "metadata": {
        "timestamp": "2025-03-01T12:00:00+00:00",
        "tools": {"components": [{"type": "application", "name": "trivy", "version": "0.60.0"}]},
        "component": {
            "type": "container",
            "name": "app:1",
            "properties": [{"name": "aquasecurity:trivy:DiffID", "value": "sha256:" + "1" * 64}],
        },
    },
    "components": [
        {"bom-ref": "os", "type": "operating-system", "name": "debian", "version": "12"},
        {
            "bom-ref": "pkg:deb/debian/libssl3@3.0.1-1?arch=amd64",
            "type": "library",
            "name": "libssl3",
            "version": "3.0.1-1",
            "purl": "pkg:deb/debian/libssl3@3.0.1-1?arch=amd64&distro=debian-12",
            "components": [
                {
                    "bom-ref": "inner",
                    "type": "library",
                    "group": "@a",
                    "name": "b",
                    "version": "1.0.0",
                    "purl": "pkg:npm/%40a/b@1.0.0",
                    "properties": [
                        {"name": "aquasecurity:trivy:FilePath", "value": "app/b/package.json"}
                    ],
                    "evidence": {"occurrences": [{"location": "/app/other/package.json"}]},
                }
            ],
        },
    ],
    "vulnerabilities": [
        {
            "id": "CVE-2024-0001",
            "source": {"name": "debian"},
            "ratings": [
                {"source": {"name": "nvd"}, "score": 9.8, "severity": "critical"},
                {"source": {"name": "debian"}, "severity": "low"},
            ],
            "recommendation": "Upgrade tls to version 3; Upgrade libssl3 to version 3.0.2-1",
            "affects": [{"ref": "pkg:deb/debian/libssl3@3.0.1-1?arch=amd64"}],
        },
        {
            "id": "GHSA-x",
            "references": [{"id": "CVE-2024-0002", "source": {"name": "NVD"}}],
            "ratings": [{"score": 7.5, "method": "CVSSv31"}],
            "affects": [{"ref": "urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#inner"}],
        },
        {"id": "CVE-2024-0003", "affects": [{"ref": "pkg:npm/else@2.0.0"}]},
        {
            "id": "CVE-2024-0004",
            "analysis": {"state": "not_affected"},
            "affects": [{"ref": "inner"}],
        },
    ],
}


def read(space: Path, document: Any) -> Report:
    return read_scan(write(space / "scan.json", document), "before")[1]


def test_grype(tmp_path: Path) -> None:
    match = grype_match(
        "GHSA-1",
        "libssl3",
        "3.0.1-1",
        purl="pkg:deb/debian/libssl3@3.0.1-1?arch=amd64&upstream=openssl%403.0.1",
        fixed=["3.0.2-1"],
        related=["CVE-2024-0001"],
        paths=["/var/lib/dpkg/status"],
    )
    report = read(tmp_path, grype([match], layers=["sha256:1"]))
    assert report == Report(
        "grype",
        (
            Found(
                "CVE-2024-0001",
                ("GHSA-1",),
                "high",
                ("3.0.2-1",),
                Subject(
                    "libssl3", "3.0.1-1", "dpkg", "amd64", "openssl", ("/var/lib/dpkg/status",)
                ),
            ),
        ),
        (),
        "grype 0.90.0",
        "schema v6.0.2, 2025-03-01T04:08:24Z",
        None,
        "app:1",
        ("sha256:1",),
    )


def test_grype_with_its_older_database(tmp_path: Path) -> None:
    older = grype([])
    older["descriptor"]["db"] = {"built": "2024-01-01T00:00:00Z", "schemaVersion": 5}
    older["source"] = {"type": "directory", "target": "/srv/tree"}
    report = read(tmp_path, older)
    assert (report.database, report.image) == ("schema 5, 2024-01-01T00:00:00Z", "/srv/tree")


def test_trivy(tmp_path: Path) -> None:
    purl = "pkg:rpm/alma/openssl-libs@3.0.1-1.el9?arch=x86_64&distro=alma-9&epoch=1"
    package = {
        "ID": "openssl-libs@1:3.0.1-1.el9",
        "Name": "openssl-libs",
        "Identifier": {"PURL": purl},
        "Version": "3.0.1",
        "Release": "1.el9",
        "Epoch": 1,
        "SrcName": "openssl",
    }
    report = read(
        tmp_path,
        trivy(
            trivy_result(
                [
                    trivy_vulnerability(
                        "CVE-2024-0001",
                        "openssl-libs",
                        "1:3.0.1-1.el9",
                        severity="MEDIUM",
                        fixed="1:3.0.2-1.el9, 1:3.0.3-1.el9",
                        purl=purl,
                    )
                ],
                type_="alma",
                packages=[package],
            ),
            trivy_result(
                [trivy_vulnerability("CVE-2024-0002", "stdlib", "v1.20.1", severity="odd")],
                class_="lang-pkgs",
                type_="gobinary",
                target="usr/bin/tool",
            ),
        ),
    )
    libs = Subject("openssl-libs", "1:3.0.1-1.el9", "rpm", "x86_64", "openssl")
    assert report.found == (
        Found("CVE-2024-0001", (), "medium", ("1:3.0.2-1.el9", "1:3.0.3-1.el9"), libs),
        Found(
            "CVE-2024-0002",
            (),
            "unknown",
            (),
            Subject("stdlib", "v1.20.1", "gobinary", paths=("/usr/bin/tool",)),
        ),
    )
    assert report.packages == (libs,)
    assert (report.tool, report.database) == ("trivy 0.60.0", None)


def test_osv_scanner(tmp_path: Path) -> None:
    vulnerability = record(
        "DEBIAN-CVE-2024-0001",
        "Debian:12",
        "openssl",
        *below("3.0.2-1"),
        upstream=["CVE-2024-0001"],
    )
    package = {
        "package": {
            "name": "openssl",
            "os_package_name": "libssl3",
            "version": "3.0.1-1",
            "ecosystem": "Debian:12",
        },
        "vulnerabilities": [vulnerability],
        "groups": [{"ids": [vulnerability["id"]], "aliases": [], "max_severity": "7.5"}],
    }
    clean = {"package": {"name": "lib", "version": "1", "ecosystem": "Debian:12"}}
    path = ("/var/lib/dpkg/status",)
    libssl = Subject("libssl3", "3.0.1-1", "dpkg", source="openssl", paths=path)
    report = read(tmp_path, osv_scanner(package, clean))
    assert report.found == (
        Found("CVE-2024-0001", ("DEBIAN-CVE-2024-0001",), "high", ("3.0.2-1",), libssl),
    )
    assert report.packages == (libssl, Subject("lib", "1", "dpkg", paths=path))
    assert report.layers == ("sha256:" + "1" * 64,)
    assert read(tmp_path, osv_scanner(package)).packages == ()  # lists none but those with some


def test_cyclonedx(tmp_path: Path) -> None:
    report = read(tmp_path, CYCLONEDX)
    libssl = Subject("libssl3", "3.0.1-1", "dpkg", "amd64")
    inner = Subject(
        "@a/b", "1.0.0", "npm", paths=("/app/b/package.json", "/app/other/package.json")
    )
    assert report.found == (
        Found("CVE-2024-0001", (), "low", ("3.0.2-1",), libssl),
        Found("CVE-2024-0002", ("GHSA-x",), "high", (), inner),
        Found("CVE-2024-0003", (), "unknown", (), Subject("else", "2.0.0", "npm")),
    )
    assert set(report.packages) == {libssl, inner}
    assert (report.tool, report.image) == ("trivy 0.60.0", "app:1")
    assert report.layers == ("sha256:" + "1" * 64,)
    older = {**CYCLONEDX, "metadata": {"tools": [{"vendor": "x", "name": "y", "version": "1"}]}}
    assert read(tmp_path, older).tool == "y 1"


def test_a_scan_is_named_by_what_it_is_of(tmp_path: Path) -> None:
    scan, _ = read_scan(write(tmp_path / "a", trivy()), "after")
    assert (scan.side, scan.format, scan.image) == ("after", "trivy", "app:1")
    same, _ = read_scan(write(tmp_path / "b", trivy()), "after")
    assert scan == same


REPORTS = [
    grype([grype_match("CVE-1", "a", "1")]),
    trivy(trivy_result([trivy_vulnerability("C", "a", "1")])),
    osv_scanner({"package": {"name": "a", "version": "1", "ecosystem": "npm"}}),
    CYCLONEDX,
]


@pytest.mark.parametrize("report", REPORTS, ids=[reader.name for reader in FORMATS])
@given(data=st.data())
def test_anything_anywhere_is_read_or_refused(report: Any, data: st.DataObject) -> None:
    """A value of another type in any place: a report, or an error that names the place."""
    document = anything_in(report, data)
    node = parse(json.dumps(document).encode(), "cannot read scan x")
    for reader in FORMATS:
        try:
            if reader.detect(node):
                reader.read(node)
        except DamagedInputError as error:
            assert str(error).startswith("cannot read scan x: $")


def test_components_in_components_without_end() -> None:
    component: dict[str, Any] = {"name": 3}
    for _ in range(300):
        component = {"name": "a", "components": [component]}
    text = json.dumps({**CYCLONEDX, "components": [component]}).encode()
    with pytest.raises(DamagedInputError, match=r"\$\.components\[0\]\.components.*must be a text"):
        FORMATS[3].read(parse(text, "cannot read scan x"))


@pytest.mark.parametrize(
    ("purl", "source"),
    [
        ("pkg:rpm/redhat/libcurl@7-1?epoch=1&upstream=curl-7-1.src.rpm", "curl"),
        ("pkg:rpm/redhat/vim-minimal@9-1?upstream=vim-9-1.nosrc.rpm", "vim"),
        ("pkg:apk/alpine/libssl3@3-r0?upstream=openssl", "openssl"),
    ],
)
def test_purls_tell_the_source_package(purl: str, source: str) -> None:
    assert subject("", "", "", purl).source == source
