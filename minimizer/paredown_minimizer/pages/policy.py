"""What the policy had to say: pins, rules that gave way, and what is no use of the image."""

from __future__ import annotations

from paredown_minimizer.output import plural
from paredown_minimizer.pages import MARKS, Column, Row, Section
from paredown_minimizer.pages.phrases import some
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan

_NAMES = 6


def pins(plan: Plan) -> Section:
    """Return the pins, as they were applied."""
    rows = [
        Row(
            (
                escape_name(pin.target),
                plural(pin.paths, "path"),
                f"until {escape_name(pin.expires)}" if pin.expires else "",
                escape_name(pin.reason),
            ),
            MARKS[pin.action],
        )
        for pin in plan.pins
    ]
    columns = Column("target", "name"), Column("paths"), Column("expires"), Column("reason")
    return Section("pins", f"Pinned by the policy: {len(rows):,}", columns, rows)


def ways_given(plan: Plan) -> Section:
    """Return what rules of the knowledge base would hold, had the policy not let it go."""
    rows = [
        Row(
            (
                escape_name(way.path),
                f"rule {escape_name(way.rule)}" + (f" for {escape_name(way.by)}" if way.by else ""),
                escape_name(way.reason),
            ),
            "!",
        )
        for way in plan.gave_way
    ]
    title = f"Let go by the policy against a rule: {plural(len(rows), 'path')}"
    columns = Column("path", "name"), Column("rule"), Column("reason")
    return Section("gave-way", title, columns, rows)


def unless_used(plan: Plan) -> Section:
    """Return the kinds of programs of which all go that nothing used, with the proof."""
    rows = [
        Row(
            (
                escape_name(each.what),
                f"{each.used:,} of {plural(each.execs, 'exec')} in {plural(each.runs, 'run')}",
                some(each.gone, _NAMES) or "none",
                some(each.stays, _NAMES) or "none",
                escape_name(each.reason),
            ),
            "+" if each.stays else "-",
        )
        for each in plan.unless_used
    ]
    columns = (
        Column("kind"),
        Column("used by"),
        Column("goes", "name"),
        Column("stays", "name"),
        Column("reason"),
    )
    title = "Removed unless used, by the policy"
    return Section("unless-used", title, columns, rows, headed=True)


def left_out(plan: Plan) -> Section:
    """Return which uses the policy does not count."""
    rows = [
        Row(
            (
                f"session {escape_name(each.session)}" if each.session else "",
                escape_name(each.exe or ""),
                f"in runs of {escape_name(each.scenario)}" if each.scenario else "",
                f"{plural(each.files, 'file')} that nothing else used",
                escape_name(each.reason),
            )
        )
        for each in plan.left_out
    ]
    columns = (
        Column("session"),
        Column("program", "name"),
        Column("runs"),
        Column("files"),
        Column("reason"),
    )
    return Section("left-out", "Not counted as use, by the policy", columns, rows)
