"""What was removed and why, the risk that is taken, what people decided, what an intruder finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from paredown_minimizer.gates import run_gates
from paredown_minimizer.material import Material
from paredown_minimizer.output import plural
from paredown_minimizer.pages import MARKS, Column, Row, Section
from paredown_minimizer.pages.packages import application, levels, packages, paths, risks, unowned
from paredown_minimizer.pages.policy import unless_used, ways_given
from paredown_minimizer.pages.review import MAP
from paredown_minimizer.pages.surface import exposed, surface
from paredown_minimizer.review import Review
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Pin

_REMOVED = (
    "Each package that goes, with what still speaks for it; then those that lose files, and those "
    "that stay, with the evidence that holds them."
)
_RISK = (
    "What goes and may be missed all the same, because something that stays names it, can load it, "
    "or depends on it. High means that a program asks for it by name; low, that it is mentioned."
)
_NO_PINS = "No decision of a person is in this plan: the policy has no pins."


def chapters(material: Material, review: Review) -> Iterator[Section]:
    """Yield the chapters."""
    plan = review.plan
    yield Section("why", "What was removed, and why", prose=(_REMOVED,), chapter=True)
    yield MAP
    yield from packages(review)
    yield application(review)
    yield unowned(review)
    yield paths(review)
    title = f"Risk taken: {levels(review.risks)}"
    yield Section("risk", title, prose=(_RISK,), chapter=True)
    yield risks(review)
    yield dataclasses.replace(surface(plan), chapter=True)
    yield exposed(plan)
    yield unless_used(plan)
    yield _pins(material)
    yield _gates(material)
    yield ways_given(plan)


def _pins(material: Material) -> Section:
    """Those that end first come first."""
    ranked = sorted(material.plan.pins, key=lambda pin: (pin.expires or "~", pin.target))
    rows = [
        Row(
            (
                escape_name(pin.target),
                plural(pin.paths, "path"),
                _until(pin, material),
                escape_name(pin.reason),
            ),
            "✗" if _over(pin, material) else MARKS[pin.action],
        )
        for pin in ranked
    ]
    columns = Column("target", "name"), Column("paths"), Column("expires"), Column("reason")
    judged = (
        f"Judged on {material.date}, the day of which this report speaks." if material.date else ""
    )
    note = judged if any(pin.expires for pin in ranked) else ""
    title = f"Decisions of people: {plural(len(rows), 'pin')}"
    prose = () if rows else (_NO_PINS,)
    return Section("pins", title, columns, rows, note=note, prose=prose, headed=True, chapter=True)


def _over(pin: Pin, material: Material) -> bool:
    return material.date is not None and pin.expired(material.date)


def _until(pin: Pin, material: Material) -> str:
    if not pin.expires:
        return ""
    over = "expired " if _over(pin, material) else "until "
    return over + escape_name(pin.expires)


def _gates(material: Material) -> Section:
    found = []
    if material.policy is not None and material.date is not None:
        found = run_gates(material.policy, material.plan, material.date, material.cves)
    rows = [Row((each.name, each.told, each.bound), "✓" if each.passed else "✗") for each in found]
    columns = Column("gate"), Column("plan"), Column("bound")
    failed = sum(not each.passed for each in found)
    title = f"Gates of the policy: {len(found) - failed:,} of {len(found):,} passed"
    return Section("gates", title, columns, rows, headed=True)
