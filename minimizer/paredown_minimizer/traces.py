"""Reading the traces that a command line names."""

from __future__ import annotations

from collections.abc import Sequence
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
    return sorted(best.values(), key=lambda run: (run.header.start, run.header.run))


def _worth(run: Run) -> tuple[bool, int]:
    return run.verdict == "complete", len(run.records)
