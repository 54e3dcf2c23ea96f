"""The phases of a run, which its marks begin, and what each was the first to use."""

from __future__ import annotations

import bisect
import dataclasses

from paredown_schemas.trace import File, Mark, Run


@dataclasses.dataclass(frozen=True, slots=True)
class Phase:
    """``name`` is None before the first mark; ``time`` is ns since the run's start."""

    name: str | None
    time: int
    paths: frozenset[str]  # first used in it; one that lacks its beginning begins with "…"


def phases(run: Run) -> list[Phase]:
    """Return the phases in the order of time; none where nobody marked any."""
    marks = sorted(
        (record for record in run.records if isinstance(record, Mark)), key=lambda mark: mark.time
    )
    if not marks:
        return []
    times = [mark.time for mark in marks]
    found: list[set[str]] = [set() for _ in range(len(marks) + 1)]
    for path, time in _first_uses(run).items():
        found[bisect.bisect_right(times, time)].add(path)
    begins = [(None, 0), *((mark.name, mark.time) for mark in marks)]
    return [Phase(*begin, frozenset(paths)) for begin, paths in zip(begins, found, strict=True)]


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
