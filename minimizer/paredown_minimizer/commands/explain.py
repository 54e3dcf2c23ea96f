"""``paredown explain PLAN PATH|PACKAGE|RULE``: what holds it, and what it holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from paredown_schemas.plan import read_plan


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser(
        "explain", help="why a plan keeps or removes something, and what follows"
    )
    parser.add_argument("plan", metavar="PLAN", type=Path)
    parser.add_argument(
        "subject",
        metavar="PATH|PACKAGE|RULE",
        help="a path of the image; NAME or NAME:ARCHITECTURE; rule:TOPIC/NAME",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation; raises ParedownError."""
    from paredown_minimizer.explain import explain  # noqa: PLC0415

    for line in explain(read_plan(arguments.plan), arguments.subject):
        print(line)
    return 0
