"""The compiled BPF programs: loaded, attached, and their tables in Python's types.

The layouts are those of agent/bpf/paredown.h.
"""

from __future__ import annotations

import ctypes
import functools
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from ctypes import c_uint32, c_uint64
from pathlib import Path

from paredown_agent.libbpf import BTF, Map, Object
from paredown_agent.processes import INITIAL_PID_NAMESPACE
from paredown_agent.recorder.also import PROGRAMS, Also
from paredown_agent.recorder.attach import Attachment, AttachSet
from paredown_agent.recorder.messages import Event, kernel_device, read_message
from paredown_agent.ringbuffer import RingBuffer
from paredown_schemas.errors import ParedownError

OBJECT = Path(__file__).parent.parent / "paredown.bpf.o"

_LOSSES = {0: "ring buffer", 1: "process table", 3: "unreadable names", 4: "message buffers"}
_SKIPPED, _UNFINISHED = "preempted programs", "unfinished messages"
_EXITS = 2
_WATCHED, _WATCH_BEGINS, _WATCH_OVERLAY = 1, 2, 4
_UNTYPED = "the programs for it take the kernel's BTF"
_ALL = 1 << 30
_LAST = 1.0  # seconds for what is being written when the programs are detached
_PAUSE = 0.001


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


class _Config(ctypes.Structure):
    _fields_ = (
        ("secret", c_uint64),
        ("pid_namespace", c_uint32),
        ("files", c_uint32),
        ("root_arguments", c_uint32),
        ("lookups", c_uint32),
    )


class Programs:
    """The loaded and attached programs.

    ``ring`` is the size of the ring buffer in bytes, a power of two; ``also`` is what is told
    beside files.

    Raises:
        ParedownError: the object, libbpf, BTF, a tracepoint or a capability is missing.
    """

    def __init__(self, attach: AttachSet, *, ring: int, also: Also | None = None) -> None:
        _check_host(typed=attach.typed)
        self.also = also or Also()
        if not attach.typed:
            self.also.refuse_all(_UNTYPED)
        attachment = Attachment(attach)
        config = _Config(
            secret=int.from_bytes(os.urandom(8), "little"),
            pid_namespace=_pid_namespace(),
            files=attach.files,
            root_arguments=attachment.root_arguments,
            lookups=self.also.lookups,
        )
        sizes = {"events": ring, "facts": self.also.facts}
        self._object = self.also.load(
            functools.partial(_load, attach.open, attachment, config, sizes)
        )
        try:
            attachment.attach(self._object)
            self.also.attach(self._object)
            self._tasks = self._object.map("tasks")
            self._dead = self._object.map("dead")
            self._watched = self._object.map("watched")
            self._counters = self._object.map("counts")
            self._events = self._object.map("events")
            self.caught_up = True
            self._ring = RingBuffer(self._events.fd, ring)
        except BaseException:
            self._object.close()
            raise
        self._lost: dict[str, int] = {}
        self._detached = False
        self._counts = (c_uint64 * _possible_cpus())()

    def fileno(self) -> int:
        """Return a descriptor that polls readable when events wait."""
        return self._events.fd

    def watch(self, device: int, *, begins: bool, overlay: bool) -> None:
        """Watch a superblock; ``begins``: an exec with its root there begins a session.

        ``overlay``: it is one, and what has its number later and is none is not watched.
        """
        how = _WATCHED | begins * _WATCH_BEGINS | overlay * _WATCH_OVERLAY
        self._watched.update(kernel_device(device), c_uint32(how))

    def unwatch(self, device: int) -> None:
        """Watch a superblock no more."""
        self._watched.delete(kernel_device(device))

    def find(self, pid: int) -> TaskState | None:
        """Return what is known of a process, running or ended a short while ago."""
        return self.find_running(pid) or _lookup(self._dead, pid)

    def find_running(self, pid: int) -> TaskState | None:
        """Return what is known of a process that has not ended."""
        return _lookup(self._tasks, pid)

    def put(self, pid: int, state: TaskState) -> None:
        """Make a process part of a session; its children of later inherit it."""
        self._tasks.update(pid, state)

    def events(self, most: int = _ALL) -> Sequence[Event]:
        """Return what the kernel side told since the last call; ``caught_up`` if that is all.

        A program that was preempted while it wrote holds up what others wrote after it: at the end
        it is waited for.
        """
        read = self._ring.read(most)
        end = time.monotonic() + _LAST * self._detached
        while len(read) < most and self._ring.waiting() and time.monotonic() < end:
            time.sleep(_PAUSE)
            read += self._ring.read(most - len(read))
        self.caught_up = len(read) < most
        return [read_message(raw) for raw in read]

    def losses(self) -> Sequence[tuple[str, int]]:
        """Return what was lost, and how often, since the last call."""
        totals = {where: self._count(index) for index, where in _LOSSES.items()}
        totals[_SKIPPED] = self._object.skipped()
        if self._detached and self._ring.waiting():
            totals[_UNFINISHED] = 1
        found = [(where, total - self._lost.get(where, 0)) for where, total in totals.items()]
        self._lost = totals
        return [(where, count) for where, count in found if count > 0]

    def exits(self) -> int:
        """Return how many processes of sessions have ended; ``find`` knows the last thousands."""
        return self._count(_EXITS)

    def attach(self, program: str) -> None:
        """Attach one that was loaded for later; raises ParedownError."""
        self._object.attach(program)

    def detach_one(self, program: str) -> None:
        """Detach one alone."""
        self._object.detach_one(program)

    def detach(self) -> None:
        """Stop; what has been told already can still be read."""
        self._object.detach()
        self._detached = True

    def close(self) -> None:
        """Give everything back to the kernel."""
        self._ring.close()
        self._object.close()

    def _count(self, index: int) -> int:
        self._counters.lookup(index, self._counts)
        return sum(self._counts)


def _load(
    open_object: Callable[[Path], Object],
    attachment: Attachment,
    config: _Config,
    sizes: Mapping[str, int],
    also: Collection[str],
) -> Object:
    """Load what ``attachment`` takes, and those of ``PROGRAMS`` named; raises ParedownError."""
    loaded = open_object(OBJECT)
    try:
        attachment.prepare(loaded)
        for name in PROGRAMS:
            if name not in also:
                loaded.leave_out(name)
        loaded.set_data(".rodata", config)
        for name, size in sizes.items():
            loaded.resize(name, size)
        loaded.load()
    except BaseException:
        loaded.close()
        raise
    return loaded


def _pid_namespace() -> int:
    """Return what the kernel side tells the agent's pid namespace by, 0 for the initial one."""
    number = Path("/proc/self/ns/pid").stat().st_ino
    return 0 if number == INITIAL_PID_NAMESPACE else number


def _lookup(table: Map, pid: int) -> TaskState | None:
    state = TaskState()
    return state if table.lookup(pid, state) else None


def _possible_cpus() -> int:
    # A list of ranges, "0-3,8"; a per-CPU map has a value for each.
    last = Path("/sys/devices/system/cpu/possible").read_text("ascii").strip().split(",")[-1]
    return int(last.split("-")[-1]) + 1


def _check_host(*, typed: bool) -> None:
    if not OBJECT.exists():
        raise ParedownError(
            f"cannot load BPF programs: {OBJECT.name} was not built",
            hint="install Paredown from a wheel, or with clang, llvm and libbpf-dev installed",
        )
    if typed and not BTF.exists():
        raise ParedownError(
            "cannot load BPF programs: this kernel has no BTF",
            hint="needs CONFIG_DEBUG_INFO_BTF, which Debian 11, Ubuntu 20.10 and RHEL 8.2 have",
        )
