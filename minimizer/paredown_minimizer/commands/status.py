"""``paredown status``: must an image be hardened again? A table, and exit code 3 if so."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paredown_minimizer.output import align, say, write_output
from paredown_schemas.errors import ExitCode, UsageError
from paredown_schemas.names import escape_name

if TYPE_CHECKING:
    from paredown_minimizer.pipeline.status import Status

_HEAD = ("", "what", "then", "now", "bound", "")


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser(
        "status",
        help="must an image be hardened again? exit 3 if so",
        description="Compare the images of a paredown.yaml, or the one of a plan, with what was "
        "hardened, by the bounds of the policy's renew section. Nothing is recorded.",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", type=Path, help="default: paredown.yaml")
    parser.add_argument("--image", metavar="NAME", help="only this one of FILE")
    parser.add_argument("--plan", metavar="PLAN", type=Path, help="instead of FILE")
    parser.add_argument("--source", metavar="SOURCE", help="with --plan: its image today")
    parser.add_argument("--policy", metavar="FILE", type=Path, help="with --plan: the bounds")
    parser.add_argument(
        "--cves", metavar="FILE", type=Path, help="with --plan: what paredown cves wrote then"
    )
    parser.add_argument(
        "--scan", metavar="FILE", type=Path, help="with --plan: a scan of the slim image today"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print a table for each image; exit 3 if one must be hardened again."""
    from paredown_minimizer.pipeline import status  # noqa: PLC0415 - --help is quick

    if arguments.plan is None:
        found = _of_project(arguments)
    else:
        if arguments.source is None or arguments.file is not None or arguments.image is not None:
            raise UsageError(
                "cannot tell the status: --plan takes --source, and no FILE or --image"
            )
        found = [
            status.status_of_plan(
                status.Documents(arguments.plan, arguments.cves, None, arguments.policy),
                arguments.source,
                arguments.scan,
            )
        ]
    lines = [line for each in found for line in _lines(each)]
    write_output("-", "".join(line + "\n" for line in lines), force=False)
    again = [each.name for each in found if each.again]
    if again:
        say(f"Harden again: {escape_name(', '.join(again))}")
    return ExitCode.CHECK_FAILED if again else ExitCode.OK


def _of_project(arguments: argparse.Namespace) -> Sequence[Status]:
    from paredown_minimizer.pipeline import status  # noqa: PLC0415
    from paredown_minimizer.pipeline.project import chosen, read_project  # noqa: PLC0415

    others = (arguments.source, arguments.policy, arguments.cves, arguments.scan)
    if any(each is not None for each in others):
        raise UsageError(
            "cannot tell the status: --source, --policy, --cves and --scan take --plan"
        )
    path = arguments.file or Path("paredown.yaml")
    configs = chosen(read_project(path), arguments.image)
    os.chdir(path.parent)
    return [status.status_of_image(config) for config in configs]


def _lines(status: Status) -> Iterator[str]:
    if status.never is not None:
        yield f"{escape_name(status.name)}: {status.never}"
        return
    rows = [(_verdict(each), each.what, each.then, each.now) for each in status.changes]
    bounds = ["" if each.bound is None else f"at most {each.bound:,.0f}" for each in status.changes]
    yield f"{escape_name(status.name)}:"
    table = [_HEAD[:5], *((*row, bound) for row, bound in zip(rows, bounds, strict=True))]
    yield from align(table)


def _verdict(change: Any) -> str:
    if change.bound is None:
        return ""
    return "AGAIN" if change.over else "fine"
