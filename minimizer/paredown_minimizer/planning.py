"""From what a command line names to a plan: the image, the traces and the policy are read here."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from paredown_minimizer import traced
from paredown_minimizer.decide import Decision, decide
from paredown_minimizer.image.source import open_image
from paredown_minimizer.packages.registry import find_managers
from paredown_minimizer.policy import Pin, Policy
from paredown_minimizer.policyfile import read_policy
from paredown_minimizer.rebase import is_of
from paredown_minimizer.traces import read_runs
from paredown_schemas.plan import Granularity, read_plan


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a plan is made from.

    ``old`` is the plan of the image that was recorded, if another; ``pins`` come behind those of
    the policy.
    """

    source: str
    traces: Sequence[str]
    policy: Path | None = None
    granularity: Granularity = "package"
    platform: str | None = None
    accept_partial: bool = False
    old: Path | None = None
    pins: Sequence[Pin] = ()


def make_plan(inputs: Inputs) -> Decision:
    """Decide what of an image stays.

    Raises:
        DamagedInputError: a trace is partial and that is not accepted, or of another image.
        ParedownError: something cannot be read, or the policy removes what is used.
    """
    policy = read_policy(inputs.policy) if inputs.policy else Policy()
    policy = dataclasses.replace(policy, pins=(*policy.pins, *inputs.pins))
    runs = read_runs(inputs.traces, accept_partial=inputs.accept_partial)
    old = read_plan(inputs.old) if inputs.old else None
    with contextlib.closing(open_image(inputs.source, inputs.platform)) as image:
        traced.refuse_other_images([r for r in runs if not (old and is_of(r, old))], image)
        managers = find_managers(image)
        decision = decide(image, managers, runs, policy, inputs.granularity, old)
    warnings = list(decision.warnings)
    if managers.system is None:
        warnings.append("no package manager is known here: everything counts as the application")
    return dataclasses.replace(decision, warnings=tuple(warnings))
