"""Which of many candidates must go back for tests to pass, in as few runs as possible.

Tests that pass with some candidates restored are taken to pass with more of them, too. Then the
shortest prefix of all candidates that makes them pass ends in one that is necessary. With that one
restored for good the same is done for what stands before it, until nothing more is needed. Of what
is found nothing can be left out: each was necessary beside more than the others.

What is most suspect stands first and is found first: the length of the prefix grows by leaps, then
is halved. One in the first eight costs four runs, any other at most four thirds of the logarithm of
their number; one more tells that it was the last.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Candidate = TypeVar("Candidate")

_LEAP = 8


class NotMonotoneError(Exception):
    """Something that passed with some candidates failed with more of them."""


class TooManyError(Exception):
    """More candidates are necessary than are worth finding one by one."""


@dataclasses.dataclass
class Search(Generic[Candidate]):
    """A search; ``passes`` runs the tests with some candidates restored.

    ``found`` holds what is known to be necessary, also if ``passes`` ends the search by raising.
    """

    passes: Callable[[Sequence[Candidate]], bool]
    found: list[Candidate] = dataclasses.field(default_factory=list)

    def find(self, candidates: Sequence[Candidate], most: int | None = None) -> list[Candidate]:
        """Return a set that makes the tests pass, and without any of which they fail.

        ``candidates`` are in the order of suspicion. That the tests fail with none of them and pass
        with all is known. No more than ``most`` are looked for.

        Raises:
            TooManyError: more are needed.
            NotMonotoneError: they are now this and now that, or need something and its absence.
        """
        rest = list(candidates)
        self.found = []
        while not (self.found and self._pass_with([])):
            if not rest:
                raise NotMonotoneError
            if len(self.found) == most:
                raise TooManyError
            rest = rest[: self._shortest(rest)]
            self.found.append(rest.pop())
        return self.found

    def _shortest(self, rest: Sequence[Candidate]) -> int:
        """Return the length of the shortest prefix that passes; the whole does."""
        low, high = 0, min(_LEAP, len(rest))  # ``low`` fails
        while high < len(rest) and not self._pass_with(rest[:high]):
            low, high = high, min(_LEAP * high, len(rest))
        while high - low > 1:
            middle = (low + high) // 2
            if self._pass_with(rest[:middle]):
                high = middle
            else:
                low = middle
        return high

    def _pass_with(self, some: Sequence[Candidate]) -> bool:
        return self.passes([*self.found, *some])
