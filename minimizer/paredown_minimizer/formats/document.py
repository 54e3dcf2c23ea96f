"""A document for programs: the plan's records, arranged as diff-1.schema.json says."""

from __future__ import annotations

from typing import Any

from paredown_minimizer.output import json_text
from paredown_minimizer.pages.phrases import reason
from paredown_minimizer.review import PackageReview, Review
from paredown_schemas.plan import to_json

FORMAT = "paredown-diff"
VERSION = 1
# What a review leaves to the plan itself: the evidence of every path, and the inventory.
_LEFT_OUT = {"paredown", "packages", "evidence", "links", "kept", "removed", "catalogue"}


def review(review: Review) -> str:
    """Return the document of a plan's review."""
    plan = review.plan
    records = {
        name: to_json(getattr(plan, name))
        for name in plan.__dataclass_fields__
        if name not in _LEFT_OUT
    }
    packages = [_package(package) for each in review.packages.values() for package in each]
    return json_text(
        {"format": FORMAT, "version": VERSION, "plan": plan.id, **records, "packages": packages}
    )


def _package(package: PackageReview) -> dict[str, Any]:
    return {
        "decision": to_json(package.decision),
        "reason": reason(package),
        "evidence": to_json(package.strongest),
        "evidence_paths": package.evidence,
        "runs": sorted(package.seen.runs) if package.seen else [],
    }
