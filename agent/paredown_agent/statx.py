"""statx(2), which alone tells the mount that a descriptor was reached through."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import NamedTuple

from paredown_agent import syscalls

_AT_EMPTY_PATH = 0x1000  # fcntl.h
# linux/stat.h
_BASIC_STATS = 0x7FF
_MNT_ID = 0x1000
_MNT_ID_UNIQUE = 0x4000
_WANTED = _BASIC_STATS | _MNT_ID
_WANTED_UNIQUE = _WANTED | _MNT_ID_UNIQUE
# mask, nlink, mode, inode, size, ctime, mtime, device, mount id
_FIELDS = struct.Struct("=I12xI8xHxxQQ48xqI4xqI4x8xIIQ")
_Buffer = ctypes.c_char * 256

# Without argtypes, whose checks take as long as the system call: they are int, char *, int,
# unsigned int and a structure.
_statx = ctypes.CDLL(None, use_errno=True).statx


class Status(NamedTuple):
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
    wanted = _WANTED_UNIQUE if unique else _WANTED
    buffer = _Buffer()
    if _statx(fd, b"", _AT_EMPTY_PATH, wanted, buffer) < 0:
        raise syscalls.last_error()
    fields = _FIELDS.unpack_from(buffer)
    mask, links, mode, inode, size, changed, changed_ns, modified, modified_ns = fields[:9]
    major, minor, mount = fields[9:]
    return Status(
        mode,
        links,
        size,
        changed * 1_000_000_000 + changed_ns,
        modified * 1_000_000_000 + modified_ns,
        os.makedev(major, minor),
        inode,
        mount,
        bool(mask & _MNT_ID_UNIQUE),
    )
