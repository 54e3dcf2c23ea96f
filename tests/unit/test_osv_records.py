"""OSV records matched against a plan's packages, without any scanner."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paredown_minimizer.cves.compare import compare
from paredown_schemas.cves import Cves
from paredown_schemas.errors import DamagedInputError, ParedownError
from paredown_schemas.plan import Distribution, PackageDecision
from plans import example_plan
from scans import anything_in, below, record


def package(manager: str, name: str, version: str, **more: Any) -> PackageDecision:
    """Return a package that stays whole, unless ``more`` says otherwise."""
    location = None if manager in ("dpkg", "apk", "rpm") else f"/app/{name}"
    action = more.pop("action", "keep")
    return PackageDecision(
        name, "", version, manager, action, 1, 1, int(action == "keep"), 1, location, **more
    )


def matched(space: Path, distribution: str, packages: list[PackageDecision], *records: Any) -> Cves:
    """Match records; a distribution is as in "debian 12"."""
    space.mkdir(exist_ok=True)
    for number, each in enumerate(records):
        (space / f"{number}.json").write_text(json.dumps(each))
    id_, version, *name = distribution.split(" ", 2)
    plan = example_plan(
        packages=tuple(packages),
        distribution=Distribution(id_, version, name[0] if name else None),
        kept=(),
        removed=(),
    )
    return compare(plan, [], [], space)


def ids(cves: Cves) -> list[str]:
    return [finding.id for finding in cves.findings]


@pytest.mark.parametrize(
    ("distribution", "ecosystem", "name", "manager", "more"),
    [
        ("debian 12", "Debian:12", "glibc", "dpkg", {"source": "glibc"}),
        ("ubuntu 22.04", "Ubuntu:22.04:LTS", "glibc", "dpkg", {"source": "glibc"}),
        ("ubuntu 24.10", "Ubuntu:24.10", "glibc", "dpkg", {"source": "glibc"}),
        ("alpine 3.20.3", "Alpine:v3.20", "glibc", "apk", {"source": "glibc"}),
        ("wolfi 20230201", "Wolfi", "glibc", "apk", {"source": "glibc"}),
        ("chainguard 20230214", "Chainguard", "lib", "apk", {"source": "glibc"}),
        ("almalinux 9.3", "AlmaLinux:9", "lib", "rpm", {"source": "glibc"}),
        ("rocky 9.3", "Rocky Linux:9", "glibc", "rpm", {"source": "glibc"}),
        ("rhel 9.4", "Red Hat:enterprise_linux:9::appstream", "lib", "rpm", {}),
        ("opensuse-leap 15.5 openSUSE Leap 15.5", "openSUSE:Leap 15.5", "lib", "rpm", {}),
        ("sles 15.5", "SUSE:Linux Enterprise Module for Basesystem 15 SP5", "lib", "rpm", {}),
        ("debian 12", "PyPI", "LIB", "python", {}),
        ("debian 12", "npm", "lib", "npm", {}),
        ("debian 12", "RubyGems", "lib", "gem", {}),
        ("debian 12", "Packagist", "Lib", "composer", {}),
        ("debian 12", "Maven", "org.example:lib", "java", {}),
        ("debian 12", "Maven", "org.example:lib", "java", {"group": "org.example"}),
    ],
)
def test_records_of_every_ecosystem_name_packages_in_their_own_way(
    tmp_path: Path, distribution: str, ecosystem: str, name: str, manager: str, more: Any
) -> None:
    older = package(manager, "lib", "1.2.3", **more)
    cves = matched(
        tmp_path, distribution, [older], record("CVE-2024-1", ecosystem, name, *below("1.10.0"))
    )
    (finding,) = cves.findings
    assert (finding.id, finding.package, finding.fixed) == ("CVE-2024-1", older.key, ("1.10.0",))
    newer = package(manager, "lib", "1.10.0", **more)
    assert matched(tmp_path, distribution, [newer]).findings == ()


@pytest.mark.parametrize(
    ("distribution", "ecosystem", "name"),
    [
        ("debian 12", "Debian:11", "glibc"),
        ("debian 12", "Ubuntu:22.04:LTS", "glibc"),
        ("debian 12", "Debian:12", "lib"),  # records name the source
        ("ubuntu 22.04", "Ubuntu:Pro:22.04:LTS", "glibc"),
        ("ubuntu 22.04", "Ubuntu:22.10", "glibc"),
    ],
)
def test_records_of_other_releases_are_not_the_images(
    tmp_path: Path, distribution: str, ecosystem: str, name: str
) -> None:
    lib = package("dpkg", "lib", "1.2.3", source="glibc")
    other = record("CVE-2024-1", ecosystem, name, *below("9"))
    assert ids(matched(tmp_path, distribution, [lib], other)) == []


def test_java_archives_of_another_group_are_not_meant(tmp_path: Path) -> None:
    lib = package("java", "lib", "1.0", group="com.other")
    other = record("CVE-2024-1", "Maven", "org.example:lib", *below("9"))
    assert ids(matched(tmp_path, "debian 12", [lib], other)) == []
    alone = matched(tmp_path, "debian 12", [package("java", "lib", "1.0")])
    assert ids(alone) == ["CVE-2024-1"]
    assert "tell no group" in alone.warnings[0]


def test_suses_binary_packages_are_those_of_the_source(tmp_path: Path) -> None:
    binaries = {"ecosystem_specific": {"binaries": [{"libopenssl3": "3.1", "openssl": "3.1"}]}}
    found = record("SUSE-SU-1", "SUSE:x 15 SP5", "openssl-3", *below("3.1-1"), affected=binaries)
    packages = [
        package("rpm", "libopenssl3", "3.0-1", source="openssl-3"),
        package("rpm", "openssl-3-doc", "3.0-1", source="openssl-3"),
    ]
    cves = matched(tmp_path, "sles 15.5", packages, found)
    assert [finding.name for finding in cves.findings] == ["libopenssl3"]


@pytest.mark.parametrize("binary", [{"binary_name": "lib3", "binary_version": "9"}, {"lib3": "9"}])
def test_ubuntus_binary_packages_say_nothing_new(tmp_path: Path, binary: dict[str, str]) -> None:
    binaries = {"ecosystem_specific": {"binaries": [binary]}}
    found = record("CVE-2024-1", "Ubuntu:22.04:LTS", "src", *below("2"), affected=binaries)
    lib = package("dpkg", "lib3", "1", source="src")
    assert ids(matched(tmp_path, "ubuntu 22.04", [lib], found)) == ["CVE-2024-1"]


def test_the_source_packages_version_counts_where_records_name_it(tmp_path: Path) -> None:
    """Debian's binary packages may have versions of their own: 1:5.2 of source 1.0."""
    lib = package("dpkg", "lib", "1:5.2", source="src", source_version="1.0")
    found = record("CVE-2024-1", "Debian:12", "src", *below("1.1"))
    assert ids(matched(tmp_path, "debian 12", [lib], found)) == ["CVE-2024-1"]


