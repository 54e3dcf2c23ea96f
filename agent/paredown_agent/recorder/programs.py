"""The compiled BPF programs: loaded, attached, and their tables and events in Python's types.

The layouts are those of agent/bpf/paredown.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
from collections.abc import Sequence
from ctypes import c_int64, c_uint32, c_uint64
from pathlib import Path

from paredown_agent.libbpf import Map, Object, RingBuffer
from paredown_agent.tracepoints import Tracepoints
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name

OBJECT = Path(__file__).parent.parent / "paredown.bpf.o"
BTF = Path("/sys/kernel/btf/vmlinux")

EVENT_SESSION, EVENT_PROGRAM, EVENT_FILE, EVENT_MOUNT = 1, 2, 3, 4
USE_EXEC, USE_INTERPRETER, USE_LOADER, USE_READ, USE_WRITE = 1, 2, 3, 4, 5
_TRUNCATED = 1
_LOSSES = ("ring buffer", "process table")
_EXITS = 2

_SESSION_PROGRAMS = ("session_fork", "session_exec", "session_exit")
_LOADER_PROGRAM = "exec_loader"
_OPEN_PROGRAM = "opened"
_OPEN_CALLS = ("open", "openat", "openat2", "creat")


class TaskState(ctypes.Structure):
    """What the kernel side knows of a process (struct task)."""

    session: int
    exe: int
    since: int
    previous_exe: int
    previous_since: int
    _fields_ = (
        ("session", c_uint64),
        ("exe", c_uint64),
        ("since", c_uint64),
        ("previous_exe", c_uint64),
        ("previous_since", c_uint64),
    )


class _Head(ctypes.Structure):
    _fields_ = (
        ("time", c_uint64),
        ("session", c_uint64),
        ("exe", c_uint64),
        ("inode", c_uint64),
        ("mount", c_uint64),
        ("size", c_int64),
        ("mtime", c_int64),
        ("kind", c_uint32),
        ("pid", c_uint32),
        ("uid", c_uint32),
        ("gid", c_uint32),
        ("device", c_uint32),
        ("mode", c_uint32),
        ("use", c_uint32),
        ("flags", c_uint32),
        ("length", c_uint32),
        ("pad", c_uint32),
    )


class _Config(ctypes.Structure):
    _fields_ = (("pid_namespace", c_uint32), ("files", c_uint32))


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One message of the kernel side; ``time`` is CLOCK_MONOTONIC, ``device`` a dev_t."""

    time: int
    kind: int
    session: int
    pid: int
    exe: int
    uid: int
    gid: int
    device: int
    inode: int
    mount: int
    mode: int
    size: int
    mtime: int
    use: int
    path: str
    truncated: bool


