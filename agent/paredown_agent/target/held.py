"""What a process is and holds, from /proc: program, mappings, directories, open files.

Each thread counts that has a table of open files or directories of its own. What no link of /proc
leads to is told by name alone (files registered with io_uring) or not at all (descriptors on their
way through a socket).
"""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from paredown_agent import statx, syscalls
from paredown_agent.mountinfo import Mount, is_below, path_in_superblock, unescape
from paredown_agent.recorder.classify import open_use, read_head
from paredown_agent.recorder.paths import FoundPath, Paths
from paredown_schemas.names import decode_name
from paredown_schemas.trace import How

_KCMP_FILES, _KCMP_FS = 2, 3  # include/uapi/linux/kcmp.h
_RING = "anon_inode:[io_uring]"
_REGISTERED = re.compile(rb"^ *\d+: (/.*)$", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """One use of one path; ``status`` is None where only the name could be had."""

    path: FoundPath
    how: How
    status: statx.Status | None


class Holdings:
    """Reads what processes hold on one superblock."""

    def __init__(self, mount: Mount, first: int) -> None:
        """``mount`` is of the superblock; ``first`` knows mounts that others may have left."""
        self._mount = mount
        self._first = first
        self._paths = Paths()
        self._others: set[int] = set()  # mounts that are none of the superblock's
        self.unnamed = 0  # files whose path is too long for the kernel to print

    def read(self, pid: int) -> tuple[str | None, list[Held]]:
        """Return a process's program, where it is known for certain, and all that it holds.

        A process that ends meanwhile holds nothing.
        """
        threads = _threads(pid)
        leader = next((thread for thread in threads if _alive(thread)), pid)
        program = list(self._at(f"/proc/{leader}/exe", "exec", leader))
        certain = len(program) == 1 and not program[0].path.truncated
        exe = program[0].path.path if certain else None
        found = program
        for name in _list(f"/proc/{leader}/map_files"):
            mapped = self._at(f"/proc/{leader}/map_files/{name}", "library", leader)
            found += [each for each in mapped if each.path.path != exe]  # which is mapped as well
        for thread in threads:
            for link, how in _own_tables(thread, leader):
                found += self._at(link, how, thread)
        return exe, found

    def _at(self, link: str, how: How, pid: int) -> Iterator[Held]:
        try:
            fd = os.open(link, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        try:
            status = statx.status(fd)
            if self._is_on(fd, status, pid):
                used = _use(link, how, status)
                for path in self._find(fd, status, pid):
                    yield Held(path, used, status)
            elif "/fd/" in link and os.readlink(link) == _RING:
                yield from self._registered(link, pid)
        except OSError:
            return  # it ended
        finally:
            os.close(fd)

    def _is_on(self, fd: int, status: statx.Status, pid: int) -> bool:
        """By mount: an overlay's files may have device numbers of their own."""
        if status.mount in self._others:
            return False
        mount = self._paths.mount(fd, status, (pid, self._first))
        device = status.device if mount is None else mount.device
        if device != self._mount.device:
            self._others.add(status.mount)
            return False
        return True

    def _find(self, fd: int, status: statx.Status, pid: int) -> tuple[FoundPath, ...]:
        found = self._paths.find(fd, status, (pid, self._first))
        self.unnamed += not found
        return found

    def _registered(self, link: str, pid: int) -> Iterator[Held]:
        """What a ring's fdinfo names by whole paths (io_uring/fdinfo.c; older kernels don't)."""
        text = Path(link.replace("/fd/", "/fdinfo/")).read_bytes()
        mounts = list(self._paths.learn(pid).values())
        files = text.partition(b"UserFiles:")[2].partition(b"UserBufs:")[0]
        for escaped in _REGISTERED.findall(files):
            name = decode_name(unescape(escaped))
            above = [mount for mount in mounts if is_below(name, mount.mount_point)]
            mount = max(reversed(above), key=lambda each: len(each.mount_point), default=None)
            if mount is not None and mount.device == self._mount.device:
                yield Held(FoundPath(path_in_superblock(mount, name)), "read", None)


def _threads(pid: int) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return []


def _alive(thread: int) -> bool:
    """Say whether it has a program: a leader that ended before its threads has none."""
    try:
        os.readlink(f"/proc/{thread}/exe")
    except OSError:
        return False
    return True


def _own_tables(thread: int, leader: int) -> Iterator[tuple[str, How]]:
    """What a thread does not share with the leader, and all that the leader has."""
    if thread == leader or not _share(thread, leader, _KCMP_FS):
        yield f"/proc/{thread}/cwd", "directory"
        yield f"/proc/{thread}/root", "directory"
    if thread == leader or not _share(thread, leader, _KCMP_FILES):
        for name in _list(f"/proc/{thread}/fd"):
            yield f"/proc/{thread}/fd/{name}", "read"


def _share(thread: int, leader: int, table: int) -> bool:
    """Ask kcmp(2); what it cannot tell, as in a kernel without it, is read twice."""
    try:
        return syscalls.call("kcmp", thread, leader, table, 0, 0) == 0
    except OSError:
        return False


def _list(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _use(link: str, how: How, status: statx.Status) -> How:
    if stat.S_ISDIR(status.mode):
        return "directory"
    if how == "read" and os.lstat(link).st_mode & stat.S_IWUSR:
        return "write"
    if how == "library":
        return _mapped_use(link) if stat.S_ISREG(status.mode) else "read"
    return how


def _mapped_use(link: str) -> How:
    try:
        fd = os.open(link, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return "read"
    try:
        return open_use(read_head(fd))
    finally:
        os.close(fd)
