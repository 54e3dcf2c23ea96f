"""The phases of tests: what marks told apart while a command ran, and what was told of each.

A test, or the plugin of its framework, appends lines ``passed NAME`` or ``failed NAME`` to the file
that PAREDOWN_RESULTS names; NAME is that of its mark.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from paredown_minimizer.phases import STOP, marks_of
from paredown_schemas.names import decode_name
from paredown_schemas.trace import Mark, Run
from paredown_schemas.verification import Case, Outcome

_OUTCOMES: dict[str, Outcome] = {"passed": "passed", "failed": "failed"}


def with_phases(cases: Sequence[Case], run: Run | None, results: Path) -> tuple[Case, ...]:
    """Return each command with its phases behind it.

    A mark that has a command's name is the command's own, which are in the order of the commands.
    """
    outcomes = _outcomes(results)
    marks = [] if run is None else marks_of(run)
    begins = _begins(cases, marks)
    found: list[Case] = []
    for case, (begin, end) in zip(cases, itertools.pairwise([*begins, len(marks)]), strict=True):
        found.append(case)
        phases = marks[begin + 1 : end]
        ends = [mark.time for mark in marks[begin + 2 : end + 1]]
        found += [
            Case(mark.name, outcomes.get(mark.name), milliseconds=_milliseconds(mark.time, until))
            for mark, until in itertools.zip_longest(phases, ends)
            if mark.name != STOP
        ]
    return tuple(found)


def _begins(cases: Sequence[Case], marks: Sequence[Mark]) -> list[int]:
    """Return where the mark of each command stands; at the end, where it has none."""
    begins = []
    at = 0
    for case in cases:
        numbers = range(at, len(marks))
        begin = next((n for n in numbers if marks[n].name == case.name), len(marks))
        begins.append(begin)
        at = min(begin + 1, len(marks))
    return begins


def _milliseconds(begin: int, end: int | None) -> int | None:
    return None if end is None else (end - begin) // 10**6


def _outcomes(results: Path) -> dict[str, Outcome]:
    try:
        lines = decode_name(results.read_bytes()).splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition(" ") for line in lines)
    return {name: _OUTCOMES[word] for word, _, name in pairs if word in _OUTCOMES}
