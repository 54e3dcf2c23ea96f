"""The recorder that asks fanotify for every open on a superblock.

fanotify sees every way of opening (execs, ELF interpreters, io_uring, 32-bit programs), in every
mount namespace, but neither O_PATH nor symlinks. BPF programs on fork, exec and exit tell whose an
event is. Once a file is recorded, an ignore mark on its inode makes further uses free; so only its
first user is known, and its first name: one that a run gives to a recorded file of the image (by
rename or link) is not seen, but no image has it either. A file that is renamed between its use and
the reading of the event, milliseconds in general, is recorded by its new name.
"""

from __future__ import annotations

import dataclasses
import os
import select
import stat
import time
from collections.abc import Iterator, Sequence

from paredown_agent import statx
from paredown_agent.fanotify import (
    FAN_CLOSE_WRITE,
    FAN_ONDIR,
    FAN_OPEN,
    FAN_OPEN_EXEC,
    FAN_Q_OVERFLOW,
    Event,
    Group,
)
from paredown_agent.recorder.attach import SESSIONS
from paredown_agent.recorder.base import Clock, Probe
from paredown_agent.recorder.classify import (
    AFTER_OTHER,
    exec_use,
    file_kind,
    open_use,
    read_head,
)
from paredown_agent.recorder.paths import FoundPath, Paths
from paredown_agent.recorder.programs import Programs, TaskState
from paredown_agent.recorder.seen import Seen
from paredown_agent.recorder.sessions import Known, SessionKeeper, Sessions
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import File, How, Loss, Record

_MASK = FAN_OPEN | FAN_OPEN_EXEC | FAN_CLOSE_WRITE | FAN_ONDIR
_QUEUE = 262144
_RING = 1 << 20
# An exec is over within this time after it opened its file (ns), however slow the disk.
_HOLD = 10_000_000_000
_MAX_HELD = 1024
# Half of what the kernel side remembers: from then on an unknown process may be a forgotten one.
_MAX_EXITS = 4096
# Between two looks at the rest of the loop.
_BATCHES = 64
_SEEN = 1 << 18
_MAX_EXECS = 4096
# What a run makes it often renames at once: so many events are taken before its inode is ignored.
_LOOKS = 16
_MAX_MADE = 65536


def probe() -> Probe:
    """Say whether this recorder works on this host."""
    try:
        open_recorder(Clock()).close()
    except ParedownError as error:
        return Probe(works=False, why=str(error), hint=error.hint)
    return Probe(works=True)


def open_recorder(clock: Clock) -> FanotifyRecorder:
    """Return a recorder that watches nothing yet.

    Raises:
        ParedownError: the host cannot; ``probe`` says the same.
    """
    return FanotifyRecorder(clock)


@dataclasses.dataclass(frozen=True, slots=True)
class _ExecOpen:
    """The files that a process's last execs opened, while its state said ``since``."""

    since: int
    time: int
    after: str
    paths: frozenset[str]


