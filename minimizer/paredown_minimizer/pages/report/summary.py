"""The first screen of a report: what was gained, whether that is proven, which risk stays."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

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
    references = [run.image.reference for run in material.runs if run.image]
    name = material.source or next(filter(None, references), None)
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
    """Return how much there was and is, CVEs too, as a scan of either side lists them."""
    section = review_pages.totals(material.plan)
    if material.cves is None:
        return section
    all_of = summed(material.cves)
    name = "CVEs, after projected" if material.cves.projected else "CVEs found"
    cells = (
        name,
        f"{all_of.before:,}",
        f"{all_of.after:,}",
        percent_gone(all_of.before, all_of.after),
    )
    return dataclasses.replace(section, rows=[*section.rows, Row(cells)])


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
    return Section("answers", "In short", (Column("question"), Column("answer")), rows)


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
    if verification.mode == "soft":
        where = "on the original, under the recorder (soft: the slim image itself was not started)"
    else:
        where = "on the slim image"
    text = f"{done:,} of {plural(len(tests), 'test command')} passed {where}"
    if verification.missing:
        text += f"; they asked for {plural(len(verification.missing), 'path')} that is removed"
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
        f"{figures.before:,} before, of which {figures.gone:,} are gone with their packages, "
        f"{figures.file_gone:,} lost their files while the package is still declared, and "
        f"{figures.lost:,} are lost from sight"
    )
    if figures.new:
        text += f"; {figures.new:,} new"
    if worst := [f"{count.after:,} {count.severity}" for count in cves.counts if count.after]:
        text += f". After: {', '.join(worst)}"
    if cves.projected:
        text += ". Projected from the plan: the slim image was not scanned"
    return Row(("CVEs", text), "✗" if figures.lost else "!" if figures.after else "✓")


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
    first = min(pin.expires or "" for pin in limited)
    text = f"{plural(len(limited), 'decision')} of the policy expire, the first on {first}"
    if over:
        text += f"; {len(over):,} had expired on {material.date}"
    yield Row(("Open", text), "✗" if over else "!")
