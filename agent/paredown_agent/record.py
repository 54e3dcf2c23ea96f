"""The recording: from the armed recorder to the trailer, and on to the command's end."""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import time
from collections.abc import Callable, Mapping

import paredown_schemas
from paredown_agent.marks import MarkListener
from paredown_agent.readyfile import ReadyFile
from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.signaldescriptor import SignalDescriptor
from paredown_agent.target.base import CommandNotStartedError, Workload
from paredown_agent.traces import Traces
from paredown_schemas.errors import ExitCode
from paredown_schemas.identity import host_platform
from paredown_schemas.trace import Header, Mark

# What a command gets when the agent does. SIGWINCH is for those that draw on a terminal.
FORWARDED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_TURN = 0.1  # seconds: a recorder wants to be drained ten times a second
_LAST_DRAINS = 100  # more than a full queue takes; what goes on may make events for ever
_GRACE = 10.0  # seconds from SIGTERM or SIGINT to SIGKILL, as docker gives


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for; ``duration`` in seconds."""

    scenario: str | None = None
    duration: float | None = None


class Recording:
    """One run of whatever is to be recorded."""

    def __init__(
        self,
        target: Workload,
        recorder: Recorder,
        clock: Clock,
        traces: Traces,
        *,
        request: Request,
        ready: ReadyFile | None,
        signals: SignalDescriptor,
        marks: MarkListener,
        say: Callable[[str], None],
    ) -> None:
        """``say`` takes the lines meant for the user."""
        self._target = target
        self._recorder = recorder
        self._clock = clock
        self._traces = traces
        self._request = request
        self._ready = ready
        self._signals = signals
        self._marks = marks
        self._say = say
        self._interrupted = 0
        self._kill_at: float | None = None

    def run(self) -> int:
        """Record, and return the exit status: the command's own, or 125 without a whole trace.

        Raises:
            ParedownError: it could not begin; then there is no trace file.
        """
        try:
            self._begin()
            stopped = self._follow()
            self._finish()
        except CommandNotStartedError:
            self._traces.discard()
            raise
        finally:
            # Before the command's end, which may be far: nothing is to be counted any more.
            self._recorder.close()
        status = self._outlast(stop=stopped)
        return int(ExitCode.AGENT_FAILED) if self._traces.failure and status == 0 else status

    def _begin(self) -> None:
        try:
            self._target.arm(self._recorder)
            self._traces.begin(self._header())
            if self._ready is not None:
                self._ready.appear()
            self._target.start()
        except BaseException:
            self._traces.discard()
            raise

    def _header(self) -> Header:
        return Header(
            run=os.urandom(16).hex(),
            agent=paredown_schemas.__version__,
            kernel=os.uname().release,
            recorder=self._recorder.name,
            platform=host_platform(),
            target=self._target.kind,
            command=self._target.command,
            scenario=self._request.scenario,
            container=self._target.container,
            start=self._clock.epoch,
        )

    def _follow(self) -> bool:
        """Record until the target ends; True if the recording was ended before it."""
        duration = self._request.duration
        deadline = None if duration is None else time.monotonic() + duration
        while not self._target.ended():
            if self._traces.broken:
                return False
            self._kill_overdue()
            remaining = _TURN if deadline is None else min(_TURN, deadline - time.monotonic())
            if remaining <= 0 or not self._turn(remaining):
                return True
        return False

    def _turn(self, timeout: float) -> bool:
        """One round of everything; False if the user wants the recording to end."""
        ready = self._wait(timeout, self._recorder.fileno())
        goes_on = self._forward_signals()
        # The recorder first: a session's record goes before what the target says about it.
        self._traces.take(self._recorder.drain())
        self._traces.add(self._target.turn(self._recorder, ready))
        self._mark(ready)
        return goes_on

    def _mark(self, ready: Mapping[int, int]) -> None:
        for request in self._marks.requests(ready):
            # What was used before it was asked for stands before it.
            self._traces.take(self._recorder.drain())
            request.answer(self._traces.mark(Mark(request.name, self._clock.now())))

    def _wait(self, timeout: float | None, *others: int) -> dict[int, int]:
        poll = select.poll()
        for descriptor, events in self._target.polled().items():
            poll.register(descriptor, events)
        for descriptor, events in self._marks.polled().items():
            poll.register(descriptor, events)
        for descriptor in (self._signals.fileno(), *others):
            poll.register(descriptor, select.POLLIN)
        return dict(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))

    def _forward_signals(self) -> bool:
        goes_on = True
        for received in self._signals.read():
            forwarded = self._target.forward(received.number, typed=received.typed)
            if received.number in _ENDING:
                self._interrupted += 1
                if received.number != signal.SIGHUP:  # to many servers that one means: reload
                    self._kill_at = self._kill_at or time.monotonic() + _GRACE
                goes_on = goes_on and forwarded and self._interrupted < 2
        return goes_on

    def _kill_overdue(self) -> None:
        """A first process of a container without a handler never sees SIGTERM (signal(7))."""
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._target.stop(signal.SIGKILL)
            self._kill_at = None

    def _finish(self) -> None:
        self._marks.close()
        # In parts: all that a long queue holds is much at once.
        for _ in range(_LAST_DRAINS):
            records = self._recorder.drain()
            self._traces.take(records)
            if not records:
                break
        self._traces.take(self._recorder.finish())
        records, reasons = self._target.conclude()
        self._traces.add(records)
        for line in self._traces.finish(reasons):
            self._say(line)

    def _outlast(self, *, stop: bool) -> int:
        """Wait for the command; one that ran only to be recorded is ended."""
        if stop:
            self._target.stop(signal.SIGTERM)
            self._kill_at = time.monotonic() + _GRACE
        while (status := self._target.status()) is None:
            due = self._kill_at
            self._wait(None if due is None else due - time.monotonic())
            self._forward_signals()
            self._kill_overdue()
        return status
