"""What a recorder is.

Adding one touches its own file, ``registry.RECORDERS`` and its test.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Protocol

from paredown_schemas.trace import Record, SessionKind


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """Whether something works on this host; ``why`` and ``hint`` are empty where it does."""

    works: bool
    why: str = ""
    hint: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Clock:
    """The run's time: ns since its start, from the kernel's monotonic clock as BPF reads it."""

    start: int = dataclasses.field(default_factory=time.monotonic_ns)  # CLOCK_MONOTONIC
    epoch: int = dataclasses.field(default_factory=time.time_ns)

    def now(self) -> int:
        """Return the ns since the start."""
        return self.since(time.monotonic_ns())

    def since(self, monotonic: int) -> int:
        """Return the ns from the start to a CLOCK_MONOTONIC time; never negative."""
        return max(0, monotonic - self.start)


class Adopter(Protocol):
    """What makes sessions of processes that run already."""

    def adopt(self, pid: int, kind: SessionKind) -> int:
        """See ``Recorder``."""


class Recorder(Protocol):
    """Sees what the processes of its sessions use on the superblocks that it watches.

    A session is a process tree: one that ``adopt`` named, or one that begins when a process of no
    session execs with its root directory on a watched superblock; the first of those on a watched
    superblock is the container's own, later ones are injected. Uses by processes of no session (a
    container runtime's set-up, the host's) are not recorded.
    """

    name: str  # as in registry.RECORDERS: what --recorder takes and the trace's header says

    def watch(self, directory: int) -> bool:
        """Watch the superblock of an open directory (its root or not), from this call's return.

        ``directory`` stays the caller's to close. Watching one twice does nothing. Returns whether
        it was not watched before; a new superblock with the number of one that was may count as
        the same only if nothing on it can have been missed.

        Raises:
            ParedownError: the kernel refuses.
        """

    def unwatch(self, directory: int) -> None:
        """Watch the superblock of an open directory no more, and tell of no use on it."""

    def adopt(self, pid: int, kind: SessionKind) -> int:
        """Make a process and its descendants of now and later a session; return its id.

        ``pid`` is in the agent's pid namespace. The session record comes out of ``drain``. From
        the adoption of a "command" on, no exec begins a session of its own: adopt it before
        ``watch``, and other processes with the same root are never recorded.
        """

    def superblock(self, session: int) -> int | None:
        """Return the st_dev of the watched superblock on which a session began; None if adopted."""

    def running(self, session: int) -> bool:
        """Say whether a process of the session still runs; may look at every process there is."""

    def fileno(self) -> int:
        """Return a descriptor that polls readable when ``drain`` has something to do."""

    def drain(self) -> Sequence[Record]:
        """Return the records (sessions, processes, files, losses) since the last call.

        To be called when ``fileno`` is readable and at least ten times a second. Never blocks.
        """

    def finish(self) -> Sequence[Record]:
        """Stop watching, then return what was still under way; losses are final after it."""

    def close(self) -> None:
        """Release everything; the kernel keeps nothing."""