class FanotifyRecorder(SessionKeeper):
    """See ``Recorder``. ``queue`` is in events, ``ring`` in bytes."""

    name = "fanotify"

    def __init__(self, clock: Clock, *, queue: int = _QUEUE, ring: int = _RING) -> None:
        self._clock = clock
        self._programs = Programs(SESSIONS, ring=ring)
        try:
            self._group = Group(queue)
        except BaseException:
            self._programs.close()
            raise
        self._paths = Paths()
        self._sessions = Sessions(self._programs, self._paths, clock)
        self._poll = select.epoll()
        self._poll.register(self._group.fd, select.EPOLLIN)
        self._poll.register(self._programs.fileno(), select.EPOLLIN)
        self._seen = Seen(_SEEN)
        self._held: list[tuple[int, Event]] = []
        self._exec_opens: dict[int, _ExecOpen] = {}
        self._empty = time.monotonic_ns()  # every event before it has been read
        self._exits = 0  # until then
        self._unknown = 0  # events of processes of no session since then
        self._made: dict[tuple[int, int], int] = {}  # events of files that the run made or changed

    def watch(self, directory: int) -> bool:
        """See ``Recorder``."""
        self._sessions.watch(directory)
        return self._group.mark_superblock(directory, _MASK)

    def unwatch(self, directory: int) -> None:
        """See ``Recorder``."""
        self._group.unmark_superblock(directory, _MASK)
        self._sessions.unwatch(directory)

    def fileno(self) -> int:
        """See ``Recorder``."""
        return self._poll.fileno()

    def drain(self) -> Sequence[Record]:
        """See ``Recorder``."""
        records: list[Record] = []
        for _ in range(_BATCHES):
            if not self._read_batch(records):
                break
        records += self._losses()
        return records

    def finish(self) -> Sequence[Record]:
        """See ``Recorder``."""
        self._group.unmark()
        records: list[Record] = []
        while self._read_batch(records):
            pass
        self._programs.detach()
        self._sessions.take(self._programs.events())
        records += self._sessions.records()
        self._close_held()
        records += self._losses()
        return records

    def close(self) -> None:
        """See ``Recorder``."""
        self._close_held()
        self._poll.close()
        self._group.close()
        self._programs.close()

    def _read_batch(self, records: list[Record]) -> bool:
        """Read and attribute one batch; say whether more may wait."""
        before = time.monotonic_ns()
        try:
            batch = self._group.read()
        except OSError as error:
            records.append(self._loss(f"fanotify event: {error.strerror}", 1))
            return True
        # After the batch: whoever caused its events is known by now, unless still inside exec.
        self._sessions.take(self._programs.events())
        records += self._sessions.records()
        setup = _before_exec(batch)
        for event in self._release_held(before):
            records += self._take(event, before, setup=False)
        for index, event in enumerate(batch):
            records += self._take(event, before, setup=index < setup.get(event.pid, 0))
        if len(batch) < self._group.batch:
            records += self._catch_up(before)
            return False
        return True

    def _catch_up(self, now: int) -> list[Loss]:
        """The queue is empty."""
        exits = self._programs.exits()
        forgotten = self._unknown if exits - self._exits > _MAX_EXITS else 0
        self._empty, self._exits, self._unknown = now, exits, 0
        return [self._loss("ended processes", forgotten)] if forgotten else []

    def _take(self, event: Event, now: int, *, setup: bool) -> list[Record]:
        """``setup``: the same process opens its program later in the queue."""
        if event.fd < 0:
            return [self._no_descriptor(event)]
        state = self._programs.find(event.pid) if event.pid else None
        known = self._sessions.get(state.session) if state else None
        unknown = state is None or known is None
        if unknown and self._may_begin_session(event):
            return self._hold(event, now)
        try:
            if state is None or known is None:
                self._unknown += 1
                return []
            if self._is_setup(event, state, known, setup=setup):
                return []
            return list(self._use(event, state, known))
        finally:
            os.close(event.fd)

    def _no_descriptor(self, event: Event) -> Loss:
        if event.mask & FAN_Q_OVERFLOW:
            return self._loss("fanotify queue", None)
        return self._loss(f"fanotify event: {os.strerror(-event.fd)}", 1)

    def _may_begin_session(self, event: Event) -> bool:
        """A session's first program is opened before the exec that begins the session ends."""
        return bool(event.mask & FAN_OPEN_EXEC and self._sessions.begins and event.pid)

    def _hold(self, event: Event, now: int) -> list[Record]:
        if len(self._held) >= _MAX_HELD:
            os.close(event.fd)
            return [self._loss("execs under way", 1)]
        self._held.append((now + _HOLD, event))
        return []

    def _release_held(self, now: int) -> list[Event]:
        ready = [event for _, event in self._held if self._programs.find(event.pid)]
        for deadline, event in self._held:
            if deadline < now and event not in ready:
                os.close(event.fd)
        self._held = [
            (deadline, event)
            for deadline, event in self._held
            if deadline >= now and event not in ready
        ]
        return ready

    def _close_held(self) -> None:
        for _, event in self._held:
            os.close(event.fd)
        self._held.clear()

    def _is_setup(self, event: Event, state: TaskState, known: Known, *, setup: bool) -> bool:
        """Before its session's first exec a process is a runtime, or the agent, that sets up."""
        if event.mask & FAN_OPEN_EXEC:
            return False
        began = state.previous_exe == 0 and state.since > self._empty
        return state.exe == 0 or (setup and began and known.kind != "injected")

    def _use(self, event: Event, state: TaskState, known: Known) -> Iterator[Record]:
        status = statx.status(event.fd)
        found = self._paths.find(event.fd, status, (event.pid, known.leader))
        if not found:
            yield self._loss("path longer than 4095 bytes", 1)
        for how in self._hows(event, status, state, found):
            exe = self._exe(event, state, found, how)
            for path in found:
                yield from self._record(path, how, status, known, exe)
        self._ignore(event, status, known)

    def _hows(
        self, event: Event, status: statx.Status, state: TaskState, found: tuple[FoundPath, ...]
    ) -> Iterator[How]:
        regular = stat.S_ISREG(status.mode)
        if event.mask & FAN_OPEN_EXEC:
            yield self._exec_use(event, state, found)
        elif event.mask & FAN_OPEN:
            if stat.S_ISDIR(status.mode):
                yield "directory"
            else:
                yield open_use(read_head(event.fd)) if regular else "read"
        if event.mask & FAN_CLOSE_WRITE:
            yield "write"

    def _exec_use(self, event: Event, state: TaskState, found: tuple[FoundPath, ...]) -> How:
        before = self._exec_opens.get(event.pid)
        same_exec = before is not None and before.since == state.since
        how, after = exec_use(
            read_head(event.fd), before.after if before and same_exec else AFTER_OTHER
        )
        paths = {path.path for path in found}
        if before and same_exec:
            paths |= before.paths
        if len(self._exec_opens) >= _MAX_EXECS:
            self._exec_opens.clear()
        now = time.monotonic_ns()
        self._exec_opens[event.pid] = _ExecOpen(state.since, now, after, frozenset(paths))
        return how

    def _exe(
        self, event: Event, state: TaskState, found: tuple[FoundPath, ...], how: How
    ) -> str | None:
        """An event has no time: a process that exec'd since the queue was empty may be either."""
        exe, previous = self._sessions.exe(state.exe), self._sessions.exe(state.previous_exe)
        if state.since <= self._empty or state.exe == state.previous_exe:
            return exe
        if state.previous_since > self._empty:
            return None
        # One exec since: it lies right behind the opening of its own program in the queue.
        if event.mask & FAN_OPEN_EXEC:
            this_exec = how == "loader" or any(path.path == exe for path in found)
            return previous if this_exec else None
        return exe if self._was_opened(event.pid, exe, state) else None

    def _was_opened(self, pid: int, exe: str | None, state: TaskState) -> bool:
        opened = self._exec_opens.get(pid)
        return (
            opened is not None
            and exe in opened.paths
            and opened.since in (state.previous_since, state.since)
            and time.monotonic_ns() - opened.time < _HOLD
        )

    def _record(
        self, path: FoundPath, how: How, status: statx.Status, known: Known, exe: str | None
    ) -> Iterator[File]:
        key = (known.id, path.path, how, exe)
        if not self._seen.add(key):
            return
        yield File(
            path=path.path,
            how=how,
            kind=file_kind(status.mode),
            session=known.id,
            exe=exe,
            time=self._clock.now(),
            size=status.size,
            mtime=status.mtime,
            device=status.device,
            inode=status.inode,
            truncated=path.truncated,
            held=False,
        )

    def _ignore(self, event: Event, status: statx.Status, known: Known) -> None:
        """Not for what a plan may leave out, nor where a second name is still to be seen."""
        regular = stat.S_ISREG(status.mode)
        if known.kind == "injected" or (regular and status.links > 1) or self._is_new(status):
            return
        mask = event.mask & (FAN_OPEN | FAN_OPEN_EXEC | FAN_CLOSE_WRITE)
        if mask & FAN_OPEN_EXEC:
            # Every exec is an open as well, which would read as one by hand.
            mask |= FAN_OPEN
        self._group.ignore(event.fd, mask | (FAN_ONDIR if stat.S_ISDIR(status.mode) else 0))

    def _is_new(self, status: statx.Status) -> bool:
        """Say whether the run made or changed this file, and it may yet get another name."""
        if status.ctime < self._clock.epoch:
            return False
        if len(self._made) >= _MAX_MADE:
            self._made.clear()
        key = (status.device, status.inode)
        self._made[key] = self._made.get(key, 0) + 1
        return self._made[key] < _LOOKS

    def _losses(self) -> list[Loss]:
        return [self._loss(where, count) for where, count in self._programs.losses()]

    def _loss(self, where: str, count: int | None) -> Loss:
        return Loss(where, count, self._clock.now())


def _before_exec(batch: Sequence[Event]) -> dict[int, int]:
    """Return the place in ``batch`` at which each process first opens a program."""
    first: dict[int, int] = {}
    for index, event in enumerate(batch):
        if event.mask & FAN_OPEN_EXEC:
            first.setdefault(event.pid, index)
    return first
