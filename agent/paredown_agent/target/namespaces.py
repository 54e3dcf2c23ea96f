"""The system calls that make a container's surroundings, as thin wrappers over libc."""

from __future__ import annotations

import ctypes
import os
import select
import signal

from paredown_agent import syscalls

# include/uapi/linux/sched.h
CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
# include/uapi/linux/mount.h
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
# include/uapi/linux/prctl.h
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Leave the namespaces that ``flags`` names for new ones (unshare(2)); raises OSError."""
    syscalls.check(_libc.unshare(flags))


def set_namespace(descriptor: int, kind: int) -> None:
    """Enter the namespace of an open /proc/PID/ns file (setns(2)); raises OSError."""
    syscalls.check(_libc.setns(descriptor, kind))


def mount(source: str | None, target: str, fstype: str | None, flags: int, data: str = "") -> None:
    """Mount or remount (mount(2)); raises OSError."""
    syscalls.check(
        _libc.mount(
            None if source is None else os.fsencode(source),
            os.fsencode(target),
            None if fstype is None else fstype.encode(),
            ctypes.c_ulong(flags),
            os.fsencode(data),
        )
    )


def private_mounts() -> None:
    """Give this process a mount namespace whose mounts nobody else sees, nor keeps; OSError."""
    unshare(CLONE_NEWNS)
    mount(None, "/", None, MS_REC | MS_PRIVATE)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent, an open pidfd, dies (prctl(2))."""
    syscalls.check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    # It may have died before the line above: then no signal will come.
    if select.select([parent], [], [], 0)[0]:
        os.kill(os.getpid(), signal.SIGKILL)
