"""Where an open file lies inside its superblock, whatever mount it was reached through.

/proc/self/fd shows the name in the mount namespace of whoever opened the file, counted from that
namespace's root. A bind mount shows a part of a superblock elsewhere; mountinfo says which part.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from paredown_agent import statx
from paredown_agent.mountinfo import Mount, is_below, path_in_superblock, read_mounts
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name

DELETED = " (deleted)"
_MAX_MOUNTS = 4096
_MAX_THREADS = 64
_MAX_RESIDENTS = 64


class FoundPath(NamedTuple):
    """A path inside a superblock; ``truncated`` if it lacks its beginning."""

    path: str
    truncated: bool = False


class Paths:
    """The mounts met so far. Nothing of /proc is read for a mount that is known."""

    def __init__(self) -> None:
        self._mounts: dict[int, Mount] = {}  # by the mount id of statx
        self._learned: dict[int, Mount] = {}  # by the mount id of mountinfo
        self._roots: dict[int, str] = {}  # by the mount id of statx: what part it shows
        self._residents: deque[int] = deque(maxlen=_MAX_RESIDENTS)
        self._asked: set[tuple[int, tuple[int, ...]]] = set()  # in vain, by the mount id of statx

    def learn(self, process: int | str) -> Mapping[int, Mount]:
        """Return the mounts that a process, or a thread ("PID/task/TID"), sees, by mountinfo's id.

        There are none when it has ended.
        """
        try:
            root = decode_name(os.readlink(f"/proc/{process}/root".encode()))
            table = read_mounts(process)
        except (OSError, ParedownError):
            return {}
        # Mount points are counted from the process's own root, names of descriptors are not.
        prefix = root.rstrip("/")
        found = {}
        for mount in table.mounts:
            point = (prefix + mount.mount_point).rstrip("/") or "/"
            found[mount.id] = dataclasses.replace(mount, mount_point=point)
        _bound(self._learned)
        self._learned.update(found)
        return found

    def keep_root(self, mount: int, root: str, process: int) -> None:
        """Keep what the kernel side told: the path inside its superblock that a mount shows.

        ``process`` has it as its root, the first to run a program there: in general one that
        outlives others of its mount namespace, who can be asked for them.
        """
        _bound(self._roots)
        self._roots[mount] = root
        self._residents.append(process)

    def forget(self) -> None:
        """Ask again for every mount: before Linux 6.8 the number of one may name another."""
        self._mounts.clear()

    def find(self, fd: int, status: statx.Status, pids: tuple[int, ...]) -> tuple[FoundPath, ...]:
        """Return where an open file lies: one path, or two where its name allows two readings.

        ``pids`` are processes to ask for mounts that are not known yet. Nothing is returned for a
        path of 4,096 bytes and more, which the kernel does not print.
        """
        name = _name(fd)
        if name is None:
            return ()
        mount = self._mounts.get(status.mount)
        if mount is not None and mount.root == mount.mount_point == "/":
            if not name.endswith(DELETED):
                return (FoundPath(name),)  # as nearly always: a container's root
        elif mount is None or not _holds(mount, name, certain=status.unique):
            mount = self._ask(fd, status, pids) or self._recall(fd, status, name)
            if mount is None:
                # Its namespace ended, perhaps after the name was read: now it is the mount's own.
                name = _name(fd) or name
        root = self._roots.get(status.mount)
        if not name.endswith(DELETED):
            return (_place(mount, root, name),)
        return tuple(_place(mount, root, reading) for reading in _readings(name, status.links))

    def mount(self, fd: int, status: statx.Status, pids: tuple[int, ...]) -> Mount | None:
        """Return the mount that an open file was reached through; None if nobody has it any more.

        Its mount point is counted from the root of its namespace, as names of descriptors are.
        """
        return self._mounts.get(status.mount) or self._ask(fd, status, pids)

    def _ask(self, fd: int, status: statx.Status, pids: tuple[int, ...]) -> Mount | None:
        """While ``fd`` is open no other mount can have the number of its mount."""
        if (status.mount, pids) in self._asked:
            return None
        number = _number(fd, status)
        for process in _processes(pids, self._residents):
            mount = self.learn(process).get(number)
            if mount is not None:
                _bound(self._mounts)
                self._mounts[status.mount] = mount
                return mount
        if status.unique:
            _bound(self._asked)
            self._asked.add((status.mount, pids))
        return None

    def _recall(self, fd: int, status: statx.Status, name: str) -> Mount | None:
        """Nobody has the mount any more; one that had its number once may be another."""
        mount = self._mounts.get(status.mount)
        if mount is None or not status.unique:
            mount = mount or self._learned.get(_number(fd, status))
            if mount is not None and (mount.mount_point == "/" or not _is_at(mount, name)):
                return None
        return mount


@functools.cache
def _descriptors(_process: int) -> int:
    """Return the open /proc/self/fd of this process: walking there takes as long as the rest."""
    return os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _name(fd: int) -> str | None:
    """Return what /proc/self/fd shows; None of a path that is too long for the kernel to print."""
    try:
        return decode_name(os.readlink(b"%d" % fd, dir_fd=_descriptors(os.getpid())))
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return None


def _holds(mount: Mount, name: str, *, certain: bool) -> bool:
    """Say whether what was learned of a mount still places ``name``: it may have moved, or gone.

    Not ``certain``: another mount may have got its number since. One of a whole superblock is a
    container's root, and outlives what is in it.
    """
    return _is_at(mount, name) and (certain or mount.root == "/")


def _is_at(mount: Mount, name: str) -> bool:
    return is_below(name, mount.mount_point)


def _number(fd: int, status: statx.Status) -> int:
    """Return the mount id as mountinfo has it."""
    return statx.status(fd, unique=False).mount if status.unique else status.mount


def _processes(pids: Sequence[int], residents: Iterable[int]) -> Iterator[int | str]:
    """Whom to ask: a thread may have a mount namespace of its own, or be all that is left."""
    yield from pids
    yield "self"
    yield from residents
    for pid in pids:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task")[:_MAX_THREADS]:
                if thread != str(pid):
                    yield f"{pid}/task/{thread}"


def _bound(table: dict[int, Mount] | dict[int, str] | set[tuple[int, tuple[int, ...]]]) -> None:
    if len(table) >= _MAX_MOUNTS:
        table.clear()


def _readings(name: str, links: int) -> tuple[str, ...]:
    """The kernel marks a name that is gone by a suffix, which a real name may have as well."""
    stripped = name.removesuffix(DELETED)
    return (stripped,) if links == 0 else (stripped, name)


def _place(mount: Mount | None, root: str | None, name: str) -> FoundPath:
    if mount is not None and _is_at(mount, name):
        return FoundPath(path_in_superblock(mount, name))
    root = root if mount is None else mount.root
    if root is None:
        # Of a mount that nobody knows only the last component is certain.
        return FoundPath("/" + name.rpartition("/")[2], truncated=True)
    # Detached since: the kernel counts from the mount's own root.
    return FoundPath((root.rstrip("/") + name).rstrip("/") or "/")
