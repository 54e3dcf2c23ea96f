"""System calls: those that no C library wraps, by their numbers, and how they fail."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
from types import MappingProxyType

# arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h
_NUMBERS = MappingProxyType(
    {
        "kcmp": {"x86_64": 312, "aarch64": 272},
        "perf_event_open": {"x86_64": 298, "aarch64": 241},
        "bpf": {"x86_64": 321, "aarch64": 280},
        "fsopen": {"x86_64": 430, "aarch64": 430},
        "fsconfig": {"x86_64": 431, "aarch64": 431},
        "fsmount": {"x86_64": 432, "aarch64": 432},
        "openat2": {"x86_64": 437, "aarch64": 437},
    }
)


def call(name: str, *arguments: object) -> int:
    """Make a system call with integers, bytes and ctypes pointers; return its result.

    Raises:
        OSError: it failed; ENOSYS on an architecture whose numbers are not known here.
    """
    number = _NUMBERS[name].get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return check(int(_syscall()(ctypes.c_long(number), *map(_argument, arguments))))


def check(result: int) -> int:
    """Return what a function of the C library returned, unless that is negative; raises OSError."""
    if result < 0:
        raise last_error()
    return result


def last_error() -> OSError:
    """Return why a function of a ``CDLL(…, use_errno=True)`` has just failed."""
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


def _argument(value: object) -> object:
    # syscall(2) takes words: an int would leave the upper half of its register undefined.
    return ctypes.c_long(value) if isinstance(value, int) else value


@functools.cache
def _syscall() -> ctypes._NamedFuncPointer:
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    return function
