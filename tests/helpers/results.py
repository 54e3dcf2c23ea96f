"""What became of a plan, for tests that run nothing: a verification, and CVEs."""

from __future__ import annotations

import dataclasses
from typing import Any

from paredown_schemas.cves import Cves, Finding, Scan, SeverityCount
from paredown_schemas.plan import Plan
from paredown_schemas.verification import Case, Round, TraceFile, Verification

SLIM = "image-sha256:" + "5" * 64
DIGEST = "sha256:" + "6" * 64


def example_verification(plan: Plan, **changes: Any) -> Verification:
    """Return one of a slim image whose tests passed in the second round."""
    verification = Verification(
        paredown="0.1.0",
        plan=plan.id,
        image=plan.image,
        slim=SLIM,
        digest=DIGEST,
        mode="strict",
        target="docker",
        started="2026-02-03T12:00:00Z",
        run="docker run --rm {image}",
        outcome="passed",
        why=None,
        original="passed",
        tests=(Case("all", "passed", "pytest", 0, 900), Case("test_a", None)),
        rounds=(Round("plan-sha256:" + "0" * 64, "failed", 1), Round(plan.id, "passed", 0)),
        traces=(TraceFile("0" * 16, "3" * 64, "complete"),),
    )
    return dataclasses.replace(verification, **changes)


def example_cves(plan: Plan, *findings: Finding, **changes: Any) -> Cves:
    """Return ``findings`` in a plan, by one scanner, projected."""
    scans = (Scan("before", "grype", "4" * 64, "grype 0.79.1", "schema 5", "web:1"),)
    counts = (SeverityCount("high", len(findings), 0, len(findings), 0, 0, 0),)
    cves = Cves("0.1.0", plan.id, projected=True, scans=scans, counts=counts, findings=findings)
    return dataclasses.replace(cves, **changes)
