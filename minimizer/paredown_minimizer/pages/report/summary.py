"""The first screen of a report: what was gained, whether that is proven, which risk stays."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from paredown_minimizer.image.source import engine_reference
from paredown_minimizer.material import Material
from paredown_minimizer.output import human_size, percent_gone, plural
from paredown_minimizer.pages import Column, Row, Section
from paredown_minimizer.pages import review as review_pages
from paredown_minimizer.pages.packages import levels
from paredown_minimizer.pages.phrases import some
from paredown_minimizer.profile import sentence
from paredown_minimizer.review import Review
from paredown_schemas.cves import Cves, SeverityCount
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan
from paredown_schemas.verification import Case, Verification

_NAMES = 3
_WHY = 300
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\dZ")


def image_name(material: Material) -> str:
    """Return what people call the original, as far as anybody said; escaped."""
    source = material.reference or ""
    name = engine_reference(source) or source.removeprefix("dir:")
    return escape_name(name) if name else short(material.plan.image)


def short(identity: str) -> str:
    """Return an identity in the length in which people compare them."""
    kind, _, digest = escape_name(identity).partition(":")
    return f"{kind}:{digest[:12]}" if digest else kind


def when(time: str | None) -> str:
    """Return a time as people read it."""
    found = _TIME.fullmatch(time or "")
    return f"{found[1]} {found[2]} UTC" if found else escape_name(time or "")


def title(material: Material) -> str:
    """Return the title."""
    return f"Hardening report: {image_name(material)}"


def totals(material: Material) -> Section:
    """Return how much there was and is; of CVEs, what went with its package alone counts as gone.

    A file that is gone while its package is still declared is another figure, and none is added.
    """
    section = review_pages.totals(material.plan)
    if material.cves is None:
        return section
    figures = summed(material.cves)
    left = figures.before - figures.gone
    name = "CVEs, by package" + (", projected" if material.cves.projected else "")
    gone = percent_gone(figures.before, left)
    row = Row((name, f"{figures.before:,}", f"{left:,}", gone))
    return dataclasses.replace(section, rows=[*section.rows, row])


def summed(cves: Cves) -> SeverityCount:
    """Return the counts of all severities together; each figure by itself."""
    figures = ("before", "after", "gone", "file_gone", "lost", "new")
    found = {name: sum(getattr(count, name) for count in cves.counts) for name in figures}
    return SeverityCount("unknown", **found)


def answers(material: Material, review: Review) -> Section:
    """Return the answers to what a reviewer asks first."""
    rows = [
        _gained(material.plan),
        _tests(material.verification),
        _cves(material.cves),
        _recording(material.plan),
        Row(("Risk taken", f"{levels(review.risks)}"), "!" if review.risks else "✓"),
        *_pins(material),
    ]
    return Section("answers", "In short", (Column(""), Column("")), rows)


def _gained(plan: Plan) -> Row:
    before, after = plan.before, plan.after
    text = (
        f"{percent_gone(before.bytes, after.bytes)} of {human_size(before.bytes)} are gone: "
        f"{before.packages - after.packages:,} of {plural(before.packages, 'package')}, "
        f"{before.files - after.files:,} of {plural(before.files, 'file')}"
    )
    return Row(("Gained", text), "✓" if after.bytes < before.bytes else "✗")


def _tests(verification: Verification | None) -> Row:
    if verification is None:
        return Row(("Proven", "Not verified: no test has run on the slim image"), "✗")
    passed = verification.outcome == "passed"
    return Row(("Proven", outcome(verification)), "✓" if passed else "✗")


def outcome(verification: Verification) -> str:
    """Return what came of the tests, in a sentence."""
    tests = commands(verification)
    done = sum(case.outcome == "passed" for case in tests)
    where = (
        "on the original, under the recorder (soft: the slim image itself was not started)"
        if verification.mode == "soft"
        else "on the slim image"
    )
    text = f"{done:,} of {plural(len(tests), 'test')} passed {where}"
    if not tests:
        text = f"No test but the run itself {where}: {verification.outcome}"
    if verification.missing:
        text += f"; {plural(len(verification.missing), 'path')} that the plan removes was asked for"
    if verification.outcome != "passed":
        why = f": {escape_name(verification.why[:_WHY])}" if verification.why else ""
        text += f"; outcome: {verification.outcome}{why}"
    if verification.original is not None:
        text += f"; the same on the original: {verification.original}"
    return text + f" ({when(verification.started)})"


def commands(verification: Verification) -> list[Case]:
    """Return the commands of the tests; what is not one is a phase within."""
    return [case for case in verification.tests if case.command is not None]


def _cves(cves: Cves | None) -> Row:
    if cves is None:
        return Row(("CVEs", "Not compared: no scan was given"), "?")
    figures = summed(cves)
    text = (
        f"{figures.before:,} before. Gone with its package: {figures.gone:,}; file gone, package "
        f"still declared: {figures.file_gone:,}; lost from sight: {figures.lost:,}"
    )
    if figures.new:
        text += f"; new: {figures.new:,}"
    if cves.hidden:
        text += f"; packages out of sight: {len(cves.hidden):,}"
    stay = [f"{count.after:,} {count.severity}" for count in cves.counts if count.after]
    text += f". Stay: {', '.join(stay) or 'none'}"
    if cves.projected:
        text += ". Projected from the plan, not scanned"
    bad = figures.lost or cves.hidden
    return Row(("CVEs", text), "✗" if bad else "!" if stay else "✓")


def _recording(plan: Plan) -> Row:
    partial = [trace for trace in plan.traces if trace.verdict == "partial"]
    text = sentence(plan)
    if partial:
        named = some([trace.scenario or trace.run for trace in partial], _NAMES)
        text += f" Partial: {named}."
    return Row(("Recorded", text), "✓" if plan.traces and not partial else "!")


def _pins(material: Material) -> Iterator[Row]:
    limited = [pin for pin in material.plan.pins if pin.expires]
    if not limited:
        return
    over = [pin for pin in limited if material.date and pin.expired(material.date)]
    first = escape_name(min(pin.expires or "" for pin in limited))
    text = f"{plural(len(limited), 'pin')} of the policy with a last day, the first {first}"
    if over:
        text += f"; {len(over):,} had expired on {material.date}"
    yield Row(("Open", text), "✗" if over else "!")
