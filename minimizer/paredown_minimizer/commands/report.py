"""``paredown report PLAN -o DIR``: the documents for those who have to approve the slim image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from paredown_minimizer.output import say
from paredown_schemas.names import escape_name


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser(
        "report",
        help="the documents for compliance and security reviews",
        description="Write report.html, report.md, SBOMs, a VEX and a statement to attest into "
        "DIR. Whatever is given must be of PLAN.",
    )
    parser.add_argument("plan", metavar="PLAN", type=Path)
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True)
    parser.add_argument("--verification", metavar="FILE", type=Path, help="as verify writes it")
    parser.add_argument("--cves", metavar="FILE", type=Path, help="as cves writes it")
    parser.add_argument("--policy", metavar="FILE", type=Path, help="the policy of the plan")
    parser.add_argument(
        "--trace",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="a trace that the plan was made from, for its digest and how it was recorded",
    )
    parser.add_argument(
        "--source", metavar="SOURCE", help="the original, as the commands that are shown name it"
    )
    parser.add_argument(
        "--slim",
        metavar="SOURCE",
        help="the slim image; with @sha256:… as pushed, tools find it by what is claimed of it",
    )
    parser.add_argument("--author", metavar="NAME", help="who claims what the VEX says")
    parser.add_argument(
        "--force", action="store_true", help="replace what an earlier report wrote to DIR"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the documents; raises ParedownError."""
    from paredown_minimizer.material import ReportInputs  # noqa: PLC0415 - --help is quick
    from paredown_minimizer.report import write_report  # noqa: PLC0415

    written = write_report(
        ReportInputs(
            plan=arguments.plan,
            directory=arguments.output,
            verification=arguments.verification,
            cves=arguments.cves,
            policy=arguments.policy,
            traces=arguments.trace,
            source=arguments.source,
            slim=arguments.slim,
            author=arguments.author,
            force=arguments.force,
        )
    )
    for file in written.files:
        say(f"Wrote {escape_name(str(file))}")
    return 0