VERSIONS = "0.1 0.9 1.0 1.1 1.2 1.9 2.0 2.1 9"


@pytest.mark.parametrize(
    ("events", "affected"),
    [
        ([{"introduced": "0"}], VERSIONS),
        ([{"introduced": "0"}, {"fixed": "1.0"}], "0.1 0.9"),
        ([{"fixed": "1.0"}, {"introduced": "0"}], "0.1 0.9"),
        ([{"introduced": "1.0"}, {"fixed": "2.0"}], "1.0 1.1 1.2 1.9"),
        ([{"introduced": "1.0"}, {"last_affected": "2.0"}], "1.0 1.1 1.2 1.9 2.0"),
        ([{"introduced": "0"}, {"limit": "1.0"}], "0.1 0.9"),
        ([{"introduced": "0"}, {"limit": "*"}], VERSIONS),
        (
            [{"introduced": "1.0"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"fixed": "2.1"}],
            "1.0 1.1 2.0",
        ),
        ([{"introduced": "3.0"}], "9"),
        ([], ""),
    ],
)
def test_ranges_mean_what_the_schema_says(
    tmp_path: Path, events: list[dict[str, str]], affected: str
) -> None:
    """The versions that the schema's pseudocode calls vulnerable, worked out by hand."""
    found = record("CVE-2024-1", "npm", "lib", *events)
    hit = [
        version
        for version in VERSIONS.split()
        if matched(tmp_path, "debian 12", [package("npm", "lib", version)], found).findings
    ]
    assert hit == affected.split()


def test_fixes_are_those_that_come_after_the_version(tmp_path: Path) -> None:
    events = [{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"fixed": "2.1"}]
    found = record("CVE-2024-1", "npm", "lib", *events)
    cves = matched(tmp_path, "debian 12", [package("npm", "lib", "2.0")], found)
    assert cves.findings[0].fixed == ("2.1",)


