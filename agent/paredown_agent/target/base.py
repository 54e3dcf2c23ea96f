"""What a target is: something that runs, is recorded while it does, and ends.

Adding one touches its own file, ``commands/record.py`` (which chooses it) and its test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from paredown_agent.recorder.base import Recorder
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import Record, Session

LATE = "late attach"
# Seconds from a container's mount or start to its first exec; without a session by then it is late.
EXEC_DELAY = 2.0


class CommandNotStartedError(ParedownError):
    """COMMAND does not exist (status 127) or cannot be executed (126); 125 where unknown.

    The message is empty where the runtime has already said why.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Workload(Protocol):
    """What a recording follows. Methods are called in the order in which they stand here."""

    kind: str  # for the header: rootfs, docker, podman, container, command
    command: tuple[str, ...]  # without environment values
    container: str | None  # id, where it is known before the recording begins

    def arm(self, recorder: Recorder) -> None:
        """Make ``recorder`` see the target from this call's return on.

        Raises:
            ParedownError: it cannot be recorded; nothing of it was started.
        """

    def start(self) -> None:
        """Let the command go, where there is one that waits.

        Raises:
            ParedownError: it cannot be started.
        """

    def polled(self) -> Mapping[int, int]:
        """Return the descriptors on which ``turn`` waits, with the events of poll(2)."""

    def turn(self, recorder: Recorder, ready: Mapping[int, int]) -> Sequence[Record]:
        """Do what is due, at least ten times a second; return records of the target's own.

        ``ready`` holds the descriptors that poll(2) reported, with their events.
        """

    def ended(self) -> bool:
        """Say whether nothing more of the target will run."""

    def forward(self, signal: int, *, typed: bool) -> bool:
        """Pass a signal on to the command, if one runs; ``typed`` ones came from the terminal."""

    def conclude(self) -> tuple[Sequence[Record], Sequence[str]]:
        """Return the last records, and why the recording is partial, if it is."""

    def status(self) -> int | None:
        """Return the command's exit status, None while it runs; 0 where there is no command.

        A command that signal N killed has status 128 + N, as in a shell.

        Raises:
            CommandNotStartedError: it could not be started after all.
        """

    def stop(self, signal: int) -> None:
        """End, by ``signal``, a command that runs only to be recorded; any other goes on."""

    def close(self) -> None:
        """End and remove whatever the agent started or made."""


class Target(Workload, Protocol):
    """One container or command, with a trace of its own."""

    def owns(self, session: Session) -> bool | None:
        """Say whether ``session`` belongs to the target; None while that is not known yet."""

    def source(self) -> str | None:
        """Return what ``paredown plan`` takes as SOURCE for this target, if that is known."""
