"""What tests need that no look-up tells: found by restoring parts of what goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from paredown_minimizer.policy import Pin
from paredown_minimizer.repair.bisection import (
    NotMonotoneError,
    Search,
    TooManyError,
)
from paredown_minimizer.repair.suspects import Suspect, suspects
from paredown_schemas.plan import Plan
from paredown_schemas.verification import Outcome

_PARTS = 3  # of one group that are worth finding one by one


class OutOfRunsError(Exception):
    """The runs that were allowed are used up."""


class UnexplainedError(Exception):
    """Nothing was found; the message says why."""


@dataclasses.dataclass
class Trials:
    """How the tests fare with more pins; ``runs`` are left of those that are allowed."""

    outcome: Callable[[Sequence[Pin]], Outcome]
    original: Callable[[], Outcome | None]
    runs: int

    def pass_with(self, pins: Sequence[Pin]) -> bool:
        """Run the tests with ``pins`` applied; raises OutOfRunsError."""
        if not self.runs:
            raise OutOfRunsError
        self.runs -= 1
        return self.outcome(pins) == "passed"


def find_culprits(
    plan: Plan, trials: Trials, reason: str, listed: AbstractSet[str] = frozenset()
) -> list[Pin]:
    """Return pins with which the tests pass, and without any of which they fail.

    ``listed`` are directories whose entries were asked for meanwhile. Of what one package has in
    one directory, all comes back if more than a few files of it are needed.

    Raises:
        UnexplainedError: the tests are now this and now that, or fail for another reason than what
            was removed, or the runs were used up.
    """
    known = suspects(plan, listed)
    try:
        if trials.pass_with([]):
            raise UnexplainedError("the same image passes now and failed before: the tests waver")
        if not trials.pass_with(_pins(known, reason)):
            raise UnexplainedError(_elsewhere(trials.original()))
        return _Hunt(trials, reason).pins(known)
    except NotMonotoneError:
        raise UnexplainedError(
            "they pass with some of what was removed and fail with more of it: the tests waver"
        ) from None
    except OutOfRunsError:
        raise UnexplainedError("the runs that are allowed are used up (--runs)") from None


def _elsewhere(original: Outcome | None) -> str:
    if original not in (None, "passed"):
        return "they fail on the original, too"
    on = " and pass on the original" if original else ""
    return f"they fail with all that was removed restored, too{on}"


class _Hunt:
    def __init__(self, trials: Trials, reason: str) -> None:
        self._trials = trials
        self._reason = reason

    def pins(self, known: Sequence[Suspect]) -> list[Pin]:
        found = self._search([]).find(known)
        for whole in tuple(found):
            found.remove(whole)
            found += self._least(whole, found)
        return _pins(found, self._reason)

    def _least(self, whole: Suspect, others: Sequence[Suspect]) -> list[Suspect]:
        """Return what of it is needed beside the others: all, if that is more than a few parts."""
        parts = whole.parts()
        if len(parts) == 1:
            return parts if parts == [whole] else self._least(parts[0], others)
        try:
            found = self._search(others).find(parts, _PARTS)
        except (TooManyError, OutOfRunsError):
            return [whole]
        least: list[Suspect] = []
        while found:
            part = found.pop()
            least += self._least(part, [*others, *found, *least])
        return least

    def _search(self, others: Sequence[Suspect]) -> Search[Suspect]:
        def passes(some: Sequence[Suspect]) -> bool:
            return self._trials.pass_with(_pins([*others, *some], self._reason))

        return Search(passes)


def _pins(some: Sequence[Suspect], reason: str) -> list[Pin]:
    return [Pin("keep", target, reason) for suspect in some for target in suspect.targets]
