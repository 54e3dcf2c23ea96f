"""Reading the traces that a command line names."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path

from paredown_schemas.errors import DamagedInputError
from paredown_schemas.names import escape_name
from paredown_schemas.trace import Run, Trace, read_trace


def read_runs(paths: Sequence[str], *, accept_partial: bool) -> list[Run]:
    """Return the runs of the trace files, each run once, by start.

    Raises:
        DamagedInputError: a trace is partial and that is not accepted, or is no trace.
        ParedownError: a file cannot be read.
    """
    traces = [(path, read_trace(Path(path))) for path in paths]
    if not accept_partial:
        for path, trace in traces:
            refuse_partial(path, trace)
    return unique_runs([run for _, trace in traces for run in trace.runs])


def refuse_partial(path: str, trace: Trace) -> None:
    """Raise DamagedInputError if ``trace`` is partial, with why."""
    if trace.verdict == "partial":
        reasons = escape_name("; ".join(trace.reasons))
        raise DamagedInputError(
            f"cannot rely on trace {escape_name(path)}: it is partial: {reasons}",
            hint="record again, or take it as it is with --accept-partial",
        )


def unique_runs(runs: Sequence[Run]) -> list[Run]:
    """Return each run once, by start; of two copies of one run the one that holds more."""
    best: dict[str, Run] = {}
    for run in runs:
        other = best.get(run.header.run)
        if other is None or _worth(run) > _worth(other):
            best[run.header.run] = run
    return in_order(best.values())


def in_order(runs: Iterable[Run]) -> list[Run]:
    """Return ``runs`` by start, whatever the order in which they were read."""
    return sorted(runs, key=lambda run: (run.header.start, run.header.run))


def started(run: Run) -> dt.datetime | None:
    """Return when a run began, in UTC and whole seconds; None where no calendar has that time."""
    # Hostile numbers: a year beyond 9999 is no datetime.
    try:
        return dt.datetime.fromtimestamp(run.header.start // 10**9, dt.timezone.utc)
    except (OverflowError, ValueError, OSError):
        return None


def _worth(run: Run) -> tuple[bool, int]:
    return run.verdict == "complete", len(run.records)
