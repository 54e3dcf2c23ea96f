"""The agent as a program: the recording that a trial runs under, and the marks in it."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from paredown_minimizer.trial.processes import (
    agent_program,
    end_session,
    ended_within,
    exit_status,
    start,
    tail,
)
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

_TURN = 0.02  # seconds
_ARMED_WITHIN = 60.0
# A container that ignores SIGTERM is killed by the agent 10 s after it; the trailer takes moments.
_ENDED_WITHIN = 30.0
_MARKED_WITHIN = 5.0
_NOT_STARTED = (126, 127)


class NotStartedError(Exception):
    """The program that was to run is not there, or cannot be executed; the message says so."""


@dataclasses.dataclass(frozen=True)
class Recording:
    """What a trial's recording is asked for, and where it goes."""

    trace: Path
    log: Path
    also: tuple[str, ...]
    scenario: str | None
    space: Path  # for files that vanish with the trial


class Agent:
    """A ``paredown-agent record`` that runs."""

    def __init__(self, recording: Recording, output: Path, arguments: Sequence[str]) -> None:
        """Start it: it writes ``output``; ``arguments`` say what it records."""
        self._recording = recording
        self._output = output
        self._ready = recording.space / "armed"
        also = ["--also", ",".join(recording.also)] if recording.also else []
        scenario = [] if recording.scenario is None else ["--scenario", recording.scenario]
        command = [agent_program(), "record", "-o", str(output), "--force", *also, *scenario]
        recording.log.write_bytes(b"")
        with recording.log.open("ab") as log:  # others may write there, too
            self._process = start([*command, "--ready-file", str(self._ready), *arguments], log)

    def await_armed(self) -> None:
        """Return once it records.

        Raises:
            NotStartedError: what it was to start is not there.
            ParedownError: it cannot record here, as it says itself.
        """
        deadline = time.monotonic() + _ARMED_WITHIN
        while not self._ready.exists():
            if (status := self.status()) is not None:
                # It may have ended just after it was armed.
                if not self._ready.exists():
                    raise self._failure(status)
            elif time.monotonic() > deadline:
                raise ParedownError(f"cannot record: not armed after {_ARMED_WITHIN:.0f} s")
            time.sleep(_TURN)

    def status(self) -> int | None:
        """Return its exit status, the recorded command's own; None while it runs."""
        return exit_status(self._process)

    def mark(self, name: str) -> None:
        """Put a mark into the recording; a recording that has ended takes none."""
        command = [agent_program(), "mark", "--trace", str(self._output), name]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        # One that is about to end takes none either.
        if result.returncode and not ended_within(self._process, _MARKED_WITHIN):
            raise _told(result.stderr, "cannot mark the recording")

    def outlast(self) -> None:
        """Wait for its end, the trace's trailer; one that does not come is made to."""
        if not ended_within(self._process, _ENDED_WITHIN):
            self.stop()
        end_session(self._process)

    def stop(self) -> None:
        """End what it records, or the recording where it started nothing."""
        for _ in range(2):  # the second one ends the recording whatever the command does
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
                ended_within(self._process, _ENDED_WITHIN)
        end_session(self._process)

    def _failure(self, status: int) -> Exception:
        told = tail(self._recording.log)
        if status in _NOT_STARTED:
            return NotStartedError(str(_told(told, f"the command's status was {status}")))
        silent = f"cannot record: paredown-agent ended with status {status} and says nothing in "
        return _told(told, silent + str(self._recording.log))


def _told(text: str, otherwise: str) -> ParedownError:
    """Return an error as the agent printed it."""
    lines = text.splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
    message = next(iter(errors or reversed(lines)), otherwise)
    return ParedownError(escape_name(message), hint=escape_name(next(iter(hints), "")))
