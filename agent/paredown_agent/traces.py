"""Where a recording's records go: into one trace file, or one for each container."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from paredown_agent.output import Output, Tally
from paredown_agent.recorder.base import Clock
from paredown_agent.sieve import Sieve
from paredown_agent.target.base import Target
from paredown_schemas.names import escape_name
from paredown_schemas.trace import Header, Mark, Record


class Traces(Protocol):
    """The files that one recording writes."""

    @property
    def failure(self) -> str:
        """Say why something could not be written, if so."""

    @property
    def broken(self) -> bool:
        """Say whether nothing can be written any more."""

    def begin(self, header: Header) -> None:
        """Begin, with ``header`` the first record of each trace."""

    def take(self, records: Sequence[Record]) -> None:
        """Write what a recorder told, of the target's sessions and of others."""

    def add(self, records: Sequence[Record]) -> None:
        """Write what the target told of itself."""

    def mark(self, mark: Mark) -> str:
        """Write a mark so that it lasts; return why it cannot be, if so."""

    def finish(self, reasons: Sequence[str]) -> Sequence[str]:
        """Write how it ended; return what to tell the user."""

    def discard(self) -> None:
        """Remove what was made: nothing was recorded."""


class SingleTrace:
    """One target's one trace file; see ``Traces``."""

    def __init__(self, target: Target, output: Output, clock: Clock) -> None:
        self._target = target
        self._output = output
        self._clock = clock
        self._sieve = Sieve(target.owns)

    @property
    def failure(self) -> str:
        """See ``Traces``."""
        return self._output.failure

    @property
    def broken(self) -> bool:
        """See ``Traces``."""
        return bool(self._output.failure)

    def begin(self, header: Header) -> None:
        """See ``Traces``."""
        self._output.write([header])

    def take(self, records: Sequence[Record]) -> None:
        """See ``Traces``."""
        self._output.write([record for _, record in self._sieve.sort(records)])

    def add(self, records: Sequence[Record]) -> None:
        """See ``Traces``."""
        self._output.write(records)

    def mark(self, mark: Mark) -> str:
        """See ``Traces``."""
        self._output.write([mark])
        return self._output.failure

    def finish(self, reasons: Sequence[str]) -> Sequence[str]:
        """See ``Traces``."""
        now = self._clock.now()
        partial = self._output.finish(reasons, now)
        return [self._output.failure or self._summary(partial, now / 1e9)]

    def discard(self) -> None:
        """See ``Traces``."""
        self._output.discard()

    def _summary(self, partial: Sequence[str], seconds: float) -> str:
        path = escape_name(self._output.path)
        sessions = count(self._sieve.sessions(True), "session")
        seen = f"{tally(self._output.files, 'file')}, {tally(self._output.programs, 'program')}"
        source = escape_name(self._target.source() or "SOURCE")
        told = f"Recorded {seen} in {sessions} in {seconds:.0f} s: {verdict(partial)}."
        following = f" Next: paredown plan {source} --trace {path} -o plan.json"
        return f"{told} Wrote {path}." + (following if self._output.files.count else "")


def verdict(reasons: Sequence[str]) -> str:
    """Return how a trace is that is partial for ``reasons``."""
    return f"partial ({', '.join(reasons)})" if reasons else "complete"


def tally(names: Tally, noun: str) -> str:
    """Return how many names there are, in words."""
    return f"{'' if names.exact else 'about '}{count(names.count, noun)}"


def count(number: int, noun: str) -> str:
    """Return ``number`` of something in words."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
