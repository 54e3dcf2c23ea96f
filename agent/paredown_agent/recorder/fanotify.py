"""The recorder that asks fanotify for every open on a superblock.

fanotify sees every way of opening (execs, ELF interpreters, io_uring, 32-bit programs), in every
mount namespace, but neither O_PATH nor symlinks. BPF programs on fork, exec and exit tell whose an
event is. Once a file is recorded, an ignore mark on its inode makes further uses free; so only its
first user is known, and its first name: one that a run gives to a recorded file of the image (by
rename or link) is not seen, but no image has it either. A file that is renamed between its use and
the reading of the event, milliseconds in general, is recorded by its new name.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import time
from collections.abc import Sequence

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
from paredown_agent.recorder.also import Also
from paredown_agent.recorder.attach import SESSIONS
from paredown_agent.recorder.attribution import EXEC_TIME, Attribution, Caller
from paredown_agent.recorder.base import Clock, Probe
from paredown_agent.recorder.classify import file_kind, open_use, read_head
from paredown_agent.recorder.messages import EVENT_FILE, EVENT_PROGRAM
from paredown_agent.recorder.paths import FoundPath, Paths
from paredown_agent.recorder.programs import Programs
from paredown_agent.recorder.seen import LOOKS, Looks, Seen
from paredown_agent.recorder.sessions import (
    Known,
    SessionKeeper,
    Sessions,
    root_device,
    superblock_device,
)
from paredown_agent.recorder.startup import Startup
from paredown_agent.recorder.told import told_file
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import File, How, Loss, Record, SessionKind

_MASK = FAN_OPEN | FAN_OPEN_EXEC | FAN_CLOSE_WRITE | FAN_ONDIR
_QUEUE = 262144
_RING = 1 << 20
_MAX_HELD = 1024
# Half of what the kernel side remembers: from then on an unknown process may be a forgotten one.
_MAX_EXITS = 4096
# Between two looks at the rest of the loop.
_BATCHES = 16
_SEEN = 1 << 18
# What a run makes it often renames at once: some events are taken before its inode is ignored.
_LOOKED_AT = 1 << 14


def probe() -> Probe:
    """Say whether this recorder works on this host."""
    try:
        open_recorder(Clock()).close()
    except ParedownError as error:
        return Probe(works=False, why=str(error), hint=error.hint)
    return Probe(works=True)


def open_recorder(clock: Clock, also: Also | None = None) -> FanotifyRecorder:
    """Return a recorder that watches nothing yet, and takes ``also`` beside files.

    Raises:
        ParedownError: the host cannot; ``probe`` says the same.
    """
    return FanotifyRecorder(clock, also)


class FanotifyRecorder(SessionKeeper):
    """See ``Recorder``. ``queue`` is in events, ``ring`` in bytes."""

    name = "fanotify"

    def __init__(
        self, clock: Clock, also: Also | None = None, *, queue: int = _QUEUE, ring: int = _RING
    ) -> None:
        self._clock = clock
        self._programs = Programs(SESSIONS, ring=ring, also=also)
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
        self._startup = Startup(self._programs)
        self._held: list[tuple[int, Event]] = []
        self._attribution = Attribution(self._sessions)
        self._callers: dict[int, Caller | None] = {}  # of one batch
        self._now = 0  # of the run, when the batch was read
        self._exits = 0  # when the queue was empty
        self._unknown = 0  # events of processes of no session since then
        self._looks = Looks(_LOOKED_AT)  # at files that the run made or changed

    def watch(self, directory: int) -> bool:
        """See ``Recorder``."""
        self._sessions.watch(directory)
        if not self._group.is_marked(directory):
            self._startup.expect(superblock_device(directory))
        return self._group.mark_superblock(directory, _MASK)

    def unwatch(self, directory: int) -> None:
        """See ``Recorder``."""
        self._group.unmark_superblock(directory, _MASK)
        self._startup.cancel(superblock_device(directory))
        self._sessions.unwatch(directory)

    def adopt(self, pid: int, kind: SessionKind) -> int:
        """See ``Recorder``."""
        session = super().adopt(pid, kind)
        if kind == "container":
            with contextlib.suppress(ParedownError):  # it has ended since: nothing starts there
                self._startup.cancel(root_device(pid))
        return session

    def fileno(self) -> int:
        """See ``Recorder``."""
        return self._poll.fileno()

    def drain(self) -> Sequence[Record]:
        """See ``Recorder``."""
        records: list[Record] = []
        for _ in range(_BATCHES):
            if not self._read_batch(records):
                break
        self._startup.turn(self._attribution.empty)
        self._sessions.look_at_ends()
        records += self._sessions.records()
        records += self._losses()
        return records

    def finish(self) -> Sequence[Record]:
        """See ``Recorder``."""
        self._group.unmark()
        records: list[Record] = []
        while self._read_batch(records):
            pass
        self._programs.detach()
        self._take_told(records)
        self._sessions.conclude()
        records += self._sessions.records()
        self._close_held()
        records += self._losses()
        return records

    def close(self) -> None:
        """See ``Recorder``."""
        self._close_held()
        self._poll.close()
        self._group.close()
        self._sessions.close()
        self._programs.close()

    def _read_batch(self, records: list[Record]) -> bool:
        """Read and attribute one batch; say whether more may wait."""
        before = time.monotonic_ns()
        self._now = self._clock.since(before)
        batch = self._group.read()
        # After the batch: whoever caused its events is known by now, unless still inside exec.
        self._take_told(records)
        self._callers.clear()
        if self._held:
            for event in self._release_held(before):
                self._take(event, before, records)
        setup = _before_exec(batch)
        for index, event in enumerate(batch):
            self._take(event, before, records, early=index < setup.get(event.pid, 0))
        if len(batch) < self._group.batch:
            self._catch_up(before, records)
            return False
        return True

    def _take_told(self, records: list[Record]) -> None:
        """What the kernel side told; files only where fanotify has one event of two, or none."""
        events = self._programs.events()
        self._sessions.take(events)
        records += self._sessions.records()
        for event in events:
            known = self._sessions.get(event.session)
            if known is None:
                continue
            if event.kind == EVENT_FILE:
                file = told_file(event, known.id, self._sessions.exe(event.exe), self._clock)
                if self._seen.add_use(known.id, file.path, file.how, file.exe):
                    records.append(file)
            elif event.kind == EVENT_PROGRAM:
                device = self._sessions.superblock(known.id)
                if device is not None or known.kind == "command":
                    self._startup.began(device, event.time)

    def _catch_up(self, now: int, records: list[Record]) -> None:
        """The queue is empty."""
        exits = self._programs.exits()
        if self._unknown and exits - self._exits > _MAX_EXITS:
            records.append(self._loss("ended processes", self._unknown))
        self._attribution.empty, self._exits, self._unknown = now, exits, 0

    def _take(self, event: Event, now: int, records: list[Record], *, early: bool = False) -> None:
        """``early``: the same process opens its program later in the queue."""
        if event.fd < 0:
            records.append(self._no_descriptor(event))
            return
        caller = self._caller(event.pid)
        if caller is None and self._may_begin_session(event):
            self._hold(event, now, records)
            return
        try:
            if caller is None:
                self._unknown += 1
            elif not self._is_setup(event, caller, early=early):
                self._use(event, caller, records)
        finally:
            os.close(event.fd)

    def _is_setup(self, event: Event, caller: Caller, *, early: bool) -> bool:
        """What the container opened again has been told by then, if that is seen at all."""
        early = early and self._startup.sees(self._sessions.superblock(caller.known.id))
        return self._attribution.is_setup(event, caller, early=early)

    def _caller(self, pid: int) -> Caller | None:
        """Each process is asked for once in a batch."""
        try:
            return self._callers[pid]
        except KeyError:
            state = self._programs.find(pid) if pid else None
            caller = self._callers[pid] = self._attribution.caller(state)
            return caller

    def _no_descriptor(self, event: Event) -> Loss:
        if event.mask & FAN_Q_OVERFLOW:
            return self._loss("fanotify queue", None)
        return self._loss(f"fanotify event: {os.strerror(-event.fd)}", 1)

    def _may_begin_session(self, event: Event) -> bool:
        """A session's first program is opened before the exec that begins the session ends."""
        return bool(event.mask & FAN_OPEN_EXEC and self._sessions.begins and event.pid)

    def _hold(self, event: Event, now: int, records: list[Record]) -> None:
        if len(self._held) >= _MAX_HELD:
            os.close(event.fd)
            records.append(self._loss("execs under way", 1))
        else:
            self._held.append((now + EXEC_TIME, event))

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

    def _use(self, event: Event, caller: Caller, records: list[Record]) -> None:
        status, known = statx.status(event.fd), caller.known
        found = self._paths.find(event.fd, status, (event.pid, known.leader))
        if not found:
            records.append(self._loss("path longer than 4095 bytes", 1))
        for how in self._hows(event, status, caller, found):
            exe = self._attribution.exe(event, caller, found, how)
            records += [
                self._file(path, how, status, known, exe)
                for path in found
                if self._seen.add_use(known.id, path.path, how, exe)
            ]
        self._ignore(event, status, known)

    def _hows(
        self, event: Event, status: statx.Status, caller: Caller, found: Sequence[FoundPath]
    ) -> list[How]:
        hows: list[How] = []
        if event.mask & FAN_OPEN_EXEC:
            head = read_head(event.fd)
            hows.append(self._attribution.exec_use(event.pid, caller, head, found))
        elif event.mask & FAN_OPEN:
            if stat.S_ISDIR(status.mode):
                hows.append("directory")
            else:
                library = _may_be_library(status, found)
                hows.append(open_use(read_head(event.fd)) if library else "read")
        if event.mask & FAN_CLOSE_WRITE:
            hows.append("write")
        return hows

    def _file(
        self, path: FoundPath, how: How, status: statx.Status, known: Known, exe: str | None
    ) -> File:
        return File(
            path=path.path,
            how=how,
            kind=file_kind(status.mode),
            session=known.id,
            exe=exe,
            time=self._now,
            size=status.size,
            mtime=status.mtime,
            device=status.device,
            inode=status.inode,
            truncated=path.truncated,
            held=False,
        )

    def _ignore(self, event: Event, status: statx.Status, known: Known) -> None:
        """Not for what a plan may leave out, nor where a second name is still to be seen."""
        directory = stat.S_ISDIR(status.mode)
        if known.kind == "injected" or (status.links > 1 and not directory):
            return
        if status.ctime >= self._clock.epoch and self._looks.add(status[5:7]) < LOOKS:
            return
        mask = event.mask & (FAN_OPEN | FAN_OPEN_EXEC | FAN_CLOSE_WRITE)
        if mask & FAN_OPEN_EXEC:
            # Every exec is an open as well, which would read as one by hand.
            mask |= FAN_OPEN
        self._group.ignore(event.fd, mask | (FAN_ONDIR if directory else 0))

    def _losses(self) -> list[Loss]:
        return [self._loss(where, count) for where, count in self._programs.losses()]

    def _loss(self, where: str, count: int | None) -> Loss:
        return Loss(where, count, self._now)


def _may_be_library(status: statx.Status, found: Sequence[FoundPath]) -> bool:
    """Other files are not read: that takes time, and wakes disks for what nobody else reads."""
    if not status.mode & 0o111:
        for path in found:
            if ".so" in path.path:
                break
        else:
            return False
    return stat.S_ISREG(status.mode)


def _before_exec(batch: Sequence[Event]) -> dict[int, int]:
    """Return the place in ``batch`` at which each process first opens a program."""
    first: dict[int, int] = {}
    for index, event in enumerate(batch):
        if event.mask & FAN_OPEN_EXEC:
            first.setdefault(event.pid, index)
    return first
