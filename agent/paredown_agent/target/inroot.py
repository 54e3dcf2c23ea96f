"""Programs looked up in a container's root as its own processes would: links never lead outside."""

from __future__ import annotations

import contextlib
import os
import stat
import struct

from paredown_agent import syscalls
from paredown_agent.target.base import CommandNotStartedError
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import encode_name, escape_name

# include/uapi/linux/openat2.h (Linux 5.6)
_RESOLVE_IN_ROOT = 0x10
_HOW = struct.Struct("=QQQ")


def check_program(root: int, name: str, path: str) -> None:
    """Look for ``name`` below the open directory ``root``, in the directories of ``path``.

    Raises:
        CommandNotStartedError: it is not there (127), or is nothing that can be executed (126).
    """
    places = [""] if "/" in name else path.split(":")
    found = [_mode(root, os.path.join(place, name)) for place in places]
    if any(mode is not None and stat.S_ISREG(mode) and mode & 0o111 for mode in found):
        return
    if any(mode is not None for mode in found):
        raise CommandNotStartedError(f"cannot start {escape_name(name)}: not executable", 126)
    raise CommandNotStartedError(f"cannot start {escape_name(name)}: not found", 127)


def check_tree(root: int, what: str) -> None:
    """Look for what a runtime would be led astray by below the open directory ``root``.

    It makes links in /dev by name, from outside, where a link leads to the host's directories; and
    it reads the accounts, at a FIFO for ever.

    Raises:
        ParedownError: there is such a thing; ``what`` begins the message.
    """
    for name in ("dev", "proc", "sys"):
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISDIR(os.lstat(name, dir_fd=root).st_mode):
                raise ParedownError(f"{what}: its /{name} is no directory")
    for name in ("etc/passwd", "etc/group"):
        mode = _mode(root, name)
        if mode is not None and not stat.S_ISREG(mode):
            raise ParedownError(f"{what}: its /{name} is no regular file")


def _mode(root: int, path: str) -> int | None:
    how = _HOW.pack(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
    try:
        descriptor = syscalls.call("openat2", root, encode_name(path), how, len(how))
    except OSError:
        return None
    try:
        return os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