def test_listed_versions_and_withdrawn_records(tmp_path: Path) -> None:
    listed = record("CVE-2024-1", "npm", "lib", affected={"ranges": [], "versions": ["1.0"]})
    gone = record("CVE-2024-2", "npm", "lib", *below("9"), withdrawn="2024-01-01T00:00:00Z")
    git = record("CVE-2024-3", "npm", "lib")
    git["affected"][0]["ranges"] = [{"type": "GIT", "repo": "x", "events": [{"introduced": "0"}]}]
    lib = package("npm", "lib", "1.0")
    assert ids(matched(tmp_path, "debian 12", [lib], listed, gone, git)) == ["CVE-2024-1"]


@pytest.mark.parametrize(
    ("more", "severity"),
    [
        ({}, "unknown"),
        ({"database_specific": {"severity": "MODERATE"}}, "medium"),
        ({"affected": {"ecosystem_specific": {"urgency": "unimportant"}}}, "negligible"),
        ({"affected": {"ecosystem_specific": {"urgency": "not yet assigned"}}}, "unknown"),
        ({"severity": [{"type": "Ubuntu", "score": "low"}]}, "low"),
        (
            {
                "severity": [
                    {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}
                ]
            },
            "critical",
        ),
        ({"severity": [{"type": "CVSS_V2", "score": "AV:L/AC:L/Au:N/C:P/I:N/A:N"}]}, "low"),
        ({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/nonsense"}]}, "unknown"),
        ({"summary": "Important: lib security update"}, "high"),
        ({"database_specific": {"severity": ["odd"]}}, "unknown"),
    ],
)
def test_severity_by_word_vector_or_summary(
    tmp_path: Path, more: dict[str, Any], severity: str
) -> None:
    found = record("CVE-2024-1", "npm", "lib", *below("9"), **more)
    cves = matched(tmp_path, "debian 12", [package("npm", "lib", "1.0")], found)
    assert cves.findings[0].severity == severity


def test_names_of_one_vulnerability_and_of_advisories(tmp_path: Path) -> None:
    records = [
        record(
            "GHSA-a",
            "npm",
            "lib",
            *below("9"),
            aliases=["CVE-2024-0001"],
            related=["CVE-2020-0009"],
        ),
        record("DEBIAN-CVE-2024-0002", "npm", "lib", *below("9"), upstream=["CVE-2024-0002"]),
        record("ALSA-1", "npm", "lib", *below("9"), related=["CVE-2024-0003", "CVE-2024-0004"]),
        record("MAL-1", "npm", "lib", *below("9")),
    ]
    cves = matched(tmp_path, "debian 12", [package("npm", "lib", "1.0")], *records)
    assert [(finding.id, finding.aliases) for finding in cves.findings] == [
        ("CVE-2024-0001", ("GHSA-a",)),
        ("CVE-2024-0002", ("DEBIAN-CVE-2024-0002",)),
        ("CVE-2024-0003", ("ALSA-1",)),
        ("CVE-2024-0004", ("ALSA-1",)),
        ("MAL-1", ()),
    ]


def test_what_becomes_of_it_follows_from_the_plan(tmp_path: Path) -> None:
    packages = [package("npm", "lib", "1.0", action="remove"), package("npm", "other", "1.0")]
    found = [
        record("CVE-1-1", "npm", "lib", *below("9")),
        record("CVE-1-2", "npm", "other", *below("9")),
    ]
    cves = matched(tmp_path, "debian 12", packages, *found)
    assert [(f.id, f.fate) for f in cves.findings] == [("CVE-1-1", "gone"), ("CVE-1-2", "stays")]
    assert cves.projected
    (scan,) = cves.scans
    assert scan.database == "2 records, the newest of 2025-01-01T00:00:00Z"


def test_versions_and_distributions_that_nobody_knows_are_told(tmp_path: Path) -> None:
    packages = [package("npm", "lib", "latest"), package("dpkg", "a", "1")]
    cves = matched(tmp_path, "odd 1", packages, record("CVE-1-1", "npm", "lib", *below("9")))
    assert cves.warnings == (
        "no OSV ecosystem is known for the packages of dpkg of odd",
        "1 version that cannot be compared: lib: latest",
    )


def test_ecosystems_of_which_there_is_no_record_are_told(tmp_path: Path) -> None:
    """Nothing found is nothing known where the records are another release's, or none."""
    packages = [package("npm", "lib", "1"), package("dpkg", "lib", "1")]
    cves = matched(tmp_path, "debian 12", packages, record("C", "Debian:11", "lib", *below("2")))
    assert cves.warnings == (
        "no OSV record is of Debian 12: its packages were not looked for",
        "no OSV record is of npm: its packages were not looked for",
    )
    assert cves.findings == ()


def test_a_name_that_json_escapes_is_the_same(tmp_path: Path) -> None:
    text = json.dumps(record("CVE-1-1", "npm", "@a/lib", *below("9"))).replace("@", "\\u0040")
    (tmp_path / "r.json").write_text(text)
    assert ids(matched(tmp_path, "debian 12", [package("npm", "@a/lib", "1.0")])) == ["CVE-1-1"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"id": "A", "affected": [{"package": {"ecosystem": "npm", "name": "lib"}}', "not JSON"),
        ('{"affected": [{"package": {"ecosystem": "npm", "name": "lib"}, "ranges": 3}]}', "ranges"),
        (
            '{"affected": [{"package": {"ecosystem": "npm", "name": "lib"}, "versions": ["1.0"]}]}',
            r"\$\.id must be a text",
        ),
    ],
)
def test_a_malformed_record_of_a_package_is_refused(tmp_path: Path, text: str, where: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(DamagedInputError, match=rf"cannot read OSV record .*bad\.json: .*{where}"):
        matched(tmp_path, "debian 12", [package("npm", "lib", "1.0")])


RECORD = record(
    "GHSA-a",
    "npm",
    "lib",
    *below("9"),
    aliases=["CVE-2024-0001"],
    summary="x",
    severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    affected={"versions": ["0.9"], "ecosystem_specific": {"binaries": [{"a": "1"}]}},
    database_specific={"severity": "LOW"},
)


@given(data=st.data())
def test_anything_anywhere_is_matched_or_refused(data: st.DataObject) -> None:
    document = anything_in(RECORD, data)
    with tempfile.TemporaryDirectory() as space:
        try:
            matched(Path(space), "debian 12", [package("npm", "lib", "1.0")], document)
        except DamagedInputError as error:
            assert str(error).startswith(f"cannot read OSV record {space}/0.json: $")


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """A FIFO would block, and a link may lead anywhere."""
    os.mkfifo(tmp_path / "fifo.json")
    (tmp_path / "link.json").symlink_to("/dev/zero")
    (tmp_path / "below").mkdir()
    found = json.dumps(record("CVE-1-1", "npm", "lib", *below("9")))
    (tmp_path / "below/r.json").write_text(found)
    (tmp_path / "README").write_text("no record")
    cves = matched(tmp_path, "debian 12", [package("npm", "lib", "1.0")])
    assert ids(cves) == ["CVE-1-1"]
    assert str(cves.scans[0].database).startswith("1 record,")


def test_no_directory_is_told(tmp_path: Path) -> None:
    plan = example_plan()
    with pytest.raises(ParedownError, match="cannot read OSV records"):
        compare(plan, [], [], tmp_path / "missing")


def test_records_of_other_packages_are_not_even_parsed(tmp_path: Path) -> None:
    """Of hundreds of thousands few are of the image: one that is cut off is none of ours."""
    other = json.dumps(record("CVE-1-1", "npm", "other", *below("9")))
    (tmp_path / "cut.json").write_text(other[:-9])
    of_debian = json.dumps(record("CVE-1-2", "Debian:12", "lib", *below("9")))
    (tmp_path / "debian.json").write_text(of_debian[:-9])
    assert ids(matched(tmp_path, "debian 12", [package("npm", "lib", "1.0")])) == []
    with pytest.raises(DamagedInputError, match="not JSON"):
        matched(tmp_path, "debian 12", [package("dpkg", "lib", "1.0")])


def test_the_same_records_have_the_same_digest_wherever_they_lie(tmp_path: Path) -> None:
    found = record("CVE-1-1", "npm", "lib", *below("9"))
    lib = package("npm", "lib", "1.0")
    one, two = (matched(tmp_path / name, "debian 12", [lib], found) for name in "ab")
    assert one.scans == two.scans
    three = matched(tmp_path / "b", "debian 12", [lib], found, found)
    assert three.scans != one.scans
    assert len(set(itertools.chain(ids(one), ids(three)))) == 1
