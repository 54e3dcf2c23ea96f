"""The kernel's tracepoints, opened whether or not anybody has mounted tracefs.

They are read through a tracefs that is mounted nowhere: a descriptor of fsmount(2) that no mount
table shows (Linux 5.2, include/uapi/linux/mount.h). Where that is refused, one that is mounted.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from paredown_agent import syscalls
from paredown_schemas.errors import ParedownError

_PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_PATH = "events/{category}/{name}/id"
_HINT = "run as root, or grant CAP_SYS_ADMIN; else: mount -t tracefs nodev /sys/kernel/tracing"

_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_FSCONFIG_CMD_CREATE = 6
# include/uapi/linux/perf_event.h
_PERF_TYPE_TRACEPOINT = 2
_PERF_FLAG_FD_CLOEXEC = 8


class _PerfEventAttr(ctypes.Structure):
    """As far as it is set here: PERF_ATTR_SIZE_VER0 is 64 bytes."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 6),
    )


class Tracepoints:
    """A tracefs, until ``close``.

    Raises:
        ParedownError: there is none to be had.
    """

    def __init__(self) -> None:
        self._directory = _open_directory()

    def exists(self, category: str, name: str) -> bool:
        """Say whether this kernel has the tracepoint."""
        try:
            self._number(category, name)
        except FileNotFoundError:
            return False
        return True

    def open(self, category: str, name: str) -> int:
        """Return a perf event of the tracepoint on every CPU, to be closed by the caller.

        Raises:
            ParedownError: there is no such tracepoint, or the kernel refuses.
        """
        try:
            attr = _PerfEventAttr(
                _PERF_TYPE_TRACEPOINT,
                ctypes.sizeof(_PerfEventAttr),
                self._number(category, name),
            )
            # A BPF program on one CPU's event runs on all of them: perf_event_set_bpf_prog().
            arguments = (ctypes.byref(attr), -1, 0, -1, _PERF_FLAG_FD_CLOEXEC)
            return syscalls.call("perf_event_open", *arguments)
        except OSError as error:
            raise ParedownError(
                f"cannot open tracepoint {category}:{name}: {error.strerror}",
                hint="needs CAP_PERFMON or CAP_SYS_ADMIN" if _is_refusal(error) else "",
            ) from error

    def close(self) -> None:
        """Let go of it; open perf events stay."""
        os.close(self._directory)

    def _number(self, category: str, name: str) -> int:
        path = _PATH.format(category=category, name=name)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
        with open(fd, "rb") as file:
            return int(file.read())


def _open_directory() -> int:
    try:
        return detached_mount("tracefs")
    except OSError as error:
        for place in _mounted():
            return os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        raise ParedownError(
            f"cannot open tracefs: {error.strerror}, and none is mounted",
            hint=_HINT if _is_refusal(error) else "needs a kernel with CONFIG_FTRACE",
        ) from error


def detached_mount(fstype: str) -> int:
    """Return the root of a kernel filesystem that is mounted nowhere; raises OSError."""
    context = syscalls.call("fsopen", fstype.encode(), _FSOPEN_CLOEXEC)
    try:
        syscalls.call("fsconfig", context, _FSCONFIG_CMD_CREATE, None, None, 0)
        return syscalls.call("fsmount", context, _FSMOUNT_CLOEXEC, 0)
    finally:
        os.close(context)


def _mounted() -> Iterator[Path]:
    for place in _PLACES:
        try:
            if (place / "events").is_dir():
                yield place
        except PermissionError:
            continue


def _is_refusal(error: OSError) -> bool:
    return error.errno in (errno.EPERM, errno.EACCES)
