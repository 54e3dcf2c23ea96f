"""What can be recorded beside files: the programs for it, and why one does not work here.

Ports and ids are always recorded. The rest costs every system call something, or every question for
a capability, and is recorded on request.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

from paredown_agent.libbpf import BTF, Object
from paredown_agent.mountinfo import read_mounts
from paredown_agent.recorder.calls import lookup_entries
from paredown_agent.tracepoints import detached_mount
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import Coverage, Facet

ALSO: Final[tuple[Facet, ...]] = ("exists", "missing", "capabilities", "syscalls")
_WANT_EXISTS, _WANT_MISSING = 1, 2
_KALLSYMS = Path("/proc/kallsyms")
# They ask for a capability without audit (CAP_OPT_NOAUDIT): to do more if it is there, or to tell
# more, and not because the program wants something that takes it.
_QUIET = frozenset(
    {
        "cap_vm_enough_memory",
        "security_vm_enough_memory_mm",  # its caller, should that one end in a jump
        "ns_capable_noaudit",
        "has_ns_capability_noaudit",
        "has_capability_noaudit",
        "ptracer_capable",
    }
)
_MAX_QUIET = 15
# "ffffffff81366280 T ns_capable_noaudit", in the order of addresses; parts end in ".cold", say.
_SYMBOL = re.compile(
    rb"^([0-9a-f]+) [tT] (%s)(?:\.\S+)?\n([0-9a-f]+) " % "|".join(_QUIET).encode(), re.MULTILINE
)
# Of the kernel's table of what has been told: what it forgets is told again.
_FEW_FACTS = 1 << 10
_FACTS = 1 << 16


class _Range(ctypes.Structure):
    _fields_ = (("start", ctypes.c_uint64), ("end", ctypes.c_uint64))


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Programs that are loaded together, for ``what``; ``attach`` may raise ParedownError."""

    what: tuple[Facet, ...]
    programs: tuple[str, ...]
    attach: Callable[[Object], None]


class Also:
    """What one recording takes beside files. Nothing here keeps files from being recorded."""

    def __init__(self, asked: Collection[str] = ()) -> None:
        """``asked`` are of ``ALSO``."""
        self.lookups = ("exists" in asked) * _WANT_EXISTS | ("missing" in asked) * _WANT_MISSING
        self.facts = _FACTS if asked else _FEW_FACTS
        self._refused: dict[Facet, str] = {
            what: f"not asked for (--also {what})" for what in ALSO if what not in asked
        }
        self._groups = [Group(("ports",), ("bound4", "bound6"), _attach_ports)]
        if self.lookups:
            wanted = tuple(what for what in ALSO[:2] if what in asked)
            self._groups.append(Group(wanted, ("looked_up",), _attach_lookups))
        if "syscalls" in asked:
            self._groups.append(Group(("syscalls",), ("system_call",), _attach_calls))
        if "capabilities" in asked:
            self._groups.append(_capabilities())

    def refuse_all(self, why: str) -> None:
        """Record nothing of it, before ``load``: the programs for it do not work here."""
        for group in list(self._groups):
            self._refuse(group, why)

    def load(self, load: Callable[[Collection[str]], Object]) -> Object:
        """Return the object, loaded with every program here that the kernel takes.

        ``load`` takes the names of programs of ``PROGRAMS``, and raises ParedownError if the
        kernel refuses one of them or of those that are always loaded.
        """
        try:
            return load(self._programs())
        except ParedownError:
            load(()).close()  # what is always loaded may be what is refused
            for group in list(self._groups):
                try:
                    load(group.programs).close()
                except ParedownError as error:
                    self._refuse(group, str(error))
            return load(self._programs())

    def attach(self, loaded: Object) -> None:
        """Attach what was loaded."""
        for group in list(self._groups):
            try:
                group.attach(loaded)
            except ParedownError as error:
                self._refuse(group, str(error))

    def coverage(self) -> Iterator[Coverage]:
        """Yield what is recorded and what is not, but for what is known at the end only."""
        yield Coverage("ids", recorded=True, why="")
        for group in self._groups:
            for what in group.what:
                yield Coverage(what, recorded=True, why="")
        for what, why in self._refused.items():
            yield Coverage(what, recorded=False, why=why)

    def _programs(self) -> list[str]:
        return [program for group in self._groups for program in group.programs]

    def _refuse(self, group: Group, why: str) -> None:
        self._groups.remove(group)
        self._refused.update(dict.fromkeys(group.what, why))


# Every program that is loaded only where it is wanted.
PROGRAMS = (
    "bound4",
    "bound6",
    "looked_up",
    "system_call",
    "capability_asked",
    "capability_returned",
)


def _attach_ports(loaded: Object) -> None:
    """For every process below the uppermost cgroup that is in reach."""
    cgroup = _open_cgroup()
    try:
        for program in ("bound4", "bound6"):
            loaded.attach_cgroup(program, cgroup)
    finally:
        os.close(cgroup)


def _open_cgroup() -> int:
    mounts = [mount for mount in read_mounts().mounts if mount.fstype == "cgroup2"]
    for mount in sorted(mounts, key=lambda mount: len(mount.root)):
        try:
            return os.open(mount.mount_point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
    try:
        return detached_mount("cgroup2")
    except OSError as error:
        raise ParedownError(f"cannot open a cgroup2 hierarchy: {error.strerror}") from error


def _attach_lookups(loaded: Object) -> None:
    calls = loaded.map("calls")
    for index, entry in lookup_entries():
        calls.update(index, entry)
    loaded.attach("looked_up")


def _attach_calls(loaded: Object) -> None:
    loaded.attach("system_call")


def _capabilities() -> Group:
    """By the tracepoint, or by the function that it stands in (cap_capable(), Linux 6.14)."""
    try:
        has_tracepoint = b"\0btf_trace_cap_capable\0" in BTF.read_bytes()
    except OSError:
        has_tracepoint = True  # attaching it will tell
    if has_tracepoint:
        return Group(("capabilities",), ("capability_asked",), _attach_capabilities)
    program = "capability_returned"
    return Group(("capabilities",), (program,), lambda loaded: loaded.attach(program))


def _attach_capabilities(loaded: Object) -> None:
    ranges = _quiet_ranges()
    if not ranges:
        raise ParedownError(
            "cannot tell what the kernel asks without audit: it shows no addresses",
            hint="needs CAP_SYSLOG, and a kernel.kptr_restrict below 2",
        )
    quiet = loaded.map("quiet")
    for index, found in enumerate(ranges[:_MAX_QUIET]):
        quiet.update(index, found)
    loaded.attach("capability_asked")


def _quiet_ranges() -> list[_Range]:
    """Return where ``_QUIET`` lies, from each one's start to the next symbol's."""
    symbols = _KALLSYMS.read_bytes()
    found = []
    for match in _SYMBOL.finditer(symbols):
        start, end = int(match[1], 16), int(match[3], 16)
        if start < end:
            found.append(_Range(start, end))
    return found
