"""What the BPF programs tell: the messages of their ring buffer, in Python's types.

The layouts are those of agent/bpf/paredown.h.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
from ctypes import c_int64, c_uint32, c_uint64

from paredown_schemas.names import decode_name

EVENT_SESSION, EVENT_PROGRAM, EVENT_FILE, EVENT_MOUNT, EVENT_IDS = 1, 2, 3, 4, 5
EVENT_PORT, EVENT_SYSCALL, EVENT_CAPABILITY, EVENT_LOOKUP = 6, 7, 8, 9
USE_EXEC, USE_INTERPRETER, USE_LOADER, USE_READ, USE_WRITE, USE_SCRIPT = 1, 2, 3, 4, 5, 6
_TRUNCATED = 1


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


_NAMES = ctypes.sizeof(_Head)


def read_message(raw: bytes) -> Event:
    """Return a message as the kernel side wrote it."""
    head = _Head.from_buffer_copy(raw)
    names = raw[_NAMES : _NAMES + head.length].split(b"\0")[:-1]
    return Event(
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


def kernel_device(device: int) -> int:
    """Return a dev_t as the kernel has it in s_dev."""
    return os.major(device) << 20 | os.minor(device)


def _user_device(device: int) -> int:
    return os.makedev(device >> 20, device & 0xFFFFF)
