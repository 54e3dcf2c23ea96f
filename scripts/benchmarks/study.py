"""Trained on a short load, judged by a longer one: what breaks, and what the risks foretold."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from subprocess import TimeoutExpired

from harness import Row, Table, say
from study_programs import PROGRAMS, Check, Program

import server
from applications import AGENT, PAREDOWN, run
from paredown_minimizer.commands.check import find_misses
from paredown_minimizer.risks.levels import Levels
from paredown_schemas.plan import Level, Plan, read_plan
from paredown_schemas.trace import read_trace

GRANULARITIES = ("package", "trim", "file")
_REPORTED: tuple[Level, ...] = ("medium", "high")


@dataclasses.dataclass(frozen=True)
class Judged:
    """One program at one granularity."""

    plan: Plan
    failed: tuple[str, ...]  # checks that were not answered as by the original
    misses: Mapping[str, Level]  # what judging the original used and the plan removes


def measure(space: Path) -> Table:
    """Make the table."""
    rows: list[Row] = []
    misses: list[tuple[int, int]] = []
    for program in _chosen():
        say(f"study: {program.application.name}")
        place = space / "program"
        place.mkdir()
        judged = judge(program, place)
        rows += rows_of(program, judged)
        levels = list(judged["file"].misses.values())
        misses.append((len(levels), sum(level in _REPORTED for level in levels)))
        shutil.rmtree(place)
    return table(rows, misses)


def table(rows: list[Row], misses: list[tuple[int, int]]) -> Table:
    """Return the table; ``misses`` are each program's at ``file``, and how many were named."""
    missed, named = (sum(numbers) for numbers in zip(*misses, strict=True))
    shares = [named / missed for missed, named in misses if missed]
    share, well = named / max(1, missed), sum(share >= 0.9 for share in shares)
    said = f"{missed} misses ({named} named, {share:.0%}); at least 90% named of {well} of the "
    said += f"{len(shares)} programs that miss something"
    together = Row("all together, `file`", "90% of the misses named", said, share >= 0.9)
    method = (
        "Recorded once with `paredown-agent record --rootfs --also exists` under the short load "
        "alone, planned at each granularity, applied `dir:` to `dir:`. The long load is then "
        "given to the original and to what is left: a check fails if it is answered otherwise. A "
        "miss is a path that the original opened under the long load and that the plan removes "
        "(as `paredown check` finds them); *named*: its risk is medium or high. Beside it, how "
        "many of all paths that the plan removes are named so. What is looked up and never opened"
        " is no miss here. Each long load has the application start commands that the short one "
        "did not: `id`; PHP itself; for git, a hook of the repository. The applications are the "
        "study's own."
    )
    return Table("Study", method, [*rows, together])


def _chosen() -> list[Program]:
    """Return the programs that STUDY names, or all."""
    names = os.environ.get("STUDY", "").lower().split()
    chosen = {p.application.name.lower(): p for p in PROGRAMS}
    return [p for name, p in chosen.items() if not names or any(n in name for n in names)]


def judge(program: Program, place: Path) -> dict[str, Judged]:
    """Train, plan, apply and ask again, at each granularity."""
    tree = place / "original"
    program.make(tree)
    trained, judging = place / "short.trace", place / "long.trace"
    for ask, trace in ((program.training, trained), (_all(program), judging)):
        with _served(program, tree, trace) as running:
            expected = _answers(ask, running, program)
    judged = {}
    for granularity in GRANULARITIES:
        plan, slim = place / f"{granularity}.json", place / granularity
        chosen = ("--granularity", granularity, "-o", plan)
        run(PAREDOWN, "plan", f"dir:{tree}", "--trace", trained, *chosen)
        run(PAREDOWN, "apply", plan, f"dir:{tree}", "-o", f"dir:{slim}")
        answers: dict[str, object] = {}
        with (
            contextlib.suppress(AssertionError),
            _served(program, slim, place / "slim.trace") as on,
        ):
            answers = _answers(_all(program), on, program)
        failed = tuple(check for check in expected if answers.get(check) != expected[check])
        decided = read_plan(plan)
        judged[granularity] = Judged(decided, failed, _misses(decided, judging))
        shutil.rmtree(slim)
    return judged


def _all(program: Program) -> tuple[Check, ...]:
    return (*program.training, *program.judging)


@contextlib.contextmanager
def _served(program: Program, tree: Path, trace: Path) -> Iterator[server.Server]:
    command = [AGENT, "record", "--rootfs", str(tree), "-o", str(trace), "--force"]
    command += ["--also", "exists", "--"]
    application = program.application
    log = trace.with_suffix(".log")
    with server.serve([*command, *application.command], application.port, log=log) as running:
        yield running


def _answers(
    checks: tuple[Check, ...], running: server.Server, program: Program
) -> dict[str, object]:
    """Ask everything, in order; the same check again counts for itself."""
    answers: dict[str, object] = {}
    for number, check in enumerate(checks):
        try:
            answer = check.answer(running, program.application.source)
        except AssertionError as error:
            answer = str(error)  # what a client complained of
        except (OSError, HTTPException, TimeoutExpired) as error:
            answer = type(error).__name__
        answers[f"{number}: {check}"] = answer
    return answers


def _misses(plan: Plan, trace: Path) -> dict[str, Level]:
    levels = Levels(plan.risks)
    found = find_misses(plan, read_trace(trace).runs)
    return {miss.path: levels.of_path(miss.path, miss.package) for miss in found}


def rows_of(program: Program, judged: Mapping[str, Judged]) -> Iterator[Row]:
    """Say how a program fared."""
    name, checks = program.application.name, len(_all(program))
    for granularity, result in judged.items():
        size = f"{result.plan.before.bytes / 1e6:.0f} → {result.plan.after.bytes / 1e6:.0f} MB"
        said = f"{size}; {len(result.failed)} of {checks} checks fail; {_named(result)}"
        for check in result.failed:
            say(f"  {granularity} fails: {check[:150]}")
        for path, level in sorted(result.misses.items()):
            say(f"  {granularity} miss ({level}): {path}")
        bar = "" if granularity == "file" else "nothing breaks"
        yield Row(f"{name}, `{granularity}`", bar, said, not result.failed if bar else None)


def _named(result: Judged) -> str:
    named = sum(level in _REPORTED for level in result.misses.values())
    levels = Levels(result.plan.risks)
    removed = [(path, r.package) for r in result.plan.removed for path in r.paths()]
    all_named = sum(levels.of_path(*each) in _REPORTED for each in removed)
    share = f", {named / len(result.misses):.0%}" if result.misses else ""
    return (
        f"{len(result.misses)} misses ({named} named{share}); "
        f"{all_named / max(1, len(removed)):.0%} of {len(removed):,} removed paths named"
    )
