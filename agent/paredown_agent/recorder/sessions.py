"""The sessions of a recording and the programs in them, as the kernel side tells of them."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from paredown_agent import statx
from paredown_agent.mountinfo import Mount, read_mounts
from paredown_agent.processes import relatives
from paredown_agent.recorder.base import Clock
from paredown_agent.recorder.facts import Facts
from paredown_agent.recorder.messages import EVENT_MOUNT, EVENT_PROGRAM, EVENT_SESSION, Event
from paredown_agent.recorder.paths import Paths
from paredown_agent.recorder.places import Places
from paredown_agent.recorder.programs import Programs, TaskState
from paredown_agent.recorder.seen import Seen
from paredown_agent.recorder.upper import UpperLayers
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import Coverage, Process, Record, Session, SessionKind

# Far more programs than an image has; forgetting them costs the exe of later files.
_MAX_EXES = 65536
# What the kernel side makes of a file (exe_key) is odd; what is adopted here is even.
_ADOPTED_EXE_STEP = 2
_SEEN_IDS = 1 << 12


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A session as the trace has it, and the process that it began with."""

    id: int
    kind: SessionKind
    leader: int


class Sessions:
    """Numbers sessions in the order in which they are met, and tells of them once."""

    def __init__(self, programs: Programs, paths: Paths, clock: Clock) -> None:
        self._programs = programs
        self._paths = paths
        self._clock = clock
        self._known: dict[int, Known] = {}  # by the kernel side's number
        self._superblocks: dict[int, int] = {}  # on which sessions began, by session
        self._containers: dict[int, tuple[int, int]] = {}  # device: session and pid of its first
        self._adopted: dict[int, tuple[int, int]] = {}  # device: session, and when that was
        self._exes: dict[int, str | None] = {}
        self._next_exe = _ADOPTED_EXE_STEP
        self._devices: dict[
            int, bool
        ] = {}  # the watched superblocks, and whether each is an overlay
        self._ids = Seen(_SEEN_IDS)
        self._places = Places(self._devices)
        self._uppers = UpperLayers(clock)
        # Of containers that have not ended, by device: session, and when it began (epoch).
        self._going: dict[int, tuple[int, int]] = {}
        self._exits = 0
        self._facts = Facts(clock, self._places)
        self._pending: list[Record] = list(programs.also.coverage())
        self.begins = True  # an exec may begin a session

    def watch(self, directory: int) -> bool:
        """Let execs on the superblock of ``directory`` begin sessions, where they may.

        Returns whether its number is new.
        """
        mount = _mount(directory)
        device = os.fstat(directory).st_dev if mount is None else mount.device
        if not self._container_runs(device):  # a number that is known may be another overlay's now
            self._end(device)
            self._uppers.watch(device, mount)
        anew = device not in self._devices
        overlay = self._devices[device] = mount is not None and mount.fstype == "overlay"
        self._programs.watch(device, begins=self.begins, overlay=overlay)
        return anew

    def unwatch(self, directory: int) -> None:
        """Let nothing begin on the superblock of ``directory`` any more."""
        device = superblock_device(directory)
        self._programs.unwatch(device)
        self._end(device)
        self._uppers.unwatch(device)
        self._devices.pop(device, None)

    def adopt(self, pid: int, kind: SessionKind) -> int:
        """See ``Recorder.adopt``."""
        device = root_device(pid) if kind == "container" else None
        raw = id_ = len(self._known) + 1
        self._known[raw] = Known(id_, kind, pid)
        self._pending.append(Session(id_, kind, pid, self._clock.now()))
        if kind == "command":
            self._close()
            why = "no container of its own is in reach"
            self._pending.append(Coverage("directories", recorded=False, why=why, session=id_))
        if device is not None:
            self._adopt_container(raw, pid, device)
        else:
            self._adopt_tree(raw, pid, started=kind != "command")
        self._paths.learn(pid)
        self._places.learn(pid)
        return id_

    def _adopt_container(self, raw: int, pid: int, device: int) -> None:
        """Orphans of a container are adopted after its first process, which stays what it is."""
        if not self._container_runs(device):
            self._containers[device] = (raw, pid)
            self._going[device] = (self._known[raw].id, _start_time(pid))
        self._adopt_tree(raw, pid, started=True)
        self._adopted[device] = (self._containers[device][0], time.monotonic_ns())

    def get(self, raw: int) -> Known | None:
        """Return a session by the kernel side's number."""
        return self._known.get(raw)

    def superblock(self, session: int) -> int | None:
        """See ``Recorder``."""
        return self._superblocks.get(session)

    def running(self, session: int) -> bool:
        """See ``Recorder``."""
        raw = {raw for raw, known in self._known.items() if known.id == session}
        states = map(self._programs.find_running, relatives())
        return any(state is not None and state.session in raw for state in states)

    def exe(self, key: int) -> str | None:
        """Return the path of a program inside a watched superblock, if that is known."""
        return self._exes.get(key)

    def take(self, events: Sequence[Event]) -> None:
        """Learn from the kernel side's events about sessions and programs."""
        for event in events:
            if event.kind == EVENT_SESSION:
                self._begin(event)
            elif event.kind == EVENT_PROGRAM:
                self._run(event)
            elif event.kind == EVENT_MOUNT and not event.truncated:
                self._paths.keep_root(event.mount, event.path, event.pid)
            elif (known := self._known.get(event.session)) is not None:
                for record in self._facts.records(event, known.id, self._exes.get(event.exe)):
                    self._tell(record)

    def records(self) -> list[Record]:
        """Return the session and process records since the last call."""
        pending, self._pending = self._pending, []
        return pending

    def look_at_ends(self) -> None:
        """Tell what containers wrote to that have ended since the last call: they may go any time.

        To be called when events were taken, once for many of them.
        """
        exits = self._programs.exits()
        if exits != self._exits:
            self._exits = exits
            for device in list(self._going):
                if not self._container_runs(device):
                    self._end(device)

    def conclude(self) -> None:
        """Tell what is known at a recording's end only."""
        self._look_at_ids()
        for device in list(self._going):
            self._end(device)

    def close(self) -> None:
        """Let go of what was watched."""
        self._uppers.close()

    def _end(self, device: int) -> None:
        if device in self._going:
            session, since = self._going.pop(device)
            ended = not self._container_runs(device)
            self._pending += self._uppers.written(device, session, since, ended=ended)

    def _look_at_ids(self) -> None:
        """The ids that programs have changed to and still have."""
        for pid in relatives():
            state = self._programs.find_running(pid)
            known = self._known.get(state.session) if state is not None and state.exe else None
            if state is not None and known is not None:
                uid, gid = _effective_ids(pid)
                exe, now = self._exes.get(state.exe), self._clock.now()
                self._tell(Process(known.id, pid, exe, uid, gid, now))

    def _tell(self, record: Record) -> None:
        if not isinstance(record, Process) or self._is_new(record):
            self._pending.append(record)

    def _is_new(self, process: Process) -> bool:
        return self._ids.add((process.session, process.exe, process.uid, process.gid))

    def _close(self) -> None:
        self.begins = False
        for device, overlay in self._devices.items():
            self._programs.watch(device, begins=False, overlay=overlay)

    def _begin(self, event: Event) -> None:
        adopted, when = self._adopted.get(event.device, (0, 0))
        if event.time < when:
            # Between the watch and the adoption: as far as can be known the container's own.
            self._known[event.session] = self._known[adopted]
            return
        id_ = len(self._known) + 1
        kind: SessionKind = "injected" if self._container_runs(event.device) else "container"
        if kind == "container":
            self._end(event.device)
            self._containers[event.device] = (event.session, event.pid)
            self._going[event.device] = (id_, self._clock.epoch + self._clock.since(event.time))
        self._known[event.session] = Known(id_, kind, event.pid)
        self._superblocks[id_] = event.device
        self._pending.append(Session(id_, kind, event.pid, self._clock.since(event.time)))
        self._paths.forget()
        self._paths.learn(event.pid)
        self._places.learn(event.pid)

    def _container_runs(self, device: int) -> bool:
        """A container that was restarted begins anew, often on a device of the same number."""
        session, pid = self._containers.get(device, (0, 0))
        state = self._programs.find_running(pid) if session else None
        return state is not None and state.session == session

    def _run(self, event: Event) -> None:
        known = self._known.get(event.session)
        if known is None:
            return
        if len(self._exes) >= _MAX_EXES:
            self._exes.clear()
        certain = event.device in self._devices and not event.truncated
        exe = self._exes[event.exe] = event.path if certain else None
        time = self._clock.since(event.time)
        self._tell(Process(known.id, event.pid, exe, event.uid, event.gid, time))

    def _adopt_tree(self, raw: int, pid: int, *, started: bool) -> None:
        """A child forked before its parent was put into the table is found by looking again."""
        adopted: set[int] = set()
        found = {pid}
        while found:
            for member in found:
                self._put(raw, member, started=started)
            adopted |= found
            found = {pid for pid, each in relatives().items() if each.parent in adopted} - adopted
            found.discard(os.getpid())  # beside a PID 1, which every orphan is a child of

    def _put(self, raw: int, pid: int, *, started: bool) -> None:
        state = self._programs.find_running(pid)
        if state is not None and state.session == raw:
            return
        exe = self._adopted_exe(raw, pid) if started else 0
        self._programs.put(pid, TaskState(session=raw, exe=exe, previous_exe=exe))

    def _adopted_exe(self, raw: int, pid: int) -> int:
        key, self._next_exe = self._next_exe, self._next_exe + _ADOPTED_EXE_STEP
        exe = self._exes[key] = self._exe_path(pid)
        uid, gid = _effective_ids(pid)
        self._tell(Process(self._known[raw].id, pid, exe, uid, gid, self._clock.now()))
        return key

    def _exe_path(self, pid: int) -> str | None:
        try:
            fd = os.open(f"/proc/{pid}/exe", os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            status = statx.status(fd)
            mount = self._paths.mount(fd, status, (pid,))
            if mount is None or mount.device not in self._devices:
                return None
            found = self._paths.find(fd, status, (pid,))
            return found[0].path if len(found) == 1 else None
        finally:
            os.close(fd)


class SessionKeeper:
    """What every recorder that keeps ``Sessions`` answers alike."""

    _sessions: Sessions

    def adopt(self, pid: int, kind: SessionKind) -> int:
        """See ``Recorder``."""
        _check_process(pid)
        return self._sessions.adopt(pid, kind)

    def superblock(self, session: int) -> int | None:
        """See ``Recorder``."""
        return self._sessions.superblock(session)

    def running(self, session: int) -> bool:
        """See ``Recorder``."""
        return self._sessions.running(session)


def superblock_device(fd: int, pid: int | str = "self") -> int:
    """Return the dev_t of the superblock that an open file lies on, by a mount that ``pid`` has.

    st_dev is another number on btrfs, and for files of some overlays; mountinfo has the kernel's.

    Raises:
        ParedownError: the process is gone.
    """
    mount = _mount(fd, pid)
    return os.fstat(fd).st_dev if mount is None else mount.device


def root_device(pid: int) -> int:
    """Return the dev_t of the superblock that a process's root directory lies on.

    Raises:
        ParedownError: there is no such process, or it may not be looked at.
    """
    try:
        fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise ParedownError(f"cannot record process {pid}: {error.strerror}") from error
    try:
        return superblock_device(fd, pid)
    finally:
        os.close(fd)


def _mount(fd: int, pid: int | str = "self") -> Mount | None:
    return read_mounts(pid).by_id.get(statx.status(fd, unique=False).mount)


def _start_time(pid: int) -> int:
    """When a process began, in ns since the epoch; 0 if it has ended."""
    try:
        return int(psutil.Process(pid).create_time() * 1e9)
    except psutil.Error:
        return 0


def _effective_ids(pid: int) -> tuple[int | None, int | None]:
    try:
        lines = Path(f"/proc/{pid}/status").read_bytes().splitlines()
    except OSError:
        return None, None
    ids = {line[:4]: int(line.split()[2]) for line in lines if line[:4] in (b"Uid:", b"Gid:")}
    return ids[b"Uid:"], ids[b"Gid:"]


def _check_process(pid: int) -> None:
    """Raise ParedownError if there is no process ``pid`` to adopt."""
    if not Path(f"/proc/{pid}").exists():
        raise ParedownError(f"cannot record process {pid}: no such process")
