"""``paredown cves PLAN --before SCAN…``: what became of the CVEs of the original.

With scans of the slim image too it tells what each lost; without, what the plan lets expect. No
scanner is started: their reports, or a directory of OSV records, are read.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from paredown_minimizer.cves.compare import compare
from paredown_minimizer.output import add_output_options, plural, say, write_output
from paredown_schemas.cves import Cves, dump_cves
from paredown_schemas.errors import ExitCode
from paredown_schemas.plan import read_plan


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser(
        "cves",
        help="CVEs before and after, by scans or OSV records",
        description="A SCAN is a report as JSON: of Grype, Trivy, OSV-Scanner, or CycloneDX with "
        "vulnerabilities. Without one of the slim image what is said of it follows from the plan.",
    )
    parser.add_argument("plan", metavar="PLAN", type=Path)
    parser.add_argument(
        "--before", metavar="SCAN", type=Path, nargs="+", default=[], help="of the original"
    )
    parser.add_argument(
        "--after", metavar="SCAN", type=Path, nargs="+", default=[], help="of the slim image"
    )
    parser.add_argument(
        "--osv", metavar="DIR", type=Path, help="OSV records to match the plan's packages against"
    )
    parser.add_argument(
        "--slim",
        metavar="SOURCE",
        help="the slim image: does its package database have all that is left?",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    add_output_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the comparison; exit 3 if something is lost from sight."""
    plan = read_plan(arguments.plan)
    cves = compare(plan, arguments.before, arguments.after, arguments.osv, arguments.slim)
    write_output(arguments.output, _text(cves, arguments.format), force=arguments.force)
    lost = [finding for finding in cves.findings if finding.fate == "lost"]
    if lost:
        say(
            f"{plural(len(lost), 'finding')} lost from sight: something of the package is left, "
            "and the scan of the slim image does not have it."
        )
    if cves.hidden:
        say(
            f"{plural(len(cves.hidden), 'package')} out of sight: something of each is left, "
            "and the slim image does not show it."
        )
    return ExitCode.CHECK_FAILED if lost or cves.hidden else ExitCode.OK


def _text(cves: Cves, format_: str) -> str:
    if format_ == "json":
        return dump_cves(cves)
    from paredown_minimizer.pages.cves import lines  # noqa: PLC0415 - json needs no table

    return "".join(line + "\n" for line in lines(cves))
