"""A verification for the terminal: the tests, then what they missed, by package."""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.output import align
from paredown_schemas.names import escape_name
from paredown_schemas.verification import Case, Missing, Verification

_NAMED = 3  # of what a test missed


def lines(verification: Verification) -> Iterator[str]:
    """Yield the lines."""
    yield from align([("TEST", "OUTCOME", "TIME"), *map(_case, verification.tests)], right=(2,))
    if verification.missing:
        yield ""
        titles = ("PACKAGE", "MISSING", "ASKED", "BY", "HELD BY", "TEST")
        yield from align([titles, *map(_missing, verification.missing)])


def explained(verification: Verification) -> Iterator[str]:
    """Yield for each failed test what it missed, in words."""
    for case in verification.tests:
        if case.outcome in ("failed", "timed-out"):
            missed = [each for each in verification.missing if case.name in each.tests]
            shown = [_named(each) for each in missed[:_NAMED]]
            shown += ["…"] if len(missed) > _NAMED else []
            if shown:
                yield f"{escape_name(case.name)} {case.outcome}, and missed {', '.join(shown)}"


def _named(missing: Missing) -> str:
    of = f" of {escape_name(missing.package)}" if missing.package else ""
    return f"{escape_name(missing.path)}{of}"


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
