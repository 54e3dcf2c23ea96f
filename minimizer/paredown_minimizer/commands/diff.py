"""``paredown diff plan.json``: what a plan removes, and why the rest stays."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from paredown_minimizer.formats import FORMATS, find_format
from paredown_minimizer.output import add_output_options, paint, say, wants_colour, write_output
from paredown_minimizer.review import review_plan
from paredown_schemas.names import escape_name
from paredown_schemas.plan import read_plan


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("diff", help="what a plan removes, and why the rest stays")
    parser.add_argument("plan", metavar="PLAN")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="table",
        help="table to read, list (every path on its line) to grep, json for programs",
    )
    add_output_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the review of the plan."""
    text = find_format(arguments.format).review(review_plan(read_plan(Path(arguments.plan))))
    if arguments.format in ("table", "list") and wants_colour(arguments.output):
        text = "".join(map(paint, text.splitlines(keepends=True)))
    write_output(arguments.output, text, force=arguments.force)
    if arguments.output != "-":
        say(f"Wrote {escape_name(arguments.output)}")
    return 0
