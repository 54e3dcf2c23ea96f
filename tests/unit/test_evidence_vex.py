"""OpenVEX: valid, and claiming only what the plan's lists of files carry."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from any_plan import PLANS, any_records
from paredown_minimizer.evidence import vex
from paredown_minimizer.evidence.purls import package_purl
from paredown_minimizer.evidence.subject import NamedImage
from paredown_schemas.cves import Finding
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import Evidence, ListedPaths, PackageDecision, Plan
from plans import full_plan, package
from results import DIGEST, SLIM, example_cves

TIME = "2026-02-03T12:00:00Z"
IMAGE = NamedImage(SLIM, f"r.example/shop/web:1-slim@{DIGEST}")
_SCHEMA = Path(__file__).parent.parent / "data" / "schemas" / "openvex-0.2.0.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(
    json.loads(_SCHEMA.read_text()), format_checker=jsonschema.FormatChecker()
)
JAR = "/usr/share/java/log4j-core.jar"
NOTICE = "/usr/share/doc/gcc-12-base/copyright"


def _package(
    name: str, kept: tuple[str, ...], removed: tuple[str, ...], **fields: Any
) -> tuple[PackageDecision, list[ListedPaths], list[ListedPaths]]:
    action = "remove" if not kept else "trim" if removed else "keep"
    files = len(kept) + len(removed)
    decision = package(name, action, len(kept), files, 1000)
    decision = dataclasses.replace(decision, version="1", **fields)

    def listed(paths: tuple[str, ...]) -> list[ListedPaths]:
        split = (path.rpartition("/") for path in paths)
        return [ListedPaths(decision.key, directory, (name,)) for directory, _, name in split]

    return decision, listed(kept), listed(removed)


def _plan(*packages: Any, **changes: Any) -> Plan:
    return full_plan(
        packages=tuple(each[0] for each in packages),
        kept=tuple(listed for each in packages for listed in each[1]),
        removed=tuple(listed for each in packages for listed in each[2]),
        **changes,
    )


def _claims(plan: Plan, *findings: Finding, **changes: Any) -> dict[tuple[str, str], Any]:
    text = vex.make(plan, example_cves(plan, *findings, **changes), IMAGE, TIME)
    if text is None:
        return {}
    document = json.loads(text)
    VALIDATOR.validate(document)
    found = {}
    for each in document["statements"]:
        assert each["status"] == "not_affected"
        (product,) = each["products"]
        (component,) = product["subcomponents"]
        found[each["vulnerability"]["name"], component["@id"]] = each
    assert len(found) == len(document["statements"])
    return found


def _finding(key: str, fate: Any, *paths: str, **fields: Any) -> Finding:
    finding = Finding("CVE-2021-1", key.partition(":")[0], "1", "high", fate, key, paths=paths)
    return dataclasses.replace(finding, **fields)


def _justified(plan: Plan, *findings: Finding) -> list[str]:
    return [each["justification"] for each in _claims(plan, *findings).values()]


GONE = _package("perl", (), ("/usr/bin/perl",))
TRIMMED = _package("tools", ("/usr/bin/used",), ("/usr/bin/unused",))
NOTICES = _package("gcc-12-base", (NOTICE,), ("/usr/share/doc/gcc-12-base/TODO",))
ARCHIVE = _package("liblog4j2-java", ("/etc/log4j.conf",), (JAR,))


def test_a_package_that_went_is_not_present() -> None:
    plan = _plan(GONE, TRIMMED)
    finding = _finding("perl:amd64", "gone", aliases=("GHSA-1", "CVE-2021-1"))
    (claim,) = _claims(plan, finding).items()
    assert claim[0] == ("CVE-2021-1", "pkg:deb/debian/perl@1?arch=amd64&distro=debian-12")
    assert claim[1] == {
        "vulnerability": {"name": "CVE-2021-1", "aliases": ["GHSA-1"]},
        "products": [
            {
                "@id": f"pkg:oci/web@{DIGEST}",
                "identifiers": {"purl": f"pkg:oci/web@{DIGEST}"},
                "hashes": {"sha-256": DIGEST.removeprefix("sha256:")},
                "subcomponents": [
                    {"@id": claim[0][1], "identifiers": {"purl": claim[0][1]}},
                ],
            }
        ],
        "status": "not_affected",
        "justification": "component_not_present",
        "status_notes": "The package went with all that it had: 1 file. Projected from the plan. "
        f"By {plan.id}.",
    }
    scanned = _claims(plan, finding, projected=False)
    assert "A scan of the slim image no longer finds it." in str(scanned)


def test_what_stays_gets_no_statement() -> None:
    plan = _plan(TRIMMED, ARCHIVE, GONE)
    for fate in ("stays", "lost", "new"):
        assert _justified(plan, _finding("perl:amd64", fate, "/usr/bin/perl")) == []
        assert _justified(plan, _finding("tools:amd64", fate, "/usr/bin/unused")) == []
        assert _justified(plan, _finding("liblog4j2-java:amd64", fate, JAR)) == [], fate


def test_archives_and_programs_that_the_scanner_names_and_that_went_are_code() -> None:
    finding = _finding("liblog4j2-java:amd64", "file-gone", JAR)
    assert _justified(_plan(ARCHIVE), finding) == ["vulnerable_code_not_present"]
    library = _package("libx", ("/etc/x.conf",), ("/usr/lib/libx.so.1.2",))
    gone = _finding("libx:amd64", "file-gone", "/lib/libx.so.1.2")
    assert _justified(_plan(library), gone) == []  # the plan knows no such path
    gone = dataclasses.replace(gone, paths=("/usr/lib/libx.so.1.2",))
    assert _justified(_plan(library), gone) == ["vulnerable_code_not_present"]


@pytest.mark.parametrize(
    ("kept", "removed", "paths"),
    [
        # Metadata that went says nothing of the modules.
        (("/usr/lib/python3/x.py",), ("/usr/lib/x.dist-info/METADATA",), "removed"),
        # What went may have been another name of what is left.
        (("/usr/bin/perl5.36.0",), ("/usr/bin/perl",), "removed"),
        (("/etc/x",), ("/usr/bin/x",), ""),
        (("/etc/x",), ("/usr/bin/x",), "/usr/bin/x /usr/bin/y"),
        (("/etc/x",), ("/usr/bin/x",), "/usr/bin/unused"),  # another package's
        (("/etc/x",), ("/usr/bin/x", "/etc/y"), "removed"),
    ],
)
def test_files_that_went_are_not_always_the_vulnerable_code(
    kept: tuple[str, ...], removed: tuple[str, ...], paths: str
) -> None:
    named = removed if paths == "removed" else tuple(paths.split())
    plan = _plan(_package("x", kept, removed), TRIMMED)
    assert _justified(plan, _finding("x:amd64", "file-gone", *named)) == []


def test_notices_are_no_code_though_their_package_is_declared() -> None:
    finding = _finding("gcc-12-base:amd64", "stays", "/var/lib/dpkg/status")
    (claim,) = _claims(_plan(NOTICES), finding).values()
    assert claim["justification"] == "vulnerable_code_not_present"
    assert f"nothing is left but {NOTICE}. Scanners go on listing it" in claim["status_notes"]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/ssl/certs/root.crt",
        "/etc/x.conf",
        "/usr/share/x/data",
        "/usr/share/doc/x/examples/x.sh",
        "/usr/share/doc/x/notcopyright",
        "/usr/share/doc/x/copyright.sh",
        "/opt/usr/share/doc/x/copyright",
    ],
)
def test_data_that_is_left_is_not_called_harmless(path: str) -> None:
    plan = _plan(_package("x", (NOTICE, path), ("/usr/bin/x",)))
    assert _justified(plan, _finding("x:amd64", "stays")) == []


def test_lists_that_do_not_add_up_carry_nothing() -> None:
    def more(item: Any) -> Any:
        return (dataclasses.replace(item[0], kept_files=item[0].kept_files + 1), *item[1:])

    gone = _finding("liblog4j2-java:amd64", "file-gone", JAR)
    assert _justified(_plan(more(ARCHIVE)), gone) == []
    assert _justified(_plan(more(NOTICES)), _finding("gcc-12-base:amd64", "stays")) == []
    assert _justified(_plan(more(GONE)), _finding("perl:amd64", "gone")) == []
    none = _package("gcc-12-base", (), ("/x",))[0]
    empty: tuple[Any, ...] = (dataclasses.replace(none, action="trim"), [], [])
    assert _justified(_plan(empty), _finding("gcc-12-base:amd64", "stays")) == []


def test_what_was_made_from_a_package_is_left_of_it() -> None:
    made = Evidence("/etc/x", "derived", "gcc-12-base:amd64")
    finding = _finding("gcc-12-base:amd64", "stays")
    assert _justified(_plan(NOTICES, evidence=(made,)), finding) == []


def test_copies_that_are_left_speak_against_it() -> None:
    finding = _finding("perl:amd64", "gone")
    other = _package("perl", ("/usr/bin/perl32",), (), architecture="i386")
    assert _justified(_plan(GONE, other), finding) == []
    # A scanner found the same in an archive of another package.
    inside = _finding("tools:amd64", "stays", "/usr/bin/used", name="perl")
    plan = _plan(GONE, TRIMMED)
    assert _justified(plan, finding, inside) == []
    assert (
        _justified(plan, finding, dataclasses.replace(inside, id="X", aliases=(finding.id,))) == []
    )
    known = dataclasses.replace(finding, aliases=("X",))
    assert _justified(plan, known, dataclasses.replace(inside, id="X")) == []
    assert _justified(plan, finding, dataclasses.replace(inside, id="CVE-2")) != []


def test_one_file_that_is_left_speaks_against_it() -> None:
    gone = _finding("liblog4j2-java:amd64", "file-gone", JAR)
    left = _finding("liblog4j2-java:amd64", "stays", "/usr/share/java/other.jar", name="log4j")
    assert _justified(_plan(ARCHIVE), gone, left) == []


def test_what_no_package_url_names_and_no_image_is_known_for_is_not_claimed() -> None:
    finding = _finding("perl:amd64", "gone")
    assert _justified(_plan(GONE, distribution=None), finding) == []
    assert _justified(_plan(GONE), dataclasses.replace(finding, package=None)) == []
    assert _justified(_plan(GONE), dataclasses.replace(finding, package="x:amd64")) == []
    plan = _plan(GONE)
    cves = example_cves(plan, finding)
    assert vex.make(plan, cves, NamedImage(None, IMAGE.reference), TIME) is None
    assert vex.make(plan, cves, IMAGE, None) is None
    assert vex.make(plan, example_cves(plan), IMAGE, TIME) is None


def test_cves_of_another_plan_are_refused() -> None:
    plan = _plan(GONE)
    cves = dataclasses.replace(example_cves(plan, _finding("perl:amd64", "gone")), plan="other")
    with pytest.raises(ParedownError, match="the list of CVEs"):
        vex.make(plan, cves, IMAGE, TIME)


def test_directories_are_products_by_their_identity() -> None:
    plan = _plan(GONE)
    cves = example_cves(plan, _finding("perl:amd64", "gone"))
    text = vex.make(plan, cves, NamedImage("dir-sha256:" + "1" * 64), TIME, "mailto:a@b.example")
    document = json.loads(text or "")
    VALIDATOR.validate(document)
    assert document["author"] == "mailto:a@b.example"
    assert document["statements"][0]["products"][0]["@id"] == "dir-sha256:" + "1" * 64
    assert text == vex.make(
        plan, cves, NamedImage("dir-sha256:" + "1" * 64), TIME, "mailto:a@b.example"
    )
    other = json.loads(vex.make(plan, cves, IMAGE, TIME) or "")
    assert other["@id"] != document["@id"]


@settings(max_examples=30, deadline=None)
@given(PLANS, st.lists(any_records(Finding), max_size=4), st.randoms())
def test_any_plan_makes_valid_claims_or_none(
    plan: Plan, findings: list[Finding], random: Any
) -> None:
    plan = dataclasses.replace(
        plan,
        distribution=full_plan().distribution,
        packages=tuple(dataclasses.replace(each, manager="dpkg") for each in plan.packages),
    )
    keys: list[str | None] = [None, *(each.key for each in plan.packages)]
    meant = [dataclasses.replace(each, package=random.choice(keys)) for each in findings]
    packages = {each.key: each for each in plan.packages}
    for (_, purl), claim in _claims(plan, *meant).items():
        (own,) = (
            each for each in packages.values() if str(package_purl(each, plan.distribution)) == purl
        )
        assert (claim["justification"] == "component_not_present") == (own.action == "remove")


def test_the_schema_refuses_what_is_no_vex() -> None:
    plan = _plan(GONE)
    text = vex.make(plan, example_cves(plan, _finding("perl:amd64", "gone")), IMAGE, TIME)
    document = json.loads(text or "")
    changes: list[dict[str, Any]] = [{"statements": []}, {"timestamp": "today"}, {"x": 1}]
    for change in changes:
        with pytest.raises(jsonschema.ValidationError):
            VALIDATOR.validate({**document, **change})
