"""``paredown plan SOURCE --trace T…``: decide what of an image stays."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paredown_minimizer.output import (
    add_output_options,
    human_size,
    percent_gone,
    plural,
    say,
    today,
    write_output,
)
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan, UnlessUsed

_SHOWN = 10


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("plan", help="decide what of an image stays, from traces")
    parser.add_argument("source", metavar="SOURCE", help="the image that was recorded")
    parser.add_argument(
        "--platform",
        metavar="OS/ARCH",
        help="which image to take where SOURCE has several, such as linux/arm64/v8 "
        "(default: this machine's)",
    )
    parser.add_argument(
        "--trace",
        metavar="TRACE",
        action="extend",
        nargs="+",
        required=True,
        help="what paredown-agent recorded; may be given several times",
    )
    parser.add_argument("--policy", metavar="FILE", type=Path, help="what people decided")
    parser.add_argument(
        "--granularity",
        choices=("package", "trim", "file"),
        default="package",
        help="keep used packages whole (default), but for what no program reads at run time, or "
        "of them only what evidence holds",
    )
    parser.add_argument(
        "--accept-partial",
        action="store_true",
        help="plan from traces that may lack something that was used",
    )
    parser.add_argument(
        "--rebase",
        metavar="OLD-PLAN",
        type=Path,
        help="the plan of the image that was recorded, if it was rebuilt since: its traces are "
        "mapped onto SOURCE by path and package name",
    )
    add_output_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the plan; raises ParedownError."""
    # Imported late: what --help does not wait for.
    from paredown_minimizer.planning import Inputs, make_plan  # noqa: PLC0415
    from paredown_schemas.plan import dump_plan  # noqa: PLC0415

    decision = make_plan(
        Inputs(
            source=arguments.source,
            traces=arguments.trace,
            policy=arguments.policy,
            granularity=arguments.granularity,
            platform=arguments.platform,
            accept_partial=arguments.accept_partial,
            old=arguments.rebase,
        )
    )
    write_output(arguments.output, dump_plan(decision.plan), force=arguments.force)
    for warning in (*decision.warnings, *_rebased(decision.plan)):
        say(f"warning: {warning}")
    for pin in (pin for pin in decision.plan.pins if pin.expired(today())):
        target = escape_name(pin.target)
        say(f"warning: the pin of {target} expired after {pin.expires}: {escape_name(pin.reason)}")
    for proof in decision.plan.unless_used:
        say(_told(proof))
    _summarize(decision.plan, arguments)
    return 0


def _told(proof: UnlessUsed) -> str:
    of = f"of {plural(proof.execs, 'recorded exec')} in {plural(proof.runs, 'run')}"
    used = f"{proof.used:,}" if proof.used else "none"
    told = f"{proof.what}: {plural(len(proof.gone), 'path')} removed; {used} {of} started one"
    if proof.stays:
        told += f"; in use, and so left: {', '.join(map(escape_name, proof.stays))}"
    return told


def _rebased(plan: Plan) -> Iterator[str]:
    """Yield what a rebased plan risks; a test of what comes out is the only proof."""
    from paredown_minimizer.rebase import sentence  # noqa: PLC0415

    if plan.rebase is not None:
        yield sentence(plan.rebase)
        for moved in [moved for moved in plan.moved if moved.to is None][:_SHOWN]:
            of = f" of {escape_name(moved.package)}" if moved.package else ""
            stays = "; the whole package stays" if moved.after else ""
            yield f"vanished: {escape_name(moved.path)}{of}{stays}"
        if new := plan.rebase.new_packages:
            yield f"never seen to run: {', '.join(map(escape_name, new[:_SHOWN]))}"


def _summarize(plan: Plan, arguments: argparse.Namespace) -> None:
    before, after = plan.before, plan.after
    say(
        f"Keeps {plural(after.packages, 'package')} of {before.packages:,}, "
        f"{human_size(after.bytes)} of {human_size(before.bytes)} "
        f"({percent_gone(before.bytes, after.bytes)} gone), "
        f"{plural(after.files, 'file')} of {before.files:,}."
    )
    if arguments.output != "-":
        plan_file = escape_name(shlex.quote(arguments.output))
        source = escape_name(shlex.quote(arguments.source))
        say(f"Wrote {escape_name(arguments.output)}. Next: paredown diff {plan_file}")
        say(f"Then: paredown apply {plan_file} {source} -o dir:slim")
