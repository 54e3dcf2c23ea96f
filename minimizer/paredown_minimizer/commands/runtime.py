"""``paredown runtime PLAN``: with how much less than now the container could be started."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from paredown_minimizer.output import add_output_options, json_text, say, write_output
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import read_plan

_FORMATS = ("text", "docker", "compose", "kubernetes", "seccomp")


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("runtime", help="with how much less the container could run")
    parser.add_argument("plan", metavar="PLAN")
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        default="text",
        help="a table with the evidence (default), an array of docker's options for bash, a "
        "service of compose, a part of a Kubernetes pod, or the seccomp profile that they name",
    )
    add_output_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the settings; raises ParedownError where a profile is asked for and there is none."""
    from paredown_minimizer.runtime import documents, formats  # noqa: PLC0415
    from paredown_minimizer.runtime.settings import find_settings  # noqa: PLC0415

    plan = read_plan(Path(arguments.plan))
    settings = find_settings(plan)
    if arguments.format == "seccomp":
        if settings.profile is None:
            why = "; ".join(formats.shown(settings.seccomp.why))
            raise ParedownError(
                f"cannot write a seccomp profile: {why}",
                hint="record with --also syscalls, and plan again",
            )
        text = json_text(dict(settings.profile))
    else:
        write = {
            "text": formats.as_text,
            "docker": formats.as_docker,
            "compose": documents.as_compose,
            "kubernetes": documents.as_kubernetes,
        }[arguments.format]
        text = write(settings)
    write_output(arguments.output, text, force=arguments.force)
    for trace in plan.traces:
        if trace.verdict == "partial":
            say(f"warning: run {escape_name(trace.run)} is partial: more may be needed")
    return 0
