"""statx(2), which alone tells the mount that a descriptor was reached through."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import struct
from ctypes import c_char_p, c_int, c_uint, c_void_p

_AT_EMPTY_PATH = 0x1000  # fcntl.h
# linux/stat.h
_BASIC_STATS = 0x7FF
_MNT_ID = 0x1000
_MNT_ID_UNIQUE = 0x4000
# mask, nlink, mode, inode, size, ctime, mtime, device, mount id
_FIELDS = struct.Struct("=I12xI8xHxxQQ48xqI4xqI4x8xIIQ")
_SIZE = 256

_statx = ctypes.CDLL(None, use_errno=True).statx
_statx.argtypes = [c_int, c_char_p, c_int, c_uint, c_void_p]


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """What statx tells of an open file. Times are ns since the epoch, ``device`` is a dev_t."""

    mode: int
    links: int
    size: int
    ctime: int
    mtime: int
    device: int
    inode: int
    mount: int
    unique: bool  # ``mount`` is never used again (Linux 6.8); else it is mountinfo's number


def status(fd: int, *, unique: bool = True) -> Status:
    """Return the status of an open descriptor, of O_PATH too.

    Raises:
        OSError: as the kernel says.
    """
    buffer = ctypes.create_string_buffer(_SIZE)
    wanted = _BASIC_STATS | _MNT_ID | (_MNT_ID_UNIQUE if unique else 0)
    if _statx(fd, b"", _AT_EMPTY_PATH, wanted, buffer) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    mask, links, mode, inode, size, *times, major, minor, mount = _FIELDS.unpack_from(buffer)
    return Status(
        mode=mode,
        links=links,
        size=size,
        ctime=times[0] * 1_000_000_000 + times[1],
        mtime=times[2] * 1_000_000_000 + times[3],
        device=os.makedev(major, minor),
        inode=inode,
        mount=mount,
        unique=bool(mask & _MNT_ID_UNIQUE),
    )
