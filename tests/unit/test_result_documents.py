"""Verifications and CVEs as files: what is written is read again, and is what the schemas say."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from output_schemas import validator
from paredown_schemas.cves import Cves, Finding, Scan, SeverityCount, dump_cves, read_cves
from paredown_schemas.errors import DamagedInputError
from paredown_schemas.verification import (
    AddedPin,
    Case,
    Missing,
    Round,
    TraceFile,
    Verification,
    dump_verification,
    read_verification,
)

VERIFICATION = Verification(
    paredown="0.1.0",
    plan="plan-sha256:" + "0" * 64,
    image="image-sha256:" + "1" * 64,
    slim=None,
    digest="sha256:" + "2" * 64,
    mode="strict",
    target="docker",
    started="2026-01-31T12:00:00Z",
    run="docker run --rm {image}",
    outcome="failed",
    why="1 of 2 tests failed",
    original="passed",
    tests=(Case("all", "failed", "pytest", 1, 900), Case("test_a\n", None)),
    missing=(
        Missing("tar:amd64", "/usr/bin/tar", ("exec",), ("/app/a",), ("test_a\n",), "traced"),
    ),
    rounds=(
        Round(
            "plan-sha256:a", "failed", 1, "misses", 1, 900, (AddedPin("package:tar", "why"),), 3, 9
        ),
    ),
    traces=(TraceFile("run", "3" * 64, "complete"),),
)
CVES = Cves(
    paredown="0.1.0",
    plan="plan-sha256:" + "0" * 64,
    projected=True,
    scans=(Scan("before", "grype", "4" * 64, "grype 0.79.1"),),
    counts=(SeverityCount("high", 1, 0, 1, 0, 0, 0),),
    findings=(Finding("CVE-1", "tar", "1.34", "high", "gone", "tar:amd64", ("DSA-1",)),),
    hidden=("tar:amd64",),
    warnings=("so so",),
)


def test_a_verification_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "v.json"
    file.write_text(dump_verification(VERIFICATION))
    assert read_verification(file) == VERIFICATION
    validator("verification-1.schema.json").validate(json.loads(file.read_text()))


def test_cves_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text(dump_cves(CVES))
    assert read_cves(file) == CVES
    validator("cves-1.schema.json").validate(json.loads(file.read_text()))


def test_what_the_schema_does_not_know_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text(dump_cves(dataclasses.replace(CVES, projected="so")))  # type: ignore[arg-type]
    with pytest.raises(DamagedInputError, match=r"cannot read CVEs .*\$\.projected"):
        read_cves(file)
