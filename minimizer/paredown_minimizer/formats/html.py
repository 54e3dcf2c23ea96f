"""One HTML file without network: opens from a disk, works without scripts, searches with them.

Its Content-Security-Policy forbids all loading; style and script are named by their hashes, so that
nothing that slips in from an image could run either. The template escapes everything.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from paredown_minimizer.chains import Chains
from paredown_minimizer.comparison import Comparison
from paredown_minimizer.formats.charts import curve, treemap
from paredown_minimizer.pages import Page
from paredown_minimizer.pages.comparison import comparison_page
from paredown_minimizer.pages.phrases import evidence_phrase, says
from paredown_minimizer.pages.review import review_page
from paredown_minimizer.review import Review
from paredown_schemas.names import escape_name
from paredown_schemas.plan import ListedPaths

_WIDE, _NARROW = (1160, 460), (350, 520)
_CURVE = 520, 180
_EVIDENCE = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Details:
    """What is told about one package when it is opened."""

    chain: str  # from the strongest evidence to where it begins, a step a line
    evidence: Sequence[str]  # all of them, in short
    more: int
    risks: Sequence[str]
    gone: str  # the paths, one a line


def review(review: Review) -> str:
    """Return the page of a plan's review."""
    return report(review_page(review), review)


def report(page: Page, review: Review) -> str:
    """Return a page about the plan of ``review``, with each package's evidence."""
    profile = review.plan.profile
    return _render(
        page,
        details=_details(review),
        maps=[
            (name, found)
            for name, size in (("wide", _WIDE), ("narrow", _NARROW))
            if (found := treemap(review, *size))
        ],
        curve=curve(profile, *_CURVE) if profile else None,
        unowned_gone=_lines(entry for entry in review.plan.removed if entry.package is None),
    )


def comparison(comparison: Comparison) -> str:
    """Return the page of what changed between two plans."""
    page = comparison_page(comparison)
    return _render(page, details={}, maps=[], curve=None, unowned_gone="")


def _render(page: Page, **more: Any) -> str:
    import jinja2  # noqa: PLC0415 - late: 40 ms

    loader = jinja2.PackageLoader("paredown_minimizer.formats", "page")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    directory = files("paredown_minimizer.formats") / "page"
    style, script = ((directory / name).read_text("utf-8") for name in ("style.css", "search.js"))
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    keys = dict.fromkeys(row.key for s in page.sections if s.detailed for row in s.rows)
    anchors = {key: f"package-{number}" for number, key in enumerate(keys)}
    return environment.get_template("page.html.j2").render(
        page=page, style=style, script=script, policy=policy, anchors=anchors, **more
    )


def _hash(text: str) -> str:
    """Return a source of a Content-Security-Policy (CSP level 3, section 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _details(review: Review) -> Mapping[str, Details]:
    chains = Chains(review.plan)
    held: dict[str | None, list[str]] = {}
    for evidence in review.plan.evidence:
        held.setdefault(evidence.package, []).append(evidence_phrase(evidence))
    gone: dict[str | None, list[ListedPaths]] = {}
    for listed in review.plan.removed:
        gone.setdefault(listed.package, []).append(listed)
    return {
        package.key: Details(
            chain="\n".join(chains.up(package.strongest)) if package.strongest else "",
            evidence=(found := held.get(package.key, []))[:_EVIDENCE],
            more=max(0, len(found) - _EVIDENCE),
            risks=[f"{r.level}: {escape_name(r.path or '')} {says(r)}" for r in package.risks],
            gone=_lines(gone.get(package.key, ())),
        )
        for packages in review.packages.values()
        for package in packages
    }


def _lines(listed: Any) -> str:
    return "\n".join(escape_name(path) for entry in listed for path in entry.paths())
