"""System calls by number: what they are called, and which of them look up a path.

The numbers are those of arch/x86/entry/syscalls/syscall_{64,32}.tbl, arch/arm/tools/syscall.tbl and
include/uapi/asm-generic/unistd.h. Which argument is the path is the call's manual page's to say.
"""

from __future__ import annotations

import ctypes
import functools
import platform
from collections.abc import Iterator
from typing import NamedTuple

from paredown_schemas.trace import LookupCall

# What agent/bpf/paredown.h shares.
NATIVE, COMPAT, X32 = 0, 1, 2  # enum abi
LOOKUPS: tuple[LookupCall, ...] = ("stat", "access", "readlink", "list", "open", "exec")
_NUMBERS = 1024
_NO_ARGUMENT = 255

_ARCHITECTURES = {
    ("x86_64", NATIVE): "x86_64",
    ("x86_64", COMPAT): "i386",
    ("x86_64", X32): "x32",
    ("aarch64", NATIVE): "aarch64",
    ("aarch64", COMPAT): "arm",
}
# include/uapi/linux/audit.h, AUDIT_ARCH_*, which libseccomp takes as they are.
_TOKENS = {
    "x86_64": 0xC000003E,
    "i386": 0x40000003,
    "x32": 0x4000003E,
    "aarch64": 0xC00000B7,
    "arm": 0x40000028,
}


class Call(NamedTuple):
    """A system call that looks up a path; ``numbers`` are in the order of ``TABLES``."""

    name: str
    lookup: LookupCall
    path: int | None  # which argument names it; None: it lists what a descriptor leads to
    directory: int | None  # which argument is the descriptor that names count from
    numbers: tuple[int | None, ...]


TABLES = ("x86_64", "i386", "aarch64", "arm")
CALLS = (
    Call("stat", "stat", 0, None, (4, 106, None, 106)),
    Call("lstat", "stat", 0, None, (6, 107, None, 107)),
    Call("stat64", "stat", 0, None, (None, 195, None, 195)),
    Call("lstat64", "stat", 0, None, (None, 196, None, 196)),
    Call("oldstat", "stat", 0, None, (None, 18, None, None)),
    Call("oldlstat", "stat", 0, None, (None, 84, None, None)),
    Call("newfstatat", "stat", 1, 0, (262, None, 79, None)),
    Call("fstatat64", "stat", 1, 0, (None, 300, None, 327)),
    Call("statx", "stat", 1, 0, (332, 383, 291, 397)),
    Call("statfs", "stat", 0, None, (137, 99, 43, 99)),
    Call("statfs64", "stat", 0, None, (None, 268, None, 266)),
    Call("name_to_handle_at", "stat", 1, 0, (303, 341, 264, 370)),
    Call("access", "access", 0, None, (21, 33, None, 33)),
    Call("faccessat", "access", 1, 0, (269, 307, 48, 334)),
    Call("faccessat2", "access", 1, 0, (439, 439, 439, 439)),
    Call("chdir", "access", 0, None, (80, 12, 49, 12)),
    Call("inotify_add_watch", "access", 1, None, (254, 292, 27, 317)),
    Call("readlink", "readlink", 0, None, (89, 85, None, 85)),
    Call("readlinkat", "readlink", 1, 0, (267, 305, 78, 332)),
    Call("getdents", "list", None, 0, (78, 141, None, 141)),
    Call("getdents64", "list", None, 0, (217, 220, 61, 217)),
    Call("open", "open", 0, None, (2, 5, None, 5)),
    Call("creat", "open", 0, None, (85, 8, None, 8)),
    Call("openat", "open", 1, 0, (257, 295, 56, 322)),
    Call("openat2", "open", 1, 0, (437, 437, 437, 437)),
    Call("execve", "exec", 0, None, (59, 11, 221, 11)),
    Call("execveat", "exec", 1, 0, (322, 358, 281, 387)),
)


class CallEntry(ctypes.Structure):
    """What the kernel side knows of a system call (struct call)."""

    _fields_ = (
        ("lookup", ctypes.c_uint8),
        ("path", ctypes.c_uint8),
        ("directory", ctypes.c_uint8),
        ("pad", ctypes.c_uint8),
    )


def lookup_entries() -> Iterator[tuple[int, CallEntry]]:
    """Yield this machine's calls that look up a path, with their place in the kernel's table."""
    for abi in (NATIVE, COMPAT):
        table = TABLES.index(architecture(abi))
        for call in CALLS:
            number = call.numbers[table]
            if number is not None:
                yield (
                    abi * _NUMBERS + number,
                    CallEntry(
                        LOOKUPS.index(call.lookup) + 1,
                        _NO_ARGUMENT if call.path is None else call.path,
                        _NO_ARGUMENT if call.directory is None else call.directory,
                    ),
                )


def architecture(abi: int) -> str:
    """Return whose table the numbers of an ``enum abi`` are of."""
    machine = platform.machine()
    return _ARCHITECTURES.get((machine, abi), machine)


def call_name(abi: int, number: int) -> str | None:
    """Return what libseccomp calls a system call; None without it, or where it knows none."""
    library, token = _libseccomp(), _TOKENS.get(architecture(abi))
    if library is None or token is None:
        return None
    found = library.seccomp_syscall_resolve_num_arch(token, number)
    if not found:
        return None
    try:
        return ctypes.string_at(found).decode("ascii", "replace")
    finally:
        _free()(found)


@functools.cache
def _libseccomp() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
        function = library.seccomp_syscall_resolve_num_arch
    except (OSError, AttributeError):
        return None
    function.restype, function.argtypes = ctypes.c_void_p, [ctypes.c_uint32, ctypes.c_int]
    return library


@functools.cache
def _free() -> ctypes._NamedFuncPointer:
    function = ctypes.CDLL(None).free
    function.restype, function.argtypes = None, [ctypes.c_void_p]
    return function
