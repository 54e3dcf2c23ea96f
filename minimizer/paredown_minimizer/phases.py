"""The phases of a run, which its marks begin, and what each was the first to use."""

from __future__ import annotations

import bisect
import dataclasses

from paredown_schemas.trace import File, Mark, Run

STOP = "paredown: stop"  # the mark that a trial puts behind its last test


@dataclasses.dataclass(frozen=True, slots=True)
class Phase:
    """``name`` is None before the first mark; ``time`` is ns since the run's start."""

    name: str | None
    time: int
    paths: frozenset[str]  # first used in it; one that lacks its beginning begins with "…"


def phases(run: Run) -> list[Phase]:
    """Return the phases in the order of time; none where nobody marked any."""
    marks = marks_of(run)
    if not marks:
        return []
    times = [mark.time for mark in marks]
    found: list[set[str]] = [set() for _ in range(len(marks) + 1)]
    for path, time in _first_uses(run).items():
        found[bisect.bisect_right(times, time)].add(path)
    begins = [(None, 0), *((mark.name, mark.time) for mark in marks)]
    return [Phase(*begin, frozenset(paths)) for begin, paths in zip(begins, found, strict=True)]


def marks_of(run: Run) -> list[Mark]:
    """Return the marks in the order of time."""
    marks = (record for record in run.records if isinstance(record, Mark))
    return sorted(marks, key=lambda mark: mark.time)


class Marks:
    """Which test of a trial ran when."""

    def __init__(self, run: Run) -> None:
        """Look at the marks of ``run``."""
        self._marks = marks_of(run)
        self._times = [mark.time for mark in self._marks]

    def test(self, time: int) -> str | None:
        """Return the test that ran at ``time``, ns since the run's start; None before and after."""
        number = bisect.bisect_right(self._times, time)
        name = self._marks[number - 1].name if number else STOP
        return None if name == STOP else name


def shown_path(file: File) -> str:
    """Return a file record's path as people see it: what lacks its beginning says so."""
    return f"…{file.path}" if file.truncated else file.path


def _first_uses(run: Run) -> dict[str, int]:
    # By time: records that waited until it was known whose they are stand behind later ones.
    first: dict[str, int] = {}
    for file in run.files():
        path = shown_path(file)
        first[path] = min(file.time, first.get(path, file.time))
    return first
