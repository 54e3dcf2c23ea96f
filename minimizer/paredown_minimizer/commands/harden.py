"""``paredown harden``: from images and their scenarios to slim images with their evidence."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paredown_minimizer.output import align, human_size, percent_gone, say, write_output
from paredown_schemas.errors import ExitCode, ParedownError
from paredown_schemas.names import escape_name

if TYPE_CHECKING:
    from paredown_minimizer.pipeline.chain import Hardened
    from paredown_minimizer.pipeline.project import ImageConfig
    from paredown_schemas.plan import Plan

_HEAD = ("", "size", "packages", "CVEs", "tests", "gates", "risks", "took")
_LEVELS = ("high", "medium", "low")


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser(
        "harden",
        help="all of it, for the images of a paredown.yaml",
        description="Record the scenarios of each image, plan, apply, verify, compare CVEs and "
        "report. What is unchanged since the last run is not done again. Exit 3 if tests or gates "
        "failed, 1 if something could not be done.",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=Path,
        default=Path("paredown.yaml"),
        help="default: paredown.yaml",
    )
    parser.add_argument("--image", metavar="NAME", help="only this one")
    parser.add_argument(
        "--force", action="store_true", help="do all steps again, and replace the outputs"
    )


def run(arguments: argparse.Namespace) -> int:
    """Harden one image after the other; print a table of what became of them."""
    from paredown_minimizer.pipeline.project import chosen, read_project  # noqa: PLC0415
    from paredown_minimizer.trial.processes import interruptible  # noqa: PLC0415

    configs = chosen(read_project(arguments.file), arguments.image)
    where = Path.cwd()
    os.chdir(arguments.file.parent)
    rows = []
    lies: list[str] = []
    code = ExitCode.OK
    for config in configs:
        begin = time.monotonic()
        with interruptible():
            row, told, its_code = _harden(config, force=arguments.force)
        rows.append((config.name, *row, _took(time.monotonic() - begin)))
        lies += [f"{config.name}: {line}" for line in told]
        code = its_code if code != ExitCode.ERROR and its_code != ExitCode.OK else code
    evidence = os.path.relpath(Path.cwd(), where)
    if evidence != ".":
        lies.append(f"Paths count from {escape_name(evidence)}.")
    lines = [*align([_HEAD, *rows]), "", *lies]
    write_output("-", "".join(line + "\n" for line in lines), force=False)
    return code


def _harden(config: ImageConfig, *, force: bool) -> tuple[list[str], list[str], ExitCode]:
    """Return the image's row of the table, where its things lie, and the exit code."""
    from paredown_minimizer.pipeline.chain import Hardened, harden  # noqa: PLC0415
    from paredown_minimizer.pipeline.telling import progress  # noqa: PLC0415

    hardened = Hardened(config)
    try:
        with progress(config.name) as told:
            harden(hardened, told, force=force)
    except ParedownError as error:
        say(f"error: {escape_name(config.name)}: {error}")
        if error.hint:
            say(f"hint: {error.hint}")
        return _row(hardened), [f"not hardened: {error}"], ExitCode.ERROR
    if hardened.passed:
        return _row(hardened), [*_lies(hardened)], ExitCode.OK
    return _row(hardened), [*hardened.failures(), *_lies(hardened)], ExitCode.CHECK_FAILED


def _row(hardened: Hardened) -> list[str]:
    plan, cves, tested = hardened.plan, hardened.cves, hardened.verification
    row = ["-"] * 6
    if plan is not None:
        before, after = plan.before, plan.after
        gone = percent_gone(before.bytes, after.bytes)
        row[0] = f"{human_size(before.bytes)} → {human_size(after.bytes)} ({gone} gone)"
        row[1] = f"{before.packages:,} → {after.packages:,}"
        row[5] = _risks(plan)
    if cves is not None:
        before_after = (sum(getattr(c, side) for c in cves.counts) for side in ("before", "after"))
        row[2] = " → ".join(f"{number:,}" for number in before_after)
    if tested is not None:
        row[3] = tested.outcome
    if hardened.gates:
        passed = sum(gate.passed for gate in hardened.gates)
        row[4] = f"{passed} of {len(hardened.gates)}"
    return row


def _risks(plan: Plan) -> str:
    named = {(r.path or r.package, r.package, r.reason, r.level) for r in plan.risks}
    counts = [(sum(each[3] == level for each in named), level) for level in _LEVELS]
    return ", ".join(f"{count} {level}" for count, level in counts if count) or "none"


def _lies(hardened: Hardened) -> Iterator[str]:
    config = hardened.config
    if hardened.verification is not None:
        digest = f" ({hardened.verification.digest})" if hardened.verification.digest else ""
        yield f"{escape_name(config.output)}{digest}"
    if hardened.report is not None:
        yield f"report: {escape_name(str(hardened.report / 'report.html'))}"
    yield f"evidence: {escape_name(str(config.evidence))}"


def _took(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
