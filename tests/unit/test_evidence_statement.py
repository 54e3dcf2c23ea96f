"""in-toto statements: valid, unsigned, and binding everything by its digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import google.protobuf.json_format
import jsonschema
import pytest
from hypothesis import given, settings
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from any_plan import PLANS
from output_schemas import validator
from paredown_minimizer.evidence import statement
from paredown_minimizer.evidence.subject import NamedImage
from paredown_minimizer.material import InputFile
from paredown_schemas.cves import Finding
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import Plan
from plans import full_plan
from results import DIGEST, SLIM, example_cves, example_verification

PLAN = full_plan()
IMAGE = NamedImage(SLIM, f"r.example:5000/shop/web:1-slim@{DIGEST}")
INPUTS = (InputFile("plan", "plan.json", "8" * 64), InputFile("trace", "odd\x1b.trace", "9" * 64))
DOCUMENTS = {"vex.openvex.json": "{}\n", "sbom-after.cdx.json": "é"}
VALIDATOR = validator("hardening-1.schema.json")


def _made(plan: Plan = PLAN, image: NamedImage = IMAGE, **more: Any) -> Any:
    text = statement.make(plan, image, **more)
    assert text is not None
    message = google.protobuf.json_format.Parse(text, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    document = json.loads(text)
    VALIDATOR.validate(document["predicate"])
    return document


def _whole() -> Any:
    return _made(
        inputs=INPUTS,
        documents=DOCUMENTS,
        verification=example_verification(PLAN),
        cves=example_cves(PLAN, Finding("CVE-1", "bash", "1", "high", "gone", "bash:amd64")),
    )


def test_its_subject_is_the_slim_image_as_cosign_names_it() -> None:
    document = _whole()
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://paredown.dev/attestation/hardening/v1"
    assert document["subject"] == [
        {
            "name": "r.example:5000/shop/web",
            "digest": {"sha256": "6" * 64, "image-sha256": "5" * 64},
        }
    ]


def test_it_binds_plan_runs_tests_and_scans() -> None:
    predicate = _whole()["predicate"]
    assert predicate["plan"] == {"id": PLAN.id, "granularity": "file"}
    assert predicate["original"] == {"identity": PLAN.image, "platform": PLAN.platform}
    assert predicate["slim"] == {"identity": SLIM, "digest": DIGEST}
    assert [run["scenario"] for run in predicate["runs"]] == ["smoke", "load"]
    assert predicate["verification"] == {
        "outcome": "passed",
        "original": "passed",
        "mode": "strict",
        "started": "2026-02-03T12:00:00Z",
        "image": DIGEST,
        "commands": 1,
        "failed": 0,
        "missing": 0,
        "rounds": 2,
        "runs": [{"run": "0" * 16, "sha256": "3" * 64, "verdict": "complete"}],
    }
    assert predicate["cves"]["counts"][0]["gone"] == 1
    assert predicate["cves"]["scans"][0]["sha256"] == "4" * 64
    assert predicate["inputs"][1] == {"role": "trace", "name": "odd\\x1b.trace", "sha256": "9" * 64}
    assert predicate["documents"] == [
        {"name": name, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        for name, text in sorted(DOCUMENTS.items())
    ]


def test_a_plan_s_id_is_the_digest_of_its_file() -> None:
    from paredown_schemas.plan import dump_plan

    written = hashlib.sha256(dump_plan(PLAN).encode()).hexdigest()
    assert f"plan-sha256:{written}" == PLAN.id


def test_a_directory_is_no_file_whose_sha256_is_known() -> None:
    document = _made(image=NamedImage("dir-sha256:" + "1" * 64))
    assert document["subject"] == [
        {"name": "dir-sha256:" + "1" * 64, "digest": {"dir-sha256": "1" * 64}}
    ]
    assert "verification" not in document["predicate"]
    assert statement.make(PLAN, NamedImage(reference=IMAGE.reference)) is None


def test_what_failed_is_told() -> None:
    failed = example_verification(
        PLAN,
        outcome="failed",
        original=None,
        tests=(*example_verification(PLAN).tests, *example_verification(PLAN).tests),
    )
    tests = (dataclasses.replace(failed.tests[0], outcome="failed"), *failed.tests)
    told = _made(verification=dataclasses.replace(failed, tests=tests))["predicate"]["verification"]
    assert (told["outcome"], told["commands"], told["failed"]) == ("failed", 3, 1)
    assert "original" not in told


def test_what_is_of_another_plan_is_refused() -> None:
    other = full_plan(granularity="trim")
    for more in ({"verification": example_verification(other)}, {"cves": example_cves(other)}):
        with pytest.raises(ParedownError, match="it is of another plan"):
            _made(**more)


def test_the_predicate_s_schema_lets_nothing_else_pass() -> None:
    predicate = _whole()["predicate"]
    for part in (predicate, predicate["verification"], predicate["cves"], predicate["slim"]):
        part["more"] = 1
        with pytest.raises(jsonschema.ValidationError):
            VALIDATOR.validate(predicate)
        del part["more"]
    VALIDATOR.validate(predicate)


@settings(max_examples=20, deadline=None)
@given(PLANS)
def test_every_plan_makes_a_valid_statement_and_the_same_again(plan: Plan) -> None:
    image = NamedImage(SLIM, plan.paredown)
    more = {"verification": example_verification(plan), "cves": example_cves(plan)}
    assert _made(plan, image, **more) == _made(plan, image, **more)
