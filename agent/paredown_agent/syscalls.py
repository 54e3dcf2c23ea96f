"""System calls that no C library wraps, by their numbers."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from types import MappingProxyType

# arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h
_NUMBERS = MappingProxyType(
    {
        "perf_event_open": {"x86_64": 298, "aarch64": 241},
        "bpf": {"x86_64": 321, "aarch64": 280},
        "fsopen": {"x86_64": 430, "aarch64": 430},
        "fsconfig": {"x86_64": 431, "aarch64": 431},
        "fsmount": {"x86_64": 432, "aarch64": 432},
    }
)


def call(name: str, *arguments: object) -> int:
    """Make a system call with integers, bytes and ctypes pointers; return its result.

    Raises:
        OSError: it failed.
    """
    number = _NUMBERS[name][platform.machine()]
    result = int(_syscall()(ctypes.c_long(number), *map(_argument, arguments)))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _argument(value: object) -> object:
    # syscall(2) takes words: an int would leave the upper half of its register undefined.
    return ctypes.c_long(value) if isinstance(value, int) else value


@functools.cache
def _syscall() -> ctypes._NamedFuncPointer:
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    return function
