"""Processes of a trial: each ends with it, whatever ends the trial."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name, encode_name

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LAST_WORDS = 4096  # bytes
_PATIENCE = 120.0  # seconds: to stop may take what --stop-timeout says
# The agent's last line, what docker adds to each of its errors, and the id of a detached container.
_SAYS_NOTHING = re.compile(r"Recorded .* Wrote |(Run|See) '.* --help'|[0-9a-f]{64}$")
_libc = ctypes.CDLL(None)


class Interrupted(KeyboardInterrupt):
    """A signal asks to end; ``number`` is which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what goes on as ^C does, so that it cleans up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a clean-up come to its end, which is near: an impatient second ^C would leave things."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def agent_program() -> str:
    """Return the ``paredown-agent`` of this installation, or the one on PATH.

    Raises:
        ParedownError: there is none.
    """
    beside = Path(sys.executable).with_name("paredown-agent")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("paredown-agent")
    if found is None:
        raise ParedownError(
            "cannot record: there is no paredown-agent command",
            hint="install paredown where the image runs, with its agent",
        )
    return found


def start(
    command: Sequence[str], log: IO[bytes], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own; it gets SIGTERM should we be killed.

    Raises:
        OSError: it cannot be started.
    """
    return subprocess.Popen(
        [encode_name(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=None if environment is None else {**os.environ, **environment},
        start_new_session=True,
        # We have no other thread that holds locks.
        preexec_fn=functools.partial(_end_with, os.getpid()),  # noqa: PLW1509
    )


def end_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that ``start`` gave, and all of its session, process groups of theirs too."""
    for pid in [process.pid, *_members(process.pid)]:
        with contextlib.suppress(ProcessLookupError):
            if pid != process.pid or process.poll() is None:
                os.kill(pid, signal.SIGKILL)
    process.wait()


def ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a process; False if it still runs."""
    try:
        process.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        return False
    return True


def exit_status(process: subprocess.Popen[bytes]) -> int | None:
    """Return the status as a shell has it, 128 + N for signal N; None while it runs."""
    code = process.poll()
    return code if code is None or code >= 0 else 128 - code


def output_of(command: Sequence[str]) -> str:
    """Return what an engine's command printed; nothing where it failed or took too long."""
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def last_line(log: Path, begin: int = 0) -> str:
    """Return the last line of a log that says something, of what was written behind ``begin``."""
    lines = [line.strip(" \t=") for line in tail(log, begin).splitlines()]
    return next((line for line in reversed(lines) if line and not _SAYS_NOTHING.match(line)), "")


def tail(log: Path, begin: int = 0) -> str:
    """Return the end of a log, as far as it was written behind ``begin``."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(begin, size - _LAST_WORDS))
            return decode_name(file.read())
    except FileNotFoundError:
        return ""


def _members(session: int) -> Iterator[int]:
    for name in os.listdir("/proc"):
        with contextlib.suppress(ValueError, ProcessLookupError):
            if os.getsid(int(name)) == session:
                yield int(name)


def _end_with(parent: int) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the line above: no signal will come
        os._exit(128 + signal.SIGTERM)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    raise Interrupted(number)
