"""Where an open file lies inside its superblock, whatever mount it was reached through.

/proc/self/fd shows the name in the mount namespace of whoever opened the file, counted from that
namespace's root. A bind mount shows a part of a superblock elsewhere; mountinfo says which part.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import os
from typing import NamedTuple

from paredown_agent import statx
from paredown_agent.mountinfo import Mount, is_below, path_in_superblock, read_mounts
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name

DELETED = " (deleted)"
_MAX_MOUNTS = 4096


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
        self._gone: set[int] = set()  # nobody is left to ask for these

    def learn(self, pid: int | str) -> bool:
        """Read the mounts that a process sees, while it lives; say whether it did."""
        try:
            root = decode_name(os.readlink(f"/proc/{pid}/root".encode()))
            table = read_mounts(pid)
        except (OSError, ParedownError):
            return False
        # Mount points are counted from the process's own root, names of descriptors are not.
        prefix = root.rstrip("/")
        for mount in table.mounts:
            point = (prefix + mount.mount_point).rstrip("/") or "/"
            self._learned[mount.id] = dataclasses.replace(mount, mount_point=point)
        return True

    def keep_root(self, mount: int, root: str) -> None:
        """Keep what the kernel side told: the path inside its superblock that a mount shows."""
        _bound(self._roots)
        self._roots[mount] = root

    def forget(self) -> None:
        """Ask again for every mount: before Linux 6.8 the number of one may name another."""
        self._mounts.clear()

    def find(self, fd: int, status: statx.Status, pids: tuple[int, ...]) -> tuple[FoundPath, ...]:
        """Return where an open file lies: one path, or two where its name allows two readings.

        ``pids`` are processes to ask for mounts that are not known yet. Nothing is returned for a
        path of 4,096 bytes and more, which the kernel does not print.
        """
        mount = self.mount(fd, status, pids)
        try:
            name = decode_name(os.readlink(b"%d" % fd, dir_fd=_descriptors(os.getpid())))
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return ()
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
        if status.mount in self._gone:
            return None
        number = statx.status(fd, unique=False).mount if status.unique else status.mount
        # What was learned before may be of another mount with this number: the last resort.
        found = self._learned.pop(number, None)
        processes: tuple[int | str, ...] = (*pids, "self")
        for pid in processes:
            if self.learn(pid) and number in self._learned:
                found = self._learned[number]
                break
        if found is not None:
            _bound(self._mounts)
            _bound(self._learned)
            self._mounts[status.mount] = self._learned[number] = found
        elif status.unique and not any(os.path.exists(f"/proc/{pid}") for pid in pids):
            _bound(self._gone)
            self._gone.add(status.mount)
        return found


@functools.cache
def _descriptors(_process: int) -> int:
    """Return the open /proc/self/fd of this process: walking there takes as long as the rest."""
    return os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _bound(table: dict[int, Mount] | dict[int, str] | set[int]) -> None:
    if len(table) >= _MAX_MOUNTS:
        table.clear()


def _readings(name: str, links: int) -> tuple[str, ...]:
    """The kernel marks a name that is gone by a suffix, which a real name may have as well."""
    stripped = name.removesuffix(DELETED)
    return (stripped,) if links == 0 else (stripped, name)


def _place(mount: Mount | None, root: str | None, name: str) -> FoundPath:
    if mount is not None and mount.root == mount.mount_point == "/":
        return FoundPath(name)
    if mount is not None and is_below(name, mount.mount_point):
        return FoundPath(path_in_superblock(mount, name))
    root = root if mount is None else mount.root
    if root is None:
        # Of a mount that nobody knows only the last component is certain.
        return FoundPath("/" + name.rpartition("/")[2], truncated=True)
    # Detached since: the kernel counts from the mount's own root.
    return FoundPath((root.rstrip("/") + name).rstrip("/") or "/")
