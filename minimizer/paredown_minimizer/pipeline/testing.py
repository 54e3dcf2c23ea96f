"""The tests on the slim image, and its repair where paredown.yaml asks for it."""

from __future__ import annotations

from pathlib import Path

from paredown_minimizer.pipeline import starting
from paredown_minimizer.pipeline.project import PLAN, ImageConfig
from paredown_minimizer.planning import Inputs
from paredown_minimizer.repair.bench import Places
from paredown_minimizer.repair.command import repair_image
from paredown_minimizer.repair.rounds import Limits
from paredown_minimizer.verify import verify_strict
from paredown_schemas.plan import Plan
from paredown_schemas.verification import Verification

_TRACE = "slim.trace"  # as verify names it
FILES = (_TRACE, f"{_TRACE}.log", f"{_TRACE}.tests.log")
_RUNS = 100  # of the tests, in bisections


def verify(config: ImageConfig, inputs: Inputs, plan: Plan, work: Path) -> Verification:
    """Run the tests on the output, which is the slim image of ``plan``; FILES lie in ``work`` then.

    With rounds of repair, policy, plan and output are those of the last one afterwards.

    Raises:
        ParedownError: they cannot be run, or something cannot be written.
    """
    launch = starting.launch(config, config.output)
    suite = starting.suite(config, config.tests)
    if not config.repair or config.policy is None:
        return verify_strict(plan, launch, suite, work)
    places = Places(config.policy, config.evidence / PLAN, work, config.keep_layers)
    original = starting.launch(config, config.source).image
    limits = Limits(config.repair, _RUNS)
    return repair_image(plan, launch, suite, inputs, places, limits, original)
