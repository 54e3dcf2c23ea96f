"""``paredown gate plan.json --policy FILE``: is the plan within the policy's bounds?

One line per gate, PASS or FAIL, in the policy's order. It needs neither the image nor the traces;
for CVEs what ``cves`` wrote.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from paredown_minimizer.gates import Result, run_gates
from paredown_minimizer.output import (
    align,
    first_of,
    json_text,
    plural,
    say,
    today,
    write_output,
)
from paredown_minimizer.policyfile import read_policy
from paredown_schemas.cves import Cves, read_cves
from paredown_schemas.errors import DamagedInputError, ExitCode, ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan, read_plan

FORMAT = "paredown-gate"
VERSION = 1
_SHOWN = 3
_EXAMPLE = "gates: {forbid: [setuid], partial_traces: forbid, max_risks: {high: 0}}"


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("gate", help="is a plan within the policy's bounds?")
    parser.add_argument("plan", metavar="PLAN", type=Path)
    parser.add_argument("--policy", metavar="FILE", type=Path, required=True)
    parser.add_argument("--cves", metavar="FILE", type=Path, help="as cves --format json writes it")
    parser.add_argument(
        "--format",
        choices=("text", "json", "github"),
        default="text",
        help="github: as text, and an annotation of the policy's line for each that failed",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each gate; exit 3 if one fails."""
    policy = read_policy(arguments.policy)
    if not policy.gates:
        raise ParedownError(
            f"cannot gate {escape_name(str(arguments.plan))}: "
            f"{escape_name(str(arguments.policy))} has no gates",
            hint=f"write some, for example {_EXAMPLE}",
        )
    plan = read_plan(arguments.plan)
    results = run_gates(policy, plan, today(), _cves(arguments.cves, plan))
    if arguments.format == "json":
        write_output("-", json_text(_document(plan, results)), force=False)
    else:
        lines = align(_row(result) for result in results)
        if arguments.format == "github":
            lines += _annotations(arguments.policy, results)
        write_output("-", "".join(line + "\n" for line in lines), force=False)
    failed = sum(not result.passed for result in results)
    say(f"{failed} of {plural(len(results), 'gate')} failed.")
    return ExitCode.CHECK_FAILED if failed else ExitCode.OK


def _cves(path: Path | None, plan: Plan) -> Cves | None:
    cves = read_cves(path) if path else None
    if cves is not None and cves.plan != plan.id:
        raise DamagedInputError(
            f"cannot gate: the CVEs are of {escape_name(cves.plan)}, the plan is {plan.id}",
            hint="compare them again with this plan",
        )
    return cves


def _row(result: Result) -> Sequence[str]:
    verdict = "PASS" if result.passed else "FAIL"
    return verdict, result.name, result.told, result.bound, _examples(result)


def _examples(result: Result) -> str:
    """What is too much, by name; not what is allowed."""
    if result.passed:
        return ""
    return first_of([escape_name(name) for name in result.figure.examples], _SHOWN)


def _document(plan: Plan, results: Sequence[Result]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "plan": plan.id,
        "passed": all(result.passed for result in results),
        "gates": [
            {
                "gate": result.gate.rule,
                "of": result.gate.of,
                "line": result.gate.place.line,
                "passed": result.passed,
                "figure": result.figure.value,
                "bound": result.gate.bound,
                "names": [escape_name(name) for name in result.figure.examples],
            }
            for result in results
        ],
    }


def _annotations(policy: Path, results: Sequence[Result]) -> Iterator[str]:
    """Yield GitHub's workflow commands (docs.github.com, "Workflow commands": error).

    A file is named from the repository's root. Values are escaped as actions/toolkit does,
    packages/core/src/command.ts.
    """
    root = os.environ.get("GITHUB_WORKSPACE")
    place = policy.resolve()
    if root and place.is_relative_to(Path(root).resolve()):
        policy = place.relative_to(Path(root).resolve())
    for result in results:
        if not result.passed:
            properties = {
                "file": escape_name(str(policy)),
                "line": str(result.gate.place.line),
                "title": f"paredown gate: {result.name}",
            }
            told = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
            cause = ": ".join(filter(None, (f"{result.told}, {result.bound}", _examples(result))))
            yield f"::error {told}::{_message(cause)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
