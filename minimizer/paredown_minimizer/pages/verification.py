"""A verification for the terminal: the tests, then what they missed, by package."""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.output import align
from paredown_schemas.names import escape_name
from paredown_schemas.verification import Case, Missing, Verification


def lines(verification: Verification) -> Iterator[str]:
    """Yield the lines."""
    yield from align([("TEST", "OUTCOME", "TIME"), *map(_case, verification.tests)], right=(2,))
    if verification.missing:
        yield ""
        titles = ("PACKAGE", "MISSING", "ASKED", "BY", "HELD BY", "TEST")
        yield from align([titles, *map(_missing, verification.missing)])


def _case(case: Case) -> tuple[str, str, str]:
    status = f" ({case.status})" if case.status else ""
    outcome = f"{case.outcome or '-'}{status}"
    seconds = "-" if case.milliseconds is None else f"{case.milliseconds / 1000:.1f} s"
    # A phase stands below its command.
    name = escape_name(case.name if case.command is not None else f"  {case.name}")
    return name, outcome, seconds


def _missing(missing: Missing) -> tuple[str, str, str, str, str, str]:
    return (
        escape_name(missing.package or "-"),
        escape_name(missing.path),
        ",".join(missing.asked),
        escape_name(", ".join(missing.exes) or "-"),
        missing.held_by or "-",
        escape_name(", ".join(missing.tests) or "-"),
    )
