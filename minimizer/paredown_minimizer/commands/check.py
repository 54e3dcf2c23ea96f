"""``paredown check plan.json --trace T…``: what T used and the plan removes.

The plan alone says what goes (its ``removed`` section), so a test suite can run on the original
image under the agent, anywhere, and one check of its trace finds every miss at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paredown_minimizer.misses import Miss, find_misses, pins_of, refuse_other_image
from paredown_minimizer.output import align, json_text, plural, say, write_output
from paredown_minimizer.policyedit import add_pins
from paredown_minimizer.traces import read_runs
from paredown_schemas.errors import ExitCode
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan, read_plan

FORMAT = "paredown-check"
VERSION = 1


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("check", help="what a trace used and a plan removes")
    parser.add_argument("plan", metavar="PLAN")
    parser.add_argument("--trace", action="append", required=True, metavar="TRACE", dest="traces")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument(
        "--accept-partial", action="store_true", help="take traces that may have missed uses"
    )
    parser.add_argument(
        "--add-pins", metavar="POLICY", type=Path, help="add pins that keep it to this policy"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the misses; exit 3 if there is one."""
    plan = read_plan(Path(arguments.plan))
    runs = read_runs(arguments.traces, accept_partial=arguments.accept_partial)
    refuse_other_image(plan, runs)
    misses = find_misses(plan, runs)
    if arguments.format == "json":
        write_output("-", json_text(_document(plan, misses)), force=False)
    elif misses:
        write_output("-", "".join(line + "\n" for line in _table(misses)), force=False)
    _tell(misses, arguments)
    if misses and arguments.add_pins:
        added = add_pins(arguments.add_pins, pins_of(plan, misses))
        say(f"Added {plural(len(added), 'pin')} to {escape_name(str(arguments.add_pins))}.")
    return ExitCode.CHECK_FAILED if misses else ExitCode.OK


def _table(misses: Sequence[Miss]) -> list[str]:
    rows = [("PACKAGE", "PATH", "HOW", "BY", "SCENARIO")]
    rows += [
        (
            escape_name(miss.package or "-"),
            escape_name(miss.path),
            ",".join(miss.how),
            escape_name(", ".join(miss.exes) or "-"),
            escape_name(", ".join(miss.scenarios)),
        )
        for miss in misses
    ]
    return align(rows)


def _document(plan: Plan, misses: Sequence[Miss]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "plan": plan.id,
        "misses": [
            {
                "package": None if miss.package is None else escape_name(miss.package),
                "path": escape_name(miss.path),
                "how": list(miss.how),
                "exes": [escape_name(exe) for exe in miss.exes],
                "scenarios": [escape_name(scenario) for scenario in miss.scenarios],
            }
            for miss in misses
        ],
    }


def _tell(misses: Sequence[Miss], arguments: argparse.Namespace) -> None:
    if not misses:
        say("The plan removes nothing that these traces used.")
        return
    packages = {miss.package for miss in misses if miss.package is not None}
    of = f" of {plural(len(packages), 'package')}" if packages else ""
    say(f"The plan removes {plural(len(misses), 'path')}{of} that these traces used.")
    traces = " ".join(f"--trace {escape_name(trace)}" for trace in arguments.traces)
    say(f"Next: plan again with the same traces as before and {traces}")
