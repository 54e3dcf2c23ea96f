"""Opening what lies in a directory, and nothing that a link or ".." leads to, by openat2(2)."""

from __future__ import annotations

import ctypes
import functools
import os

# include/uapi/linux/openat2.h; the number is the same on every architecture of Linux 5.6 but alpha.
_OPENAT2 = 437
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_AT_FDCWD = -100


class _How(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def open_beneath(directory: int, name: bytes, flags: int, mode: int = 0) -> int:
    """Open ``name``, one component, in ``directory``; return the descriptor.

    Without openat2(2), which older kernels have not and older seccomp filters refuse, O_NOFOLLOW
    does the same for every name that is one component.

    Raises:
        OSError: as open(2) does; ELOOP or ENOTDIR for a symlink, EXDEV for what lies elsewhere.
    """
    if _has_openat2():
        return _openat2(directory, name, flags, mode)
    return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=directory)


@functools.cache
def _has_openat2() -> bool:
    try:
        os.close(_openat2(_AT_FDCWD, b".", os.O_PATH, 0))
    except OSError:
        return False
    return True


def _openat2(directory: int, name: bytes, flags: int, mode: int) -> int:
    how = _How(flags | os.O_CLOEXEC, mode, _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    number = ctypes.c_long(_OPENAT2)
    result = int(_syscall()(number, ctypes.c_long(directory), name, ctypes.byref(how), size))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


@functools.cache
def _syscall() -> ctypes._NamedFuncPointer:
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    return function
