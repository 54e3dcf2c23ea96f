"""SBOMs before and after: valid CycloneDX, the same bytes for the same, and true."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings

from any_plan import PLANS
from paredown_minimizer.evidence import sbom
from paredown_minimizer.evidence.subject import NamedImage, time_of
from paredown_schemas.plan import Plan, TraceInput, dump_plan, load_plan
from plans import example_plan, full_plan, package
from results import example_verification

TIME = "2026-01-31T12:00:00Z"
DIGEST = "sha256:" + "6" * 64
SLIM = NamedImage("image-sha256:" + "5" * 64, f"r.example/shop/Web:1-slim@{DIGEST}")
VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def _made(plan: Plan, side: sbom.Side, image: NamedImage = SLIM, time: str | None = TIME) -> Any:
    text = sbom.make(plan, side, image, time)
    assert (fault := VALIDATOR.validate_str(text)) is None, fault
    return json.loads(text)


def _properties(component: Any) -> dict[str, str]:
    return {each["name"]: each["value"] for each in component.get("properties", ())}


def _packages(document: Any) -> dict[str, Any]:
    components = document["components"]
    return {each["bom-ref"]: each for each in components if each["type"] == "library"}


def test_before_lists_all_packages_and_after_those_that_are_left() -> None:
    plan = full_plan()
    before, after = (_packages(_made(plan, side)) for side in ("before", "after"))
    assert {name: _properties(each)["paredown:action"] for name, each in before.items()} == {
        "bash:amd64": "remove",
        "curl:amd64": "remove",
        "libc6:amd64": "keep",
        "nginx:amd64": "keep",
        "odd\\x1b[31m:amd64": "remove",
        "tzdata:amd64": "trim",
    }
    assert set(after) == {"libc6:amd64", "nginx:amd64", "tzdata:amd64"}
    assert after == {name: before[name] for name in after}


def test_a_package_says_what_it_is_and_why_it_is_there() -> None:
    plan = full_plan()
    after = _packages(_made(plan, "after"))
    tzdata = after["tzdata:amd64"]
    assert tzdata["purl"] == "pkg:deb/debian/tzdata@1:3000000-1?arch=amd64&distro=debian-12"
    assert tzdata["version"] == "1:3000000-1"
    said = _properties(tzdata)
    assert (said["paredown:files"], said["paredown:kept-files"]) == ("10", "1")
    assert said["paredown:evidence"].startswith("/usr/share/zoneinfo/UTC: rule by /usr/sbin/nginx")
    nginx = _properties(after["nginx:amd64"])["paredown:evidence"]
    assert nginx == "/usr/sbin/nginx: traced in smoke"
    held = dataclasses.replace(package("flask", "keep", 1, 1, 1), manager="python", location="/app")
    flask = _packages(_made(full_plan(packages=(held,)), "after"))["python:flask@/app"]
    assert flask["evidence"]["occurrences"] == [{"location": "/app"}]


def test_the_image_the_distribution_and_the_tool_are_named() -> None:
    document = _made(full_plan(), "after")
    image = document["metadata"]["component"]
    assert image["type"] == "container"
    assert (image["name"], image["version"]) == (SLIM.reference, SLIM.digest)
    assert image["purl"].replace("%3A", ":") == f"pkg:oci/web@{SLIM.digest}"
    assert image["hashes"] == [{"alg": "SHA-256", "content": "6" * 64}]
    assert _properties(image)["paredown:unowned-files"] == "12"
    (system,) = (each for each in document["components"] if each["type"] == "operating-system")
    assert (system["name"], system["version"]) == ("debian", "12")
    assert document["metadata"]["timestamp"] == "2026-01-31T12:00:00+00:00"
    (tool,) = document["metadata"]["tools"]["components"]
    assert tool["name"] == "paredown"
    roots = {each["ref"]: each.get("dependsOn") for each in document["dependencies"]}
    assert set(roots["image"] or ()) == {each["bom-ref"] for each in document["components"]}


def test_without_names_and_times_it_is_valid_still() -> None:
    plan = example_plan()
    document = _made(plan, "before", NamedImage(plan.image), None)
    assert document["metadata"]["component"]["name"] == plan.image
    assert "timestamp" not in document["metadata"]
    assert not any("purl" in each for each in document["components"])  # no distribution is known
    assert _made(plan, "after", NamedImage(), None)["metadata"]["component"]["name"] == "image"


def test_the_same_plan_gives_the_same_bytes_and_another_another_number() -> None:
    plan = full_plan()
    again = load_plan(dump_plan(plan), "plan")
    assert sbom.make(plan, "before", SLIM, TIME) == sbom.make(again, "before", SLIM, TIME)
    numbers = {
        _made(each, side)["serialNumber"]
        for each in (plan, example_plan())
        for side in ("before", "after")
    }
    assert len(numbers) == 4


def test_the_library_reads_back_what_it_wrote() -> None:
    read: Bom = Bom.from_json(_made(full_plan(), "before"))  # type: ignore[attr-defined]
    assert {component.name for component in read.components} >= {"nginx", "debian", "bash"}
    purls = {component.purl.name for component in read.components if component.purl}
    assert {"nginx", "libc6"} <= purls


@settings(max_examples=20, deadline=None)
@given(PLANS)
def test_every_plan_makes_valid_documents(plan: Plan) -> None:
    image = NamedImage(plan.image, f"{plan.paredown}@{DIGEST}")
    for side in ("before", "after"):
        _made(plan, side, image, time_of(plan, None))


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (("2026-01-30T00:00:00Z", "2026-02-01T09:00:00Z"), "2026-02-01T09:00:00Z"),
        ((None, "yesterday\x1b", "2026-02-31T00:00:00Z", "2026-01-01T24:61:00Z"), None),
        ((), None),
    ],
)
def test_documents_tell_the_last_run_s_time_or_the_verification_s(
    runs: tuple[str | None, ...], expected: str | None
) -> None:
    traces = tuple(TraceInput("0" * 16, None, "complete", (), 1, started) for started in runs)
    plan = example_plan(traces=traces)
    assert time_of(plan, None) == expected
    assert time_of(plan, example_verification(plan)) == "2026-02-03T12:00:00Z"
