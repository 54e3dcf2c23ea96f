"""Which tests ran, on what, and what came of them; which rounds of repair it took."""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.material import Material
from paredown_minimizer.output import human_size, plural
from paredown_minimizer.pages import Column, Mark, Row, Section
from paredown_minimizer.pages.phrases import some
from paredown_minimizer.pages.report.summary import outcome, when
from paredown_schemas.names import escape_name
from paredown_schemas.verification import Outcome, Round, Verification

_NONE = (
    "Not verified: no test has run on what this plan leaves. Until one has, nothing here says that "
    "the slim image works."
)
_NAMES = 4
_MARKS: dict[Outcome | None, Mark] = {"passed": "✓", None: "?"}


def chapters(material: Material) -> Iterator[Section]:
    """Yield the chapter of the tests."""
    verification = material.verification
    title = "Tests run" + (f": {verification.outcome}" if verification else ": none")
    prose = tuple(_prose(verification)) if verification else (_NONE,)
    yield Section("tests", title, prose=prose, chapter=True)
    if verification:
        yield _started(verification)
        yield _cases(verification)
        yield _missing(verification)
        yield _rounds(verification)


def _prose(verification: Verification) -> Iterator[str]:
    yield outcome(verification) + "."
    if not verification.missing:
        yield "The tests asked for nothing that the plan removes and that is there in the original."


def _started(verification: Verification) -> Section:
    told = (
        ("mode", verification.mode),
        ("started with", f"{verification.target}: {escape_name(verification.run)}"),
        ("slim image", escape_name(verification.slim or "not started")),
        ("digest", escape_name(verification.digest or "none: it is a directory")),
        ("started", when(verification.started)),
        ("Paredown", escape_name(verification.paredown)),
    )
    columns = Column(""), Column("")
    return Section("verification", "How they ran", columns, [Row(row) for row in told])


def _cases(verification: Verification) -> Section:
    rows = [
        Row(
            (
                escape_name(case.name),
                case.outcome or "phase",
                "" if case.status is None else str(case.status),
                seconds(case.milliseconds),
                escape_name(case.command or ""),
            ),
            _MARKS.get(case.outcome, "✗"),
        )
        for case in verification.tests
    ]
    columns = (
        Column("test"),
        Column("outcome"),
        Column("exit status", "number"),
        Column("time", "number"),
        Column("command", "name"),
    )
    note = "A phase is told apart by marks; whether it passed is its command's to say."
    phases = any(case.command is None for case in verification.tests)
    return Section("cases", "Each of them", columns, rows, note=note if phases else "", headed=True)


def _missing(verification: Verification) -> Section:
    rows = [
        Row(
            (
                escape_name(missing.path),
                escape_name(missing.package or "unowned"),
                some(missing.asked, _NAMES),
                some(missing.exes, _NAMES),
                some(missing.tests, _NAMES),
                missing.held_by or "nothing: it was only looked for",
            ),
            "!",
        )
        for missing in verification.missing
    ]
    columns = (
        Column("path", "name"),
        Column("package", "name"),
        Column("asked by"),
        Column("program", "name"),
        Column("test"),
        Column("would be held by"),
    )
    title = f"Asked for and removed: {plural(len(rows), 'path')}"
    return Section("missing", title, columns, rows, headed=True)


def _rounds(verification: Verification) -> Section:
    rows = [_round(number, each) for number, each in enumerate(verification.rounds, 1)]
    columns = (
        Column("round", "number"),
        Column("outcome"),
        Column("missed", "number"),
        Column("found by"),
        Column("runs", "number"),
        Column("time", "number"),
        Column("pinned"),
        Column("restored"),
    )
    title = f"Rounds of repair: {len(rows):,}"
    note = "Each pin stands in the policy with its reason; the plan of this report has them all."
    return Section("rounds", title, columns, rows, note=note, headed=True)


def _round(number: int, each: Round) -> Row:
    pins = [f"{pin.target} ({pin.reason})" for pin in each.pins]
    restored = f"{plural(each.restored_files, 'file')}, {human_size(each.restored_bytes)}"
    cells = (
        f"{number:,}",
        each.outcome,
        f"{each.misses:,}",
        each.method or "",
        f"{each.runs:,}",
        seconds(each.milliseconds),
        some(pins, _NAMES),
        restored if each.pins else "",
    )
    return Row(cells, _MARKS.get(each.outcome, "✗"))


def seconds(milliseconds: int | None) -> str:
    """Return a time as people read it."""
    return "" if milliseconds is None else f"{milliseconds / 1000:,.1f} s"
