"""``paredown check plan.json --trace T…``: what T used and the plan removes.

The plan alone says what goes (its ``removed`` section), so a test suite can run on the original
image under the agent, anywhere, and one check of its trace finds every miss at once.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from paredown_minimizer.image.model import parent
from paredown_minimizer.output import align, json_text, plural, say, write_output
from paredown_minimizer.traces import read_runs
from paredown_schemas.errors import DamagedInputError, ExitCode
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan, read_plan
from paredown_schemas.trace import File, Run

FORMAT = "paredown-check"
VERSION = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Miss:
    """A path that a run used and the plan removes."""

    package: str | None
    path: str
    how: tuple[str, ...]
    exes: tuple[str, ...]
    scenarios: tuple[str, ...]


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("check", help="what a trace used and a plan removes")
    parser.add_argument("plan", metavar="PLAN")
    parser.add_argument("--trace", action="append", required=True, metavar="TRACE", dest="traces")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument(
        "--accept-partial", action="store_true", help="take traces that may have missed uses"
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
    return ExitCode.CHECK_FAILED if misses else ExitCode.OK


def refuse_other_image(plan: Plan, runs: Sequence[Run]) -> None:
    """Raise DamagedInputError if a run is known to be of another image than the plan."""
    for run in runs:
        identity = run.image.identity if run.image else None
        for what, ours, theirs in (
            ("image", plan.image, identity or plan.image),
            ("platform", plan.platform, run.header.platform),
        ):
            if ours != theirs:
                raise DamagedInputError(
                    f"cannot check run {escape_name(run.header.run)}: it is of {what} "
                    f"{escape_name(theirs)}, the plan of {escape_name(ours)}"
                )


def find_misses(plan: Plan, runs: Sequence[Run]) -> list[Miss]:
    """Return what the runs used of what ``plan`` removes, by package and path.

    A truncated path means every path that goes and ends so; one that a run made, the directory that
    it was made in.
    """
    gone = {path: record.package for record in plan.removed for path in record.paths()}
    catalogue = {path for record in plan.catalogue for path in record.paths()}
    uses: dict[str, list[tuple[Run, File]]] = {}
    for run in runs:
        for file in run.files():
            for path in set(_meant(file, gone)) - catalogue:
                uses.setdefault(path, []).append((run, file))
    misses = [_miss(gone[path], path, uses[path]) for path in uses]
    return sorted(misses, key=lambda miss: (miss.package or "", miss.path))


def _meant(file: File, gone: dict[str, str | None]) -> list[str]:
    if not file.truncated:
        # What the image has below a directory that goes is in ``gone`` itself.
        path = file.path
        while path != "/" and path not in gone:
            path = parent(path)
        return [path] if path in gone else []
    ending = "/" + file.path.lstrip("/")
    return [path for path in gone if path.endswith(ending)]


def _miss(package: str | None, path: str, uses: Iterable[tuple[Run, File]]) -> Miss:
    pairs = list(uses)
    return Miss(
        package=package,
        path=path,
        how=tuple(sorted({file.how for _, file in pairs})),
        exes=tuple(sorted({file.exe for _, file in pairs if file.exe is not None})),
        scenarios=tuple(sorted({run.header.scenario or run.header.run for run, _ in pairs})),
    )


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
