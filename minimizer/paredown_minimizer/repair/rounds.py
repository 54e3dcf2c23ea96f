"""The rounds of a repair: test, pin what was missed, plan and apply again, until the tests pass."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from paredown_minimizer.keep import removed_paths
from paredown_minimizer.output import human_size, plural
from paredown_minimizer.policy import Pin
from paredown_minimizer.repair.choosing import (
    choose,
    failing,
    is_followed,
    pins_for,
    used,
    while_failing,
)
from paredown_minimizer.repair.culprits import Trials, UnexplainedError, find_culprits
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan
from paredown_schemas.verification import AddedPin, Method, Missing, Outcome, Round, Verification

_NAMED = 3


class Bench(Protocol):
    """What a repair works with: an image, its policy, and tests."""

    def plan(self, pins: Sequence[Pin]) -> Plan:
        """Return the plan with more pins than the policy had at first; writes nothing."""

    def test(self, plan: Plan) -> Verification:
        """Apply ``plan`` where nobody else looks, and run the tests there."""

    def listed(self) -> frozenset[str]:
        """Return the directories whose entries were asked for in the last test."""

    def soft(self, plan: Plan) -> Verification | None:
        """Run the tests on the original, once; None where it cannot be started."""

    def settle(self, pins: Sequence[Pin], plan: Plan) -> None:
        """Write these pins into the policy, and the plan and its image to their places."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Where a repair ends."""

    rounds: int
    runs: int  # of the tests, in bisections


@dataclasses.dataclass
class Repair:
    """A repair; ``say`` tells what is being done."""

    bench: Bench
    limits: Limits
    say: Callable[[str], None]
    _pins: list[Pin] = dataclasses.field(default_factory=list)
    _rounds: list[Round] = dataclasses.field(default_factory=list)
    _tried: int = 0
    _why: str | None = None

    def run(self, plan: Plan, *, soft: bool = False) -> Verification:
        """Test ``plan`` and repair it; return the last verification, with all rounds.

        With ``soft`` the first round is a soft one. Whatever ends it, policy, plan and image are
        those of the last whole round.
        """
        while True:
            begun, tried = time.monotonic(), self._tried
            verification = self._verify(plan, soft=soft)
            method, pins = self._pins_for(plan, verification)
            after = self.bench.plan([*self._pins, *pins]) if pins else plan
            turn = Round(
                plan=plan.id,
                outcome=verification.outcome,
                misses=len(verification.missing),
                method=method,
                runs=1 + self._tried - tried,
                milliseconds=round(1000 * (time.monotonic() - begun)),
                pins=tuple(AddedPin(pin.target, pin.reason) for pin in pins),
                restored_files=after.after.files - plan.after.files,
                restored_bytes=after.after.bytes - plan.after.bytes,
            )
            self._rounds.append(turn)
            self._tell(turn)
            if not pins and not soft:
                return self._ended(verification)
            plan, soft = after, False
            self._pins += pins

    def _verify(self, plan: Plan, *, soft: bool) -> Verification:
        if soft:
            verification = self.bench.soft(plan)
            if verification is None:
                raise ParedownError(
                    "cannot run the tests on the original: SOURCE cannot be started as the slim "
                    "image is",
                    hint="name it by --original REF",
                )
            return verification
        verification = self.bench.test(plan)
        self.bench.settle(self._pins, plan)
        return verification

    def _pins_for(self, plan: Plan, verification: Verification) -> tuple[Method | None, list[Pin]]:
        """Return what to pin next and how it was found; nothing where nothing is to be done."""
        day = verification.started.partition("T")[0]
        if verification.mode == "soft":
            pins = self._pins_of(plan, used(plan, verification.missing), day)
            return ("misses" if pins else None), pins
        if verification.outcome == "passed":
            return None, []
        if len(self._rounds) >= self.limits.rounds:
            self._why = f"{plural(self.limits.rounds, 'round')} did not do (--rounds)"
            return None, []
        missed = choose(plan, verification)
        if self._rounds or not missed:
            missed = self._with_original(plan, verification, missed)
        if missed:
            return "misses", self._pins_of(plan, missed, day)
        return self._bisect(plan, verification, day)

    def _pins_of(self, plan: Plan, missed: Sequence[Missing], day: str) -> list[Pin]:
        """Return pins for what does not come back with the rest, as programs' libraries do."""
        first = [miss for miss in missed if not is_followed(miss)]
        pins = pins_for(plan, first, day, self._never_used(plan, first))
        if len(first) < len(missed):
            gone = removed_paths(self.bench.plan([*self._pins, *pins]))
            pins += pins_for(plan, [m for m in missed if is_followed(m) and m.path in gone], day)
        return pins

    def _with_original(
        self, plan: Plan, verification: Verification, missed: Sequence[Missing]
    ) -> list[Missing]:
        """Return what was missed, and what the failing tests use on the original.

        Tests end at the first thing that they miss, and what a directory's list names no look-up
        tells. On the original they show all of it.
        """
        soft = self.bench.soft(plan)
        there = used(plan, soft.missing if soft else ())
        more = while_failing(there, verification)
        return list({miss.path: miss for miss in (*more, *missed)}.values())

    def _never_used(self, plan: Plan, missed: Sequence[Missing]) -> set[str]:
        """Return what programs look for, and do not use where it is there, on the original."""
        doubtful = {miss.path for miss in missed if miss.held_by is None}
        soft = self.bench.soft(plan) if doubtful else None
        if soft is None or soft.original != "passed":
            return set()
        return doubtful - {miss.path for miss in soft.missing if miss.held_by is not None}

    def _bisect(
        self, plan: Plan, verification: Verification, day: str
    ) -> tuple[Method | None, list[Pin]]:
        self.say("No look-up explains what fails: trying what must go back.")
        failed = ", ".join(sorted(failing(verification.tests))[:_NAMED]) or "the start"
        reason = f"{escape_name(failed)} failed without it on {day}, though nothing asked for it"
        try:
            pins = find_culprits(plan, self._trials(plan), reason, self.bench.listed())
        except UnexplainedError as error:
            self._why = str(error)
            return None, []
        return "bisection", pins

    def _trials(self, plan: Plan) -> Trials:
        def outcome(pins: Sequence[Pin]) -> Outcome:
            self._tried += 1
            found = self.bench.test(self.bench.plan([*self._pins, *pins])).outcome
            self.say(f"  run {self._tried}: {plural(len(pins), 'pin')} more: {found}")
            return found

        def original() -> Outcome | None:
            soft = self.bench.soft(plan)
            return soft.original if soft else None

        return Trials(outcome, original, self.limits.runs - self._tried)

    def _tell(self, turn: Round) -> None:
        what = f"Round {len(self._rounds)}: {turn.outcome}, {plural(turn.misses, 'path')} missed"
        if turn.pins:
            what += (
                f"; {plural(len(turn.pins), 'pin')} by {turn.method}, which brings back "
                f"{plural(turn.restored_files, 'file')}, {human_size(turn.restored_bytes)}"
            )
        self.say(f"{what}.")

    def _ended(self, verification: Verification) -> Verification:
        why = "; ".join(filter(None, (verification.why, self._why)))
        return dataclasses.replace(verification, why=why or None, rounds=tuple(self._rounds))
