"""Which of the misses are pinned: those of failing tests, what was opened before what was asked."""

from __future__ import annotations

import dataclasses
import fnmatch
import glob
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from paredown_minimizer.globs import names
from paredown_minimizer.misses import Miss, pins_of
from paredown_minimizer.output import plural
from paredown_minimizer.policy import Pin
from paredown_schemas import plan as planned
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan
from paredown_schemas.verification import Case, Missing, Verification

_FOLLOWED = frozenset({"interpreter", "loader", "library"})
_SHOWN = 60  # characters of a test's name in a reason


def failing(cases: Iterable[Case]) -> set[str]:
    """Return the names of the tests that fail; cases are commands, each before its phases.

    Of a command that fails those of its phases do that say so, or all but those that passed.
    """
    groups: list[list[Case]] = []
    for case in cases:
        if case.command is not None or not groups:
            groups.append([])
        groups[-1].append(case)
    found: set[str] = set()
    for command, *phases in groups:
        told = {phase.name for phase in phases if phase.outcome not in (None, "passed")}
        found |= told
        if command.outcome != "passed":
            unknown = {phase.name for phase in phases if phase.outcome is None}
            found |= {command.name} | (set() if told else unknown)
    return found


def choose(plan: Plan, verification: Verification) -> list[Missing]:
    """Return the misses to pin next: the first of these groups that has any.

    What failing tests opened or started; what they asked for otherwise, as programs do that look
    for optional files, too; what was opened, then asked for, while no test failed: at the start,
    or by a test that another builds upon. What a person removes stays away.
    """
    here = [miss for miss in verification.missing if removed_by(plan, miss) is None]
    blamed = while_failing(here, verification)
    groups = (used(plan, blamed), blamed, used(plan, here), here)
    return next(filter(None, groups), [])


def while_failing(misses: Iterable[Missing], verification: Verification) -> list[Missing]:
    """Return what was missed while a failing test ran; all, where none began or is told apart."""
    failed = failing(verification.tests)
    if not failed or all(case.command == verification.run for case in verification.tests):
        return list(misses)
    return [miss for miss in misses if failed.intersection(miss.tests)]


def used(plan: Plan, misses: Iterable[Missing]) -> list[Missing]:
    """Return what was opened or started, not only asked for, and that no person removes."""
    found = [miss for miss in misses if miss.held_by is not None]
    return [miss for miss in found if removed_by(plan, miss) is None]


def is_followed(miss: Missing) -> bool:
    """Say whether a program brings it along: what starts it, and its libraries."""
    return _FOLLOWED.issuperset(miss.asked)


def removed_by(plan: Plan, miss: Missing) -> planned.Pin | None:
    """Return the pin by which a person lets it go."""
    return next((p for p in plan.pins if p.action == "remove" and _names(p, plan, miss)), None)


def _names(pin: planned.Pin, plan: Plan, miss: Missing) -> bool:
    kind, colon, name = pin.target.partition(":")
    if pin.target.startswith("/"):
        return names(pin.target, miss.path) or names(f"{pin.target.rstrip('/')}/**", miss.path)
    if kind == "rule" and colon:
        rules = (way.rule for way in plan.gave_way if way.path == miss.path)
        return any(fnmatch.fnmatchcase(rule, name) for rule in rules)
    package = next((p for p in plan.packages if p.key == miss.package), None)
    if package is None:
        return False
    known = (package.key, package.name, f"{package.manager}:{package.name}")
    return any(fnmatch.fnmatchcase(each, name) for each in known)


def pins_for(
    plan: Plan, misses: Sequence[Missing], day: str, alone: AbstractSet[str] = frozenset()
) -> list[Pin]:
    """Return pins that keep ``misses``; their reasons name tests, programs and ``day``.

    Of the paths in ``alone`` it is enough that they are there.
    """
    when = {miss.path: f"{_tests(miss)} on {day}" for miss in misses}
    pins = pins_of(
        plan,
        [Miss(m.package, m.path, m.asked, m.exes, (when[m.path],)) for m in misses],
        verb="missed",
    )
    targets = set(map(glob.escape, alone))
    return [dataclasses.replace(pin, alone=pin.target in targets) for pin in pins]


def _tests(miss: Missing) -> str:
    if not miss.tests:
        return "the run"
    first = " ".join(escape_name(miss.tests[0]).split())
    shown = first if len(first) <= _SHOWN else f"{first[: _SHOWN - 1]}…"
    others = f" and {plural(len(miss.tests) - 1, 'other test')}" if miss.tests[1:] else ""
    return f"{shown}{others}"
