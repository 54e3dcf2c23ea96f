"""The course of a trial: armed, ready, the tests one after the other, stopped, and the trace."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from paredown_minimizer.phases import STOP
from paredown_minimizer.trial.agent import NotStartedError, Recording
from paredown_minimizer.trial.cases import with_phases
from paredown_minimizer.trial.model import Launch, Suite, TestCommand, Trial
from paredown_minimizer.trial.processes import (
    agent_program,
    end_session,
    ended_within,
    exit_status,
    interruptible,
    last_line,
    start,
    uninterrupted,
)
from paredown_minimizer.trial.started import Started, begin
from paredown_schemas.names import escape_name
from paredown_schemas.trace import Run, read_trace
from paredown_schemas.verification import Case, Outcome

_TURN = 0.1  # seconds
_ENDED_WITHIN = 30.0  # from a container's end until its command, and the recording, have ended
# Tests may end it: by what it does itself, by docker stop, or docker kill.
_FINE_ENDS = (0, 128 + signal.SIGTERM, 128 + signal.SIGKILL)


def run_trial(
    launch: Launch,
    suite: Suite,
    trace: Path,
    *,
    also: Sequence[str] = ("exists", "missing"),
    scenario: str | None = None,
) -> Trial:
    """Start an image under the agent, run the tests against it, stop it.

    ``trace`` is replaced; beside it lie ``TRACE.log``, what the container wrote, and
    ``TRACE.tests.log``. Whatever ends the trial, SIGTERM too, nothing of it goes on.

    Raises:
        ParedownError: nothing can be recorded here, as the agent says; or it cannot be started so.
        KeyboardInterrupt: a signal asked to end.
    """
    log, output = (trace.with_name(f"{trace.name}.{end}") for end in ("log", "tests.log"))
    output.write_bytes(b"")
    trace.unlink(missing_ok=True)
    with interruptible(), tempfile.TemporaryDirectory(prefix="paredown-trial-") as space:
        recording = Recording(trace, log, tuple(also), scenario, Path(space))
        course = _Course(launch, suite, recording, output)
        outcome, why = course.run()
        run = _only_run(trace)
        cases = with_phases(course.cases, run, course.results)
    return Trial(outcome, why, cases, trace if run else None, log, output, run)


class _Course:
    """One trial as it goes on."""

    def __init__(self, launch: Launch, suite: Suite, recording: Recording, output: Path) -> None:
        self.cases: list[Case] = []
        self.results = recording.space / "results"
        self._launch = launch
        self._suite = suite
        self._recording = recording
        self._output = output

    def run(self) -> tuple[Outcome, str | None]:
        """Return what became of it, and why if it did not pass."""
        with _stopped(begin(self._launch, self._recording)) as started:
            try:
                started.await_armed()
            except NotStartedError as error:
                return "not-started", str(error)
            if not self._suite.commands:
                return self._own_run(started)
            if why := self._never_ready(started):
                return "not-started", why
            return self._test(started)

    def _never_ready(self, started: Started) -> str | None:
        deadline = time.monotonic() + self._suite.ready_seconds
        said = self._recording.space / "ready.log"
        words = ""
        while True:
            if started.status() is not None:
                return self._ended(started, "before it was ready")
            left = deadline - time.monotonic()
            if started.runs() and self._answers(started, said, left):
                return None
            words = last_line(said) or words  # the last one is killed, often before it says any
            if left <= 0:
                says = f": the ready command says: {escape_name(words)}" if words else ""
                return f"the container was not ready after {self._suite.ready_seconds} s{says}"
            time.sleep(_TURN)

    def _answers(self, started: Started, said: Path, seconds: float) -> bool:
        if self._suite.ready is None:
            return True
        with said.open("wb") as log:
            process = start(["sh", "-c", self._suite.ready], log, self._environment(started))
        with _killed(process):
            return ended_within(process, seconds) and process.returncode == 0

    def _test(self, started: Started) -> tuple[Outcome, str | None]:
        reasons: list[str] = []
        for test in self._suite.commands:
            started.mark(test.name)
            if started.status() is not None:
                ended = self._ended(started, f"before test {escape_name(test.name)}")
                return self._outcome([*reasons, ended]) if self.cases else ("not-started", ended)
            if why := self._run_test(test, started):
                reasons.append(why)
        with contextlib.suppress(Exception):
            started.mark(STOP)
        status = self._own_end(started)
        if status is not None and (reasons or status not in _FINE_ENDS):
            reasons.append(self._ended(started, "meanwhile"))
        return self._outcome(reasons)

    def _own_end(self, started: Started) -> int | None:
        """Return the status of a container that has ended by itself; None where it goes on."""
        deadline = time.monotonic() + _ENDED_WITHIN
        while not started.runs() and started.status() is None and time.monotonic() < deadline:
            time.sleep(_TURN)
        return started.status()

    def _outcome(self, reasons: Sequence[str]) -> tuple[Outcome, str | None]:
        if not reasons:
            return "passed", None
        timed_out = any(case.outcome == "timed-out" for case in self.cases)
        return "timed-out" if timed_out else "failed", "; ".join(dict.fromkeys(reasons))

    def _run_test(self, test: TestCommand, started: Started) -> str | None:
        """Return why it did not pass."""
        begin_of_output = self._output.stat().st_size
        began = time.monotonic()
        with self._output.open("ab") as output:
            process = start(["sh", "-c", test.command], output, self._environment(started))
        with _killed(process):
            in_time = ended_within(process, self._suite.seconds)
        status = exit_status(process) if in_time else None
        self._add(test.name, test.command, status, began)
        words = last_line(self._output, begin_of_output)
        return self._why(f"test {escape_name(test.name)}", status, words)

    def _own_run(self, started: Started) -> tuple[Outcome, str | None]:
        """Without tests the container's own run is the test."""
        began = time.monotonic()
        deadline = began + self._suite.seconds
        while (status := started.status()) is None and time.monotonic() < deadline:
            started.runs()
            time.sleep(_TURN)
        self._add("run", self._launch.run, status, began)
        why = self._why("the container", status, last_line(self._recording.log))
        return self._outcome([] if why is None else [why])

    def _add(self, name: str, command: str, status: int | None, began: float) -> None:
        outcomes: Mapping[int | None, Outcome] = {0: "passed", None: "timed-out"}
        milliseconds = round(1000 * (time.monotonic() - began))
        outcome = outcomes.get(status, "failed")
        self.cases.append(Case(name, outcome, command, status, milliseconds))

    def _why(self, what: str, status: int | None, words: str) -> str | None:
        said = f": {escape_name(words)}" if words else ""
        if status is None:
            return f"{what} did not end within {self._suite.seconds} s{said}"
        return f"{what} failed with status {status}{said}" if status else None

    def _ended(self, started: Started, when: str) -> str:
        words = last_line(self._recording.log)
        said = f": {escape_name(words)}" if words else ""
        return f"the container ended {when}, with status {started.status()}{said}"

    def _environment(self, started: Started) -> dict[str, str]:
        # Behind what is there: this Python is not the tests'.
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), _directory(agent_program())))
        return {
            "PATH": path,
            "PAREDOWN_IMAGE": self._launch.image,
            "PAREDOWN_TRACE": str(self._recording.trace.resolve()),
            "PAREDOWN_RESULTS": str(self.results),
            **started.environment(),
        }


@contextlib.contextmanager
def _stopped(started: Started) -> Iterator[Started]:
    """Stop it as its user would in the end; at once where the trial is broken off."""
    politely = False
    try:
        yield started
        politely = True
    finally:
        with uninterrupted():
            started.stop(politely=politely)


@contextlib.contextmanager
def _killed(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave nothing of a command, what it started in the background included."""
    try:
        yield
    finally:
        end_session(process)


def _directory(program: str) -> str:
    return os.path.dirname(os.path.abspath(program))


def _only_run(trace: Path) -> Run | None:
    return read_trace(trace).runs[0] if trace.exists() else None
