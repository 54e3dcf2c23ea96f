"""``paredown-agent record``."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from paredown_agent.commandline import run_position
from paredown_schemas.errors import UsageError

if TYPE_CHECKING:
    from paredown_agent.readyfile import ReadyFile
    from paredown_agent.recorder.base import Clock
    from paredown_agent.target.base import Target, Workload
    from paredown_agent.traces import Traces

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command line."""
    parser = subparsers.add_parser(
        "record",
        help="record which files a container uses",
        usage="paredown-agent record -o FILE [options] "
        "[--container NAME | --pid PID | --all-containers | --rootfs DIR] [-- COMMAND...]",
        description="Record which files a container uses until it ends. COMMAND is a docker run "
        "or podman run, what runs in DIR, or, inside a container, what its entrypoint was.",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the trace to write")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--rootfs", metavar="DIR", help="run COMMAND in DIR, which never changes")
    target.add_argument("--container", metavar="NAME", help="attach to a running container")
    target.add_argument(
        "--pid", type=int, metavar="PID", help="attach to the container that PID lives in"
    )
    target.add_argument(
        "--all-containers",
        action="store_true",
        help="one trace for each container, those that start later too; -o names a directory",
    )
    parser.add_argument(
        "--match", metavar="GLOB", help="with --all-containers: only names or images like this"
    )
    parser.add_argument("--scenario", metavar="NAME", help="the load that runs meanwhile")
    parser.add_argument(
        "--duration", type=_duration, metavar="TIME", help="end the recording then: 90s, 5m, 1h"
    )
    parser.add_argument(
        "--recorder",
        default="auto",
        metavar="NAME",
        help="auto, or one that doctor lists, or ebpf for either of its kinds (default: auto)",
    )
    parser.add_argument(
        "--also",
        type=_also,
        default=frozenset(),
        metavar="WHAT,...",
        help="record this too, at some cost: exists, missing, capabilities, syscalls",
    )
    parser.add_argument(
        "--ready-file", metavar="FILE", help="make this file once recording is armed"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the trace")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Record as asked; return the exit status.

    Raises:
        ParedownError: the recording could not begin.
    """
    _check(arguments)
    # Late: what other subcommands and --help do without.
    from paredown_agent.marks import MarkListener  # noqa: PLC0415
    from paredown_agent.record import FORWARDED, Recording, Request  # noqa: PLC0415
    from paredown_agent.recorder.base import Clock  # noqa: PLC0415
    from paredown_agent.recorder.registry import choose  # noqa: PLC0415
    from paredown_agent.signaldescriptor import SignalDescriptor  # noqa: PLC0415

    clock = Clock()
    with contextlib.ExitStack() as stack:
        workload, open_traces = _workload(arguments, clock, FORWARDED)
        stack.callback(workload.close)
        recorder = choose(arguments.recorder, clock, arguments.also)
        ready = _ready_file(arguments)
        traces = open_traces()
        signals = SignalDescriptor(FORWARDED)
        marks = MarkListener(arguments.output)
        stack.callback(marks.close)
        return Recording(
            workload,
            recorder,
            clock,
            traces,
            request=Request(scenario=arguments.scenario, duration=arguments.duration),
            ready=ready,
            signals=signals,
            marks=marks,
            say=lambda line: print(line, file=sys.stderr),
        ).run()


def _workload(
    arguments: argparse.Namespace, clock: Clock, forwarded: Sequence[int]
) -> tuple[Workload, Callable[[], Traces]]:
    """What is to be recorded, and what opens its traces once a recorder works here."""
    if arguments.all_containers:
        from paredown_agent.target.fleet import FleetTarget  # noqa: PLC0415
        from paredown_agent.tracedirectory import TraceDirectory  # noqa: PLC0415

        directory = TraceDirectory(arguments.output, clock, force=arguments.force)
        return FleetTarget(arguments.match, directory, clock), lambda: directory
    from paredown_agent.output import Output  # noqa: PLC0415
    from paredown_agent.traces import SingleTrace  # noqa: PLC0415

    target = _target(arguments, clock, forwarded)

    def open_trace() -> Traces:
        return SingleTrace(target, Output(arguments.output, force=arguments.force), clock)

    return target, open_trace


def _target(arguments: argparse.Namespace, clock: Clock, forwarded: Sequence[int]) -> Target:
    command = arguments.command
    if arguments.rootfs is not None:
        from paredown_agent.target.rootfs import RootfsTarget  # noqa: PLC0415

        return RootfsTarget(arguments.rootfs, command, forwarded)
    if arguments.container is not None:
        from paredown_agent.target.container import ContainerTarget  # noqa: PLC0415

        return ContainerTarget.by_name(arguments.container, clock)
    if arguments.pid is not None:
        from paredown_agent.target.container import ContainerTarget  # noqa: PLC0415

        return ContainerTarget.by_process(arguments.pid, clock)
    if run_position(command) is not None:
        from paredown_agent.target.runtime import RuntimeTarget  # noqa: PLC0415

        return RuntimeTarget(command, clock)
    from paredown_agent.target.command import CommandTarget, step_aside  # noqa: PLC0415

    return CommandTarget(command, step_aside(command))


def _ready_file(arguments: argparse.Namespace) -> ReadyFile | None:
    from paredown_agent.readyfile import ReadyFile  # noqa: PLC0415

    return None if arguments.ready_file is None else ReadyFile(arguments.ready_file)


def _check(arguments: argparse.Namespace) -> None:
    options = {"container": arguments.container, "pid": arguments.pid}
    attaches = [f"--{name}" for name, value in options.items() if value is not None]
    attaches += ["--all-containers"] if arguments.all_containers else []
    if attaches and arguments.command:
        what = f"{attaches[0]} takes no COMMAND, what it records runs already"
        raise UsageError(f"cannot record: {what}")
    if arguments.match is not None and not arguments.all_containers:
        raise UsageError("cannot record: --match goes with --all-containers")
    if not attaches and not arguments.command:
        raise UsageError(
            "cannot record: there is no COMMAND",
            hint="paredown-agent record -o app.trace -- docker run IMAGE",
        )


def _also(text: str) -> frozenset[str]:
    from paredown_agent.recorder.also import ALSO  # noqa: PLC0415

    asked = frozenset(text.split(","))
    if unknown := asked.difference(ALSO):
        known = ", ".join(ALSO)
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))!r}; known: {known}")
    return asked


def _duration(text: str) -> float:
    """Seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"not a time such as 90s, 5m or 1h: {text!r}")
    return float(match[1]) * _UNITS[match[2]]
