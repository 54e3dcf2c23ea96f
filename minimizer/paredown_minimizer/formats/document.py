"""A document for programs: the plan's records, arranged as diff-1.schema.json says."""

from __future__ import annotations

from typing import Any

from paredown_minimizer.comparison import Comparison, Difference
from paredown_minimizer.output import json_text
from paredown_minimizer.pages.phrases import reason
from paredown_minimizer.review import PackageReview, Review
from paredown_schemas.documents import to_json
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan

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


def comparison(comparison: Comparison) -> str:
    """Return the document of what changed between two plans, comparison-1.schema.json."""
    return json_text(
        {
            "format": "paredown-comparison",
            "version": 1,
            "old": _side(comparison.old.plan),
            "new": _side(comparison.new.plan),
            "traces": _difference(comparison.traces),
            "packages": [
                {
                    "change": each.change,
                    "old": _package(each.old) if each.old else None,
                    "new": _package(each.new) if each.new else None,
                }
                for each in comparison.packages
            ],
            "risks": _difference(comparison.risks),
            **{name: _difference(found) for name, found in comparison.records.items()},
            "goes": [escape_name(path) for path in comparison.goes],
            "returns": [escape_name(path) for path in comparison.returns],
        }
    )


def _side(plan: Plan) -> dict[str, Any]:
    told = ("paredown", "image", "platform", "granularity", "before", "after", "surface")
    return {"plan": plan.id, **{name: to_json(getattr(plan, name)) for name in told}}


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "new": [to_json(each) for each in difference.new],
        "gone": [to_json(each) for each in difference.gone],
    }


def _package(package: PackageReview) -> dict[str, Any]:
    return {
        "decision": to_json(package.decision),
        "reason": reason(package),
        "evidence": to_json(package.strongest),
        "evidence_paths": package.evidence,
        "runs": sorted(package.seen.runs) if package.seen else [],
    }