class Programs:
    """The loaded and attached programs.

    ``files`` attaches those that see opens and execs too; ``ring`` is the size of the ring buffer
    in bytes, a power of two.

    Raises:
        ParedownError: the object, libbpf, BTF, a tracepoint or a capability is missing.
    """

    def __init__(self, *, files: bool, ring: int) -> None:
        _check_host(files=files)
        self._object = Object(OBJECT)
        try:
            self._load(files=files, ring=ring)
            self._tasks = self._object.map("tasks")
            self._dead = self._object.map("dead")
            self._watched = self._object.map("watched")
            self._counters = self._object.map("counts")
            self._events = self._object.map("events")
            self._received: list[Event] = []
            self._ring = RingBuffer(self._events, self._receive)
        except BaseException:
            self._object.close()
            raise
        self._lost = [0] * len(_LOSSES)
        self._counts = (c_uint64 * _possible_cpus())()

    def fileno(self) -> int:
        """Return a descriptor that polls readable when events wait."""
        return self._events.fd

    def watch(self, device: int, *, begins: bool) -> None:
        """Watch a superblock; ``begins``: an exec with its root there begins a session."""
        self._watched.update(_kernel_device(device), c_uint32(begins))

    def unwatch(self, device: int) -> None:
        """Watch a superblock no more."""
        self._watched.delete(_kernel_device(device))

    def find(self, pid: int) -> TaskState | None:
        """Return what is known of a process, running or ended a short while ago."""
        return self.find_running(pid) or _lookup(self._dead, pid)

    def find_running(self, pid: int) -> TaskState | None:
        """Return what is known of a process that has not ended."""
        return _lookup(self._tasks, pid)

    def put(self, pid: int, state: TaskState) -> None:
        """Make a process part of a session; its children of later inherit it."""
        self._tasks.update(pid, state)

    def events(self) -> Sequence[Event]:
        """Return what the kernel side told since the last call."""
        self._ring.consume()
        received, self._received = self._received, []
        return received

    def losses(self) -> Sequence[tuple[str, int]]:
        """Return what was lost, and how often, since the last call."""
        found = []
        for index, where in enumerate(_LOSSES):
            total = self._count(index)
            if total > self._lost[index]:
                found.append((where, total - self._lost[index]))
                self._lost[index] = total
        return found

    def exits(self) -> int:
        """Return how many processes of sessions have ended; ``find`` knows the last thousands."""
        return self._count(_EXITS)

    def detach(self) -> None:
        """Stop; what has been told already can still be read."""
        self._object.detach()

    def close(self) -> None:
        """Give everything back to the kernel."""
        self._ring.close()
        self._object.close()

    def _count(self, index: int) -> int:
        self._counters.lookup(index, self._counts)
        return sum(self._counts)

    def _load(self, *, files: bool, ring: int) -> None:
        loader = files and _has_find_vma()
        for name, wanted in ((_OPEN_PROGRAM, files), (_LOADER_PROGRAM, loader)):
            if not wanted:
                self._object.leave_out(name)
        namespace = Path("/proc/self/ns/pid").stat().st_ino
        self._object.set_data(".rodata", _Config(namespace, files))
        self._object.resize("events", ring)
        self._object.load()
        # The session must be known before the programs that ask for it run: attached first.
        for name in (*_SESSION_PROGRAMS, *([_LOADER_PROGRAM] if loader else [])):
            self._object.attach(name)
        if files:
            self._attach_calls()

    def _attach_calls(self) -> None:
        with contextlib.closing(Tracepoints()) as tracepoints:
            for call in _OPEN_CALLS:
                name = f"sys_exit_{call}"
                if tracepoints.exists("syscalls", name):
                    event = tracepoints.open("syscalls", name)
                    self._object.attach_event(_OPEN_PROGRAM, event)

    def _receive(self, raw: bytes) -> None:
        head = _Head.from_buffer_copy(raw)
        start = ctypes.sizeof(_Head)
        names = raw[start : start + head.length].split(b"\0")[:-1]
        self._received.append(
            Event(
                time=head.time,
                kind=head.kind,
                session=head.session,
                pid=head.pid,
                exe=head.exe,
                uid=head.uid,
                gid=head.gid,
                device=_user_device(head.device),
                inode=head.inode,
                mount=head.mount,
                mode=head.mode,
                size=head.size,
                mtime=head.mtime,
                use=head.use,
                path="/" + decode_name(b"/".join(reversed(names))),
                truncated=bool(head.flags & _TRUNCATED),
            )
        )


def _lookup(table: Map, pid: int) -> TaskState | None:
    state = TaskState()
    return state if table.lookup(pid, state) else None


def _kernel_device(device: int) -> int:
    return os.major(device) << 20 | os.minor(device)


def _user_device(device: int) -> int:
    return os.makedev(device >> 20, device & 0xFFFFF)


def _possible_cpus() -> int:
    # A list of ranges, "0-3,8"; a per-CPU map has a value for each.
    last = Path("/sys/devices/system/cpu/possible").read_text("ascii").strip().split(",")[-1]
    return int(last.split("-")[-1]) + 1


def _check_host(*, files: bool) -> None:
    if not OBJECT.exists():
        raise ParedownError(
            f"cannot load BPF programs: {OBJECT.name} was not built",
            hint="install Paredown from a wheel, or with clang, llvm and libbpf-dev installed",
        )
    if not BTF.exists():
        raise ParedownError(
            "cannot load BPF programs: this kernel has no BTF",
            hint="needs CONFIG_DEBUG_INFO_BTF, which Debian 11, Ubuntu 20.10 and RHEL 8.2 have",
        )
    if files:
        _check_calls()


def _check_calls() -> None:
    with contextlib.closing(Tracepoints()) as tracepoints:
        if not tracepoints.exists("syscalls", "sys_exit_openat"):
            raise ParedownError(
                "cannot attach BPF programs: no tracepoints of system calls",
                hint="needs a kernel with CONFIG_FTRACE_SYSCALLS",
            )


def _has_find_vma() -> bool:
    # The helper and the type of its callback came in one change (7c7e3d31e785, Linux 5.17).
    return b"\0bpf_find_vma\0" in BTF.read_bytes()
