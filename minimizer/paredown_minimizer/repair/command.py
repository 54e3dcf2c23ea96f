"""``paredown verify PLAN … --repair``: its options, and what they come to."""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from paredown_minimizer.image.source import refuse_source, split_spec
from paredown_minimizer.output import say
from paredown_minimizer.planning import Inputs
from paredown_minimizer.repair.bench import ImageBench, Places
from paredown_minimizer.repair.rounds import Limits, Repair
from paredown_minimizer.trial import Launch, Suite
from paredown_schemas.errors import DamagedInputError, UsageError
from paredown_schemas.plan import Plan
from paredown_schemas.verification import Verification

_ROUNDS = 10
_RUNS = 60


def add_options(parser: Any) -> None:
    """Declare the options."""
    group = parser.add_argument_group(
        "repair",
        "Pin what failing tests miss, plan, apply and test again, until they pass; FILE, PLAN and "
        "the slim image are replaced after each round.",
    )
    group.add_argument("--repair", action="store_true", help="do so; with --soft, that run first")
    group.add_argument("--policy", metavar="FILE", type=Path, help="where the pins go")
    group.add_argument("--source", metavar="SOURCE", help="the original, as plan was given it")
    group.add_argument(
        "--trace",
        metavar="TRACE",
        action="extend",
        nargs="+",
        default=[],
        help="what PLAN was made from",
    )
    group.add_argument("--rebase", metavar="OLD-PLAN", type=Path, help="as plan was given it")
    group.add_argument(
        "--keep-layers", action="store_true", help="write the image as apply --keep-layers does"
    )
    group.add_argument(
        "--rounds", metavar="N", type=int, default=_ROUNDS, help=f"at most (default {_ROUNDS})"
    )
    group.add_argument(
        "--runs",
        metavar="N",
        type=int,
        default=_RUNS,
        help=f"of the tests, at most, to find what no look-up tells (default {_RUNS})",
    )


def repair(
    plan: Plan, launch: Launch, suite: Suite, space: Path, arguments: argparse.Namespace
) -> Verification:
    """Repair the slim image that ``launch`` starts; raises as ``repair_image`` does."""
    if not (arguments.policy and arguments.source and arguments.trace):
        raise UsageError(
            "cannot repair: what the plan was made from is not said",
            hint="--policy FILE --source SOURCE --trace TRACE…",
        )
    inputs = Inputs(
        source=arguments.source,
        traces=arguments.trace,
        policy=arguments.policy,
        old=arguments.rebase,
    )
    limits = Limits(arguments.rounds, arguments.runs)
    places = Places(arguments.policy, arguments.plan, space, arguments.keep_layers)
    return repair_image(
        plan, launch, suite, inputs, places, limits, arguments.original, soft=arguments.soft
    )


def repair_image(
    plan: Plan,
    launch: Launch,
    suite: Suite,
    inputs: Inputs,
    places: Places,
    limits: Limits,
    original: str | None = None,
    *,
    soft: bool = False,
) -> Verification:
    """Repair the slim image that ``launch`` starts.

    ``inputs`` are what ``plan`` was made from, its granularity and platform apart; ``original`` is
    by which name the original is started, where SOURCE does not say it.

    Raises:
        DamagedInputError: they make another plan.
        UsageError: the slim image is the original.
        ParedownError: as ``make_plan``, ``run_trial`` and ``write_image`` do.
    """
    partial = any(trace.verdict == "partial" for trace in plan.traces)
    inputs = dataclasses.replace(
        inputs,
        granularity=plan.granularity,
        platform=plan.platform,
        accept_partial=partial,
        policy=places.policy,
    )
    # Slim images are large, and the space of a verification stays.
    with tempfile.TemporaryDirectory(prefix="repair-", dir=places.space) as work:
        bench = ImageBench(
            inputs, launch, places, Path(work), suite, original or _started(launch, inputs.source)
        )
        refuse_source(inputs.source, bench.destination, force=False)
        if (made := bench.plan([]).id) != plan.id:
            raise DamagedInputError(
                f"cannot repair {plan.id}: from these inputs {made} is made",
                hint="name the source, traces and policy that it was made from, or plan again",
            )
        return Repair(bench, limits, say).run(plan, soft=soft)


def _started(launch: Launch, source: str) -> str | None:
    """Return the name by which the original is started as the slim image is, if it has one."""
    scheme, location = split_spec(source)
    same = {"rootfs": "dir", "podman": "podman"}.get(launch.target, "docker")
    return location if scheme == same else None
