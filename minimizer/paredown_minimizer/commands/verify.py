"""``paredown verify PLAN … -- TESTS…``: the tests on the slim image, and what they missed."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paredown_minimizer.output import plural, progress, say, write_output
from paredown_minimizer.pages.verification import explained, lines
from paredown_minimizer.repair.command import add_options as add_repair_options
from paredown_minimizer.repair.command import repair
from paredown_minimizer.trial import Launch, Suite, TestCommand
from paredown_minimizer.trial.processes import interruptible
from paredown_minimizer.verify import verify_soft, verify_strict
from paredown_schemas.errors import ExitCode, ParedownError, UsageError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import read_plan
from paredown_schemas.verification import Target, Verification, dump_verification

TAKES_COMMAND = True
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_READY_AT_MOST = 300  # seconds
_NAME_AT_MOST = 60  # characters of a command as a test's name


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser(
        "verify",
        help="run the tests on the slim image, and tell what they missed",
        usage="paredown verify PLAN --image REF --run 'docker run … {image}' [options] -- TESTS…\n"
        "       paredown verify PLAN --rootfs DIR --run COMMAND [options] -- TESTS…\n"
        "       paredown verify PLAN --compose FILE --service NAME --image REF [options] -- TESTS…",
        description="Starts the slim image as you do, under paredown-agent, and runs TESTS, one "
        "command or a quoted line for a shell; without TESTS the run itself is the test.",
    )
    parser.add_argument("plan", metavar="PLAN", type=Path, help="the plan of the slim image")
    parser.add_argument("--image", metavar="REF", help="the slim image, in docker or podman")
    parser.add_argument("--rootfs", metavar="DIR", help="the slim image as a directory")
    parser.add_argument("--run", metavar="COMMAND", help="what starts it; {image} stands for it")
    parser.add_argument("--compose", metavar="FILE", type=Path, help="the compose file it is in")
    parser.add_argument("--service", metavar="NAME", help="as which of its services")
    parser.add_argument(
        "--ready", metavar="LINE", help="a shell line; the tests begin once it exits with 0"
    )
    parser.add_argument(
        "--timeout", metavar="TIME", type=_seconds, default=600, help="limit of TESTS (default 10m)"
    )
    parser.add_argument(
        "--soft",
        action="store_true",
        help="run the tests on the original, and tell all that they use and the plan removes",
    )
    parser.add_argument(
        "--original", metavar="REF", help="the original: does a failing test fail there, too?"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write the verification there; FILE.runs has traces"
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    add_repair_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the tests; exit 3 if they fail, or in a soft run if the plan removes what they use."""
    plan = read_plan(arguments.plan)
    launch, suite = _launch(arguments), _suite(arguments)
    with interruptible(), _space(arguments) as space, progress("Running the tests"):
        if arguments.repair:
            verification = repair(plan, launch, suite, space, arguments)
        elif arguments.soft:
            verification = verify_soft(plan, launch, suite, space)
        else:
            verification = verify_strict(plan, launch, suite, space, original=arguments.original)
    document = dump_verification(verification)
    table = "".join(line + "\n" for line in lines(verification))
    as_json = arguments.format == "json" or arguments.output == "-"
    write_output("-", document if as_json else table, force=False)
    for line in _told(verification, arguments):
        say(line)
    if arguments.output not in (None, "-"):  # last: where that fails the rest has been told
        write_output(arguments.output, document, force=arguments.force)
    return ExitCode.OK if verification.outcome == "passed" else ExitCode.CHECK_FAILED


def _launch(arguments: argparse.Namespace) -> Launch:
    image = arguments.rootfs or arguments.image
    if arguments.soft and not arguments.repair:
        image = arguments.original or image
    if image is None:
        raise UsageError("cannot verify: there is no image", hint="--image REF or --rootfs DIR")
    if arguments.compose:
        if not arguments.service:
            raise UsageError("cannot verify: of the compose file --service NAME is needed")
        words = f"docker compose --file {shlex.quote(str(arguments.compose))} up"
        return Launch("compose", words, image, arguments.compose, arguments.service)
    if not arguments.run:
        raise UsageError(
            "cannot verify: what starts the image is not said",
            hint="--run 'docker run --rm -p 8080:80 {image}'",
        )
    target: Target = "rootfs"
    if not arguments.rootfs:
        program = os.path.basename("".join(arguments.run.split()[:1]))
        target = "podman" if program == "podman" else "docker"
    return Launch(target, arguments.run, image)


def _suite(arguments: argparse.Namespace) -> Suite:
    words = arguments.command
    commands: tuple[TestCommand, ...] = ()
    if words:
        line = words[0] if len(words) == 1 else shlex.join(words)
        short = line if len(line) <= _NAME_AT_MOST else f"{line[: _NAME_AT_MOST - 1]}…"
        commands = (TestCommand(short, line),)
    seconds = arguments.timeout
    return Suite(commands, arguments.ready, seconds, min(seconds, _READY_AT_MOST))


@contextlib.contextmanager
def _space(arguments: argparse.Namespace) -> Iterator[Path]:
    """Yield where traces and logs go: beside the output, or nowhere for long."""
    if not arguments.output or arguments.output == "-":
        with tempfile.TemporaryDirectory(prefix="paredown-verify-") as temporary:
            yield Path(temporary)
        return
    if not arguments.force and os.path.lexists(arguments.output):
        raise ParedownError(
            f"cannot write {escape_name(arguments.output)}: it exists already",
            hint="--force overwrites it",
        )
    space = Path(f"{arguments.output}.runs")
    try:
        space.mkdir(exist_ok=True)
    except OSError as error:
        shown = escape_name(str(space))
        raise ParedownError(f"cannot make {shown}: {error.strerror}") from error
    yield space


def _told(verification: Verification, arguments: argparse.Namespace) -> Iterator[str]:
    """Yield what became of it, in words, and what to do next."""
    soft = verification.mode == "soft"
    started = verification.outcome != "not-started"
    if started and any(trace.verdict == "partial" for trace in verification.traces):
        yield "warning: a recording is partial: what was missed may not all be told"
    missing = len(verification.missing)
    if verification.outcome == "passed":
        asked = (
            f"; {plural(missing, 'path')} that {'goes' if missing == 1 else 'go'} "
            f"{'was' if missing == 1 else 'were'} asked for"
        )
        where = "on the original use nothing that the plan removes" if soft else "pass"
        yield f"The tests {where}{asked if missing else ''}."
        return
    yield from explained(verification)
    yield f"{verification.outcome.capitalize().replace('-', ' ')}: {verification.why}."
    plan = escape_name(str(arguments.plan))
    if soft and verification.original != "passed":
        yield "Next: mend the tests, or what starts them: the original fails them, too."
    elif soft:
        yield "Next: record this load as well and plan again, or pin the paths."
    elif verification.original not in (None, "passed"):
        yield "Next: mend the tests, or what starts them: the original fails them, too."
    elif verification.rounds:
        yield "Next: record what these tests use as well, and plan again."
    elif missing:
        yield f"Next: pin what was missed, or record this load too; paredown explain {plan} PATH"
    elif verification.original is None:
        yield "Next: run it again with --original, to see whether the original fails as well."
    else:
        yield "Next: --repair finds by trying which of the removed packages it is."


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,6})([smh]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"not a time such as 90s, 10m or 1h: {text!r}")
    return int(match[1]) * _UNITS[match[2]]
