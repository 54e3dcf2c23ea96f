"""``paredown-agent mark``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

if TYPE_CHECKING:
    from paredown_agent.marks import RunningRecording


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command line."""
    parser = subparsers.add_parser(
        "mark",
        help="put a phase mark into a running recording",
        description="Say that a phase of the load begins. Ends when the mark stands in the trace.",
    )
    parser.add_argument("name", metavar="NAME", help="the phase, such as warm-up or checkout")
    parser.add_argument(
        "--trace",
        metavar="FILE",
        default=os.environ.get("PAREDOWN_TRACE"),
        help="the -o of the recording meant, where several run (default: PAREDOWN_TRACE)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Mark; return the exit status.

    Raises:
        ParedownError: no recording runs, several do, or it refuses.
    """
    from paredown_agent.marks import name_fault, running_recordings  # noqa: PLC0415

    if fault := name_fault(arguments.name):
        raise ParedownError(f"cannot mark the recording: {fault}")
    running, failures = running_recordings()
    if not running and failures:
        raise failures[0]
    _choose(running, arguments.trace).mark(arguments.name)
    return 0


def _choose(running: Sequence[RunningRecording], trace: str | None) -> RunningRecording:
    wanted = None if trace is None else os.path.realpath(trace)
    found = [each for each in running if wanted in (None, each.output)]
    if len(found) == 1:
        return found[0]
    for each in running:
        print(f"recording: {escape_name(each.output)}", file=sys.stderr)
    if found:
        raise ParedownError(
            f"cannot mark the recording: {len(found)} run", hint="choose one by --trace FILE"
        )
    what = "no recording runs" if trace is None else f"none writes {escape_name(trace)}"
    raise ParedownError(
        f"cannot mark the recording: {what}",
        hint="it is seen from its own container or network namespace only",
    )
