"""Which program a process ran when it opened a file, told from events that have no time.

A fanotify event is read after the fact, when the process may have exec'd: what its state says
then holds for the event only if nothing changed since the queue was last empty, or if the event's
place among those of the exec tells.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from paredown_agent.fanotify import FAN_OPEN_EXEC, Event
from paredown_agent.recorder.classify import AFTER_OTHER, exec_use
from paredown_agent.recorder.paths import FoundPath
from paredown_agent.recorder.programs import TaskState
from paredown_agent.recorder.sessions import Known, Sessions
from paredown_schemas.trace import How

# An exec is over within this time after it opened its file (ns), however slow the disk.
EXEC_TIME = 10_000_000_000
_MAX_EXECS = 4096


class Caller(NamedTuple):
    """A process of a session as it was when a batch of events had been read."""

    state: TaskState
    known: Known
    steady: bool  # it has run one program since the queue was empty
    exe: str | None


class _ExecOpen(NamedTuple):
    """The files that a process's last execs opened, while its state said ``since``."""

    since: int
    time: int
    after: str
    paths: frozenset[str]


class Attribution:
    """Remembers what execs opened, as far as it takes to tell programs apart.

    Equal events are one, in the place of the first, until it is read: a process that reads its next
    program's file, then others, and then execs it, has the others taken for the next program's.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._opens: dict[int, _ExecOpen] = {}
        self.empty = time.monotonic_ns()  # every event before it has been read

    def caller(self, state: TaskState | None) -> Caller | None:
        """Return who a process with this state is; None if it is of no session."""
        known = self._sessions.get(state.session) if state else None
        if state is None or known is None:
            return None
        steady = state.since <= self.empty or state.exe == state.previous_exe
        return Caller(state, known, steady, self._sessions.exe(state.exe))

    def is_setup(self, event: Event, caller: Caller, *, early: bool) -> bool:
        """Say whether a runtime, or the agent, sets up: before its session's first exec.

        ``early``: the same process opens its program later in the queue.
        """
        state = caller.state
        if event.mask & FAN_OPEN_EXEC:
            return False
        began = early and state.previous_exe == 0 and state.since > self.empty
        opened = self._opens.get(event.pid)
        if opened is not None and opened.since == state.since:
            began = False  # its program was opened before: what it opens later it has failed to run
        return state.exe == 0 or (began and caller.known.kind != "injected")

    def exec_use(self, pid: int, caller: Caller, head: bytes, found: Sequence[FoundPath]) -> How:
        """Return how a file that exec opened is used; ``head`` is its beginning."""
        since = caller.state.since
        before = self._opens.get(pid)
        if before is not None and not self._is_same_exec(before, caller.state):
            before = None
        how, after = exec_use(head, before.after if before else AFTER_OTHER)
        paths = before.paths if before else frozenset()
        if len(self._opens) >= _MAX_EXECS:
            self._opens.clear()
        self._opens[pid] = _ExecOpen(
            since, time.monotonic_ns(), after, paths.union(path.path for path in found)
        )
        return how

    def _is_same_exec(self, before: _ExecOpen, state: TaskState) -> bool:
        """The exec that opened ``before`` may have ended between the reading of its events."""
        ended = before.since == state.previous_since and state.since > self.empty
        return before.since == state.since or ended

    def exe(self, event: Event, caller: Caller, found: Sequence[FoundPath], how: How) -> str | None:
        """Return the program that caused ``event``; None where it may be either of two."""
        state, exe = caller.state, caller.exe
        if caller.steady:
            return exe
        if state.previous_since > self.empty:
            return None
        # One exec since: it lies right behind the opening of its own program in the queue.
        if event.mask & FAN_OPEN_EXEC:
            this_exec = how == "loader" or any(path.path == exe for path in found)
            return self._sessions.exe(state.previous_exe) if this_exec else None
        return exe if self._was_opened(event.pid, exe, state) else None

    def _was_opened(self, pid: int, exe: str | None, state: TaskState) -> bool:
        opened = self._opens.get(pid)
        return (
            opened is not None
            and exe in opened.paths
            and opened.since in (state.previous_since, state.since)
            and time.monotonic_ns() - opened.time < EXEC_TIME
        )
