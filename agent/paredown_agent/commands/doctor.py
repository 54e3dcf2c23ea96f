"""``paredown-agent doctor``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

from paredown_schemas.names import escape_name

if TYPE_CHECKING:
    from paredown_agent.doctor import Check

_GREEN, _RED, _PLAIN = "\033[32m", "\033[31m", "\033[0m"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="what this host can do and why not",
        description="Tell what this host can do, why not, and how to get it. Exits with 0 if a "
        "recorder works, with 1 if none does.",
    )
    parser.add_argument("--json", action="store_true", help="as doctor-1.schema.json describes it")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what works; return 0 if a recorder does."""
    from paredown_agent.doctor import diagnose, recorder_works, to_json  # noqa: PLC0415

    checks = diagnose()
    if arguments.json:
        print(json.dumps(to_json(checks), indent=2))
    else:
        print(render(checks, color=sys.stdout.isatty() and not os.environ.get("NO_COLOR")))
    return 0 if recorder_works(checks) else 1


def render(checks: list[Check], *, color: bool) -> str:
    """Return the table: a line per check, and one with the hint below what is missing."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        mark = "yes" if check.works else "no "
        if color:
            mark = f"{_GREEN if check.works else _RED}{mark}{_PLAIN}"
        lines.append(f"{check.name:<{width}}  {mark}  {escape_name(check.detail)}")
        if check.hint:
            lines.append(f"{'':<{width}}       hint: {escape_name(check.hint)}")
    return "\n".join(lines)
