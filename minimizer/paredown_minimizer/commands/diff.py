"""``paredown diff PLAN [OTHER]``: what a plan removes, or what changed between two plans."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from paredown_minimizer.comparison import compare
from paredown_minimizer.formats import FORMATS, find_format
from paredown_minimizer.output import add_output_options, paint, say, wants_colour, write_output
from paredown_minimizer.review import review_plan
from paredown_schemas.names import escape_name
from paredown_schemas.plan import read_plan


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("diff", help="what a plan removes, and why the rest stays")
    parser.add_argument("plan", metavar="PLAN", type=Path)
    parser.add_argument(
        "other", metavar="OTHER", type=Path, nargs="?", help="what changed from PLAN to this one"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="table",
        help="table to read, list (every path on its line) to grep, json for programs, "
        "markdown for a pull request or a CI summary, html to read and search in a browser",
    )
    add_output_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the review of the plan, or the comparison."""
    written = find_format(arguments.format)
    review = review_plan(read_plan(arguments.plan))
    if arguments.other is None:
        text = written.review(review)
    else:
        text = written.comparison(compare(review, review_plan(read_plan(arguments.other))))
    if arguments.format in ("table", "list") and wants_colour(arguments.output):
        text = "".join(map(paint, text.splitlines(keepends=True)))
    write_output(arguments.output, text, force=arguments.force)
    if arguments.output != "-":
        say(f"Wrote {escape_name(arguments.output)}")
    return 0
