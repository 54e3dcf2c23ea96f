"""``paredown merge TRACE… -o ALL.trace``: the union of several traces of one image."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paredown_minimizer.output import add_output_options, plural, say, write_output
from paredown_minimizer.traces import unique_runs
from paredown_schemas.errors import DamagedInputError
from paredown_schemas.names import escape_name
from paredown_schemas.trace import Loss, Run, Trace, TraceWriter, Trailer, read_trace


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("merge", help="several traces in one file")
    parser.add_argument("traces", nargs="+", metavar="TRACE")
    add_output_options(parser, required=True)


def run(arguments: argparse.Namespace) -> int:
    """Write every run once; each keeps its scenario, so that who saw what is not lost."""
    traces = [(path, read_trace(Path(path))) for path in arguments.traces]
    refuse_other_images(traces)
    runs = unique_runs([run for _, trace in traces for run in trace.runs])
    write_output(arguments.output, merged(runs), force=arguments.force)
    _tell(arguments.output, runs)
    return 0


def refuse_other_images(traces: Sequence[tuple[str, Trace]]) -> None:
    """Raise DamagedInputError unless all runs are of one image and platform.

    A run from inside a container does not know its image; it is taken.
    """
    platform: tuple[str, str] | None = None
    image: tuple[str, str] | None = None
    for path, trace in traces:
        for run in trace.runs:
            platform = _same("platform", platform, path, run.header.platform)
            if run.image is not None and run.image.identity is not None:
                image = _same("image", image, path, run.image.identity)


def _same(what: str, first: tuple[str, str] | None, path: str, value: str) -> tuple[str, str]:
    if first is not None and first[1] != value:
        raise DamagedInputError(
            f"cannot merge {escape_name(first[0])} and {escape_name(path)}: "
            f"they are of {escape_name(first[1])} and {escape_name(value)}",
            hint=f"record all of them on one {what}",
        )
    return first or (path, value)


def merged(runs: Sequence[Run]) -> bytes:
    """Return the trace file that holds ``runs``."""
    file = io.BytesIO()
    writer = TraceWriter(file)
    for run in runs:
        writer.write(run.header)
        for record in run.records:
            writer.write(record)
        writer.write(_trailer(run, more=run is not runs[-1]))
    return file.getvalue()


def _trailer(run: Run, *, more: bool) -> Trailer:
    """Return a trailer that says what a reader found: of a cut run there is none, or a false one.

    Without it the next run's header would end the file there.
    """
    times = [record.time for record in run.records if hasattr(record, "time")]
    return Trailer(
        files=sum(1 for _ in run.files()),
        losses=sum(isinstance(record, Loss) for record in run.records),
        verdict=run.verdict,
        reasons=run.reasons,
        time=run.trailer.time if run.trailer else max(times, default=0),
        more=more,
    )


def _tell(output: str, runs: Sequence[Run]) -> None:
    paths = len({file.path for run in runs for file in run.files()})
    partial = [run for run in runs if run.verdict == "partial"]
    verdict = f"partial: {plural(len(partial), 'run')} of {len(runs)}" if partial else "complete"
    where = "standard output" if output == "-" else escape_name(output)
    say(f"Wrote {where}: {plural(len(runs), 'run')}, {plural(paths, 'path')}, {verdict}")
    if output != "-":
        say(f"Next: paredown plan SOURCE --trace {escape_name(output)} -o plan.json")
