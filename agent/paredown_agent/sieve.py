"""Whose a record is: each goes to whoever its session belongs to, once that is known."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, Literal, TypeVar

from paredown_schemas.trace import Loss, Record, Session

Owner = TypeVar("Owner", bound=Hashable)
Nobody = Literal[False]
# Some 30 MB of records; who owns a session is known before its program has used many files.
_MAX_HELD = 1 << 16


class Sieve(Generic[Owner]):
    """Holds a session's records back until it is known whose it is.

    What nobody could claim is left out: it may be another container's.
    """

    def __init__(
        self, owner: Callable[[Session], Owner | Nobody | None], *, held: int = _MAX_HELD
    ) -> None:
        """``owner`` says whose a session is, None while it cannot know, False for nobody.

        More than ``held`` records are not kept back: they are lost, and told as that.
        """
        self._ask = owner
        self._max_held = held
        self._undecided: dict[int, Session] = {}
        self._decided: dict[int, Owner] = {}
        self._held: list[Record] = []

    def sessions(self, owner: Owner) -> int:
        """Return how many sessions are known to be ``owner``'s."""
        return sum(each == owner for each in self._decided.values())

    def sort(self, records: Sequence[Record]) -> list[tuple[Owner | None, Record]]:
        """Return ``records`` and those held back before, as far as their owners are known.

        What belongs to no session, as a loss, comes with None: it may concern everybody.
        """
        for record in records:
            if isinstance(record, Session):
                self._undecided[record.id] = record
        waiting = [*self._held, *records] if self._decide() else records
        passed: list[tuple[Owner | None, Record]] = []
        held = [] if waiting is not records else self._held
        for record in waiting:
            session = record.id if isinstance(record, Session) else _session(record)
            if session is None:
                passed.append((None, record))
            elif (owner := self._decided.get(session)) is not None:
                passed.append((owner, record))
            elif session in self._undecided:
                held.append(record)
        self._held = held
        if len(held) > self._max_held:
            passed.append((None, self._give_up()))
        return passed

    def forget(self, owner: Owner) -> None:
        """Drop what its sessions may yet tell: ``owner`` has ended."""
        self._decided = {id_: each for id_, each in self._decided.items() if each != owner}

    def _decide(self) -> bool:
        """Ask about every session whose owner is not known; say whether anything is new."""
        answers = [(id_, self._ask(session)) for id_, session in self._undecided.items()]
        decided = [(id_, owner) for id_, owner in answers if owner is not None]
        for id_, owner in decided:
            del self._undecided[id_]
            if owner is not False:
                self._decided[id_] = owner
        return bool(decided)

    def _give_up(self) -> Loss:
        lost, self._held = self._held, []
        self._undecided.clear()
        return Loss("containers not identified", len(lost), getattr(lost[-1], "time", 0))


def _session(record: Record) -> int | None:
    return getattr(record, "session", None)
