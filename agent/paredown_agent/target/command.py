"""``-- COMMAND``: as an entrypoint's wrapper inside a container, or on a host.

The agent's own process execs COMMAND, which so keeps the pid (PID 1 stays PID 1), the terminal and
the signals; the recorder is a process beside it.
"""

from __future__ import annotations

import os
import select
import shutil
import signal as signals
from collections.abc import Mapping, Sequence

from paredown_agent.commandline import redact
from paredown_agent.recorder.base import Recorder
from paredown_agent.target.base import CommandNotStartedError
from paredown_schemas.errors import ExitCode
from paredown_schemas.names import encode_name, escape_name
from paredown_schemas.trace import ImageIdentity, Record, Session


class CommandTarget:
    """The process that execs COMMAND, seen from the recorder beside it; see ``Target``."""

    kind = "command"
    container: str | None = None

    def __init__(self, command: Sequence[str], waiting: Waiting) -> None:
        """``waiting`` is the process that ``step_aside`` left behind."""
        self.command = redact(command)
        self._waiting = waiting
        self._recorder: Recorder | None = None
        self._session: int | None = None
        self._told = False

    def arm(self, recorder: Recorder) -> None:
        """Adopt the process that will be COMMAND, then watch the superblock of "/"."""
        # In this order: no exec of anybody else on the same superblock may begin a session.
        self._recorder = recorder
        self._session = recorder.adopt(self._waiting.pid, "command")
        descriptor = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            recorder.watch(descriptor)
        finally:
            os.close(descriptor)

    def start(self) -> None:
        """Let it exec."""
        self._waiting.release()

    def polled(self) -> Mapping[int, int]:
        """Wait for the end of COMMAND's first process."""
        return {} if self._first_ended() else {self._waiting.pidfd: select.POLLIN}

    def turn(self, recorder: Recorder, ready: Mapping[int, int]) -> Sequence[Record]:
        """Say, once, that the image is not known from inside."""
        del recorder, ready
        told, self._told = self._told, True
        return [] if told else [ImageIdentity(reference=None, identity=None)]

    def owns(self, session: Session) -> bool | None:
        """Say whether it is COMMAND's: others share the root, on a host all of them."""
        return session.id == self._session

    def ended(self) -> bool:
        """Say whether COMMAND and all its descendants have ended."""
        if self._recorder is None or self._session is None or not self._first_ended():
            return False
        return not self._recorder.running(self._session)

    def forward(self, signal: int, *, typed: bool) -> bool:
        """Pass nothing on: COMMAND gets its signals itself."""
        del signal, typed
        return False

    def conclude(self) -> tuple[Sequence[Record], Sequence[str]]:
        """Add nothing."""
        return [], []

    def status(self) -> int | None:
        """Return 0: COMMAND's status is its own, this process's is the recorder's."""
        return 0

    def stop(self, signal: int) -> None:
        """Leave COMMAND alone."""

    def source(self) -> str | None:
        """Return nothing: from inside, the image has no name."""
        return None

    def close(self) -> None:
        """Let go of the process; where it was not released, it exits."""
        self._waiting.close()

    def _first_ended(self) -> bool:
        return bool(select.select([self._waiting.pidfd], [], [], 0)[0])


class Waiting:
    """The process that waits to exec COMMAND."""

    def __init__(self, pid: int, pidfd: int, gate: int) -> None:
        """``gate`` is a pipe's end: a byte lets it go, its end without one makes it exit."""
        self.pid = pid
        self.pidfd = pidfd
        self._gate = gate

    def release(self) -> None:
        """Let it exec."""
        os.write(self._gate, b"\n")

    def close(self) -> None:
        """Let go of it; one that was not released exits with this process, not before.

        PID 1's end is this process's too, which may still have to say why nothing was recorded.
        """
        os.close(self.pidfd)


def step_aside(command: Sequence[str]) -> Waiting:
    """Return, in a new process beside the calling one, which execs ``command`` when it is let go.

    The calling process does not return from here; if it is never let go it exits with 125.

    Raises:
        CommandNotStartedError: there is no such command.
    """
    _check(command)
    pid, pidfd = os.getpid(), os.pidfd_open(os.getpid())
    wait, gate = os.pipe()
    if (between := os.fork()) != 0:
        os.waitpid(between, 0)
        os.close(gate)
        _exec_when_released(command, wait)
    # Twice, so that COMMAND has no child that it knows nothing of, unless it is PID 1, whose
    # children all orphans are. Outside of the terminal's session ^C leaves the recorder alone.
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    os.close(wait)
    with open(os.devnull, "r+b", buffering=0) as null:
        # A reader of COMMAND's output must see its end.
        os.dup2(null.fileno(), 0)
        os.dup2(null.fileno(), 1)
    return Waiting(pid, pidfd, gate)


def _check(command: Sequence[str]) -> None:
    """Before anything is recorded; the statuses are a shell's."""
    name = command[0]
    if shutil.which(name) is not None:
        return
    if shutil.which(name, mode=os.F_OK) is not None:
        raise CommandNotStartedError(f"cannot start {escape_name(name)}: not executable", 126)
    raise CommandNotStartedError(f"cannot start {escape_name(name)}: not found", 127)


def _exec_when_released(command: Sequence[str], wait: int) -> None:
    if not os.read(wait, 1):
        os._exit(ExitCode.AGENT_FAILED)  # the recorder has said why
    # What Python ignores, a program expects to be killed by.
    for number in (signals.SIGPIPE, signals.SIGXFSZ):
        signals.signal(number, signals.SIG_DFL)
    try:
        os.execvp(encode_name(command[0]), [encode_name(word) for word in command])  # noqa: S606
    except OSError as error:
        os.write(2, f"error: cannot start {escape_name(command[0])}: {error.strerror}\n".encode())
        os._exit(126)
