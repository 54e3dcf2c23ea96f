"""How likely it is that something that goes will be missed, by stated reasons.

A reason is a function from a situation to risks, one module for each; REASONS lists them. What no
reason speaks of is low: nothing names it. The table of reasons and levels: docs/decisions.md#risk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from paredown_minimizer.contents import Contents
from paredown_minimizer.planrecords import Settled
from paredown_minimizer.risks import (
    commands,
    configures,
    depends,
    imports,
    interpreters,
    lookups,
    names,
    needed,
    patterns,
    utilities,
)
from paredown_minimizer.risks.levels import Levels, in_order
from paredown_minimizer.risks.situation import Situation
from paredown_schemas.plan import PackageDecision, Risk
from paredown_schemas.trace import Run

REASONS: tuple[Callable[[Situation], Iterable[Risk]], ...] = (
    lookups.find,
    names.find,
    commands.find,
    imports.find,
    patterns.find,
    interpreters.find,
    configures.find,
    depends.find,
)


def find_risks(
    settled: Settled,
    contents: Contents,
    packages: Sequence[PackageDecision],
    runs: Sequence[Run],
) -> tuple[Risk, ...]:
    """Return why what goes may be missed, the most likely first."""
    situation = Situation(settled, contents, {p.key: p.action for p in packages}, runs)
    risks = {risk for reason in REASONS for risk in reason(situation)}
    risks |= set(utilities.find(situation, risks))
    return in_order(risks | set(needed.find(situation, risks)))


def with_levels(
    packages: Iterable[PackageDecision], risks: Iterable[Risk]
) -> tuple[PackageDecision, ...]:
    """Return the decisions with the level of what goes of each package."""
    levels = Levels(risks)
    return tuple(
        package
        if package.kept_files == package.files and package.action != "remove"
        else dataclasses.replace(package, risk=levels.of_package(package.key))
        for package in packages
    )
