"""The command line of ``paredown-agent``; nothing else prints errors or exits."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

import paredown_schemas
from paredown_agent import environment
from paredown_agent.commands import doctor, mark, record
from paredown_agent.target.base import CommandNotStartedError
from paredown_schemas.errors import ExitCode, ParedownError, UsageError

_FAILED = int(ExitCode.AGENT_FAILED)


class _Parser(argparse.ArgumentParser):
    """Exits with 125 on a usage error: every lower status may be the recorded command's own."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(_FAILED, f"error: {message}\n")


def main() -> int:
    """Run the command line; return the exit status (docs/exit-codes.md)."""
    environment.restore()
    options, command = _split(sys.argv[1:])
    arguments = _parser().parse_args(options)
    if command is not None and arguments.run is not record.run:
        _parser().error("only record takes a COMMAND")
    arguments.command = command or []
    try:
        status: int = arguments.run(arguments)
    except KeyboardInterrupt:
        return 130
    except ParedownError as error:
        return _report(error)
    return status


def _split(words: Sequence[str]) -> tuple[Sequence[str], list[str] | None]:
    """COMMAND is everything behind the first "--", whatever it looks like."""
    if "--" not in words:
        return words, None
    position = list(words).index("--")
    return words[:position], list(words[position + 1 :])


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="paredown-agent",
        description="Record which files a container uses.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=f"paredown-agent {paredown_schemas.__version__}"
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (record, mark, doctor):
        command.add_parser(subparsers)
    return parser


def _report(error: ParedownError) -> int:
    # A container runtime has said itself why a command did not start.
    if message := str(error):
        print(f"error: {message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    if isinstance(error, UsageError):
        print("hint: paredown-agent record --help", file=sys.stderr)
    return error.status if isinstance(error, CommandNotStartedError) else _FAILED
