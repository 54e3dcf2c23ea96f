"""Where an open file lies inside its superblock, whatever mount it was reached through.

/proc/self/fd shows the name in the mount namespace of whoever opened the file, counted from that
namespace's root. A bind mount shows a part of a superblock elsewhere; mountinfo says which part.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os

from paredown_agent import statx
from paredown_agent.mountinfo import Mount, is_below, path_in_superblock, read_mounts
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name, encode_name

DELETED = " (deleted)"


@dataclasses.dataclass(frozen=True, slots=True)
class FoundPath:
    """A path inside a superblock; ``truncated`` if it lacks its beginning."""

    path: str
    truncated: bool = False


class Paths:
    """The mounts met so far. Nothing of /proc is read for a mount that is known."""

    def __init__(self) -> None:
        self._mounts: dict[int, Mount] = {}  # by the mount id of statx
        self._learned: dict[int, Mount] = {}  # by the mount id of mountinfo

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

    def forget(self) -> None:
        """Ask again for every mount: before Linux 6.8 the number of one may name another."""
        self._mounts.clear()

    def find(self, fd: int, status: statx.Status, pids: tuple[int, ...]) -> tuple[FoundPath, ...]:
        """Return where an open file lies: one path, or two where its name allows two readings.

        ``pids`` are processes to ask for mounts that are not known yet. Nothing is returned for a
        path of 4,096 bytes and more, which the kernel does not print.
        """
        try:
            name = decode_name(os.readlink(b"/proc/self/fd/%d" % fd))
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return ()
        mount = self._mounts.get(status.mount) or self._ask(fd, status, pids)
        if mount is None:
            return (_guess(name, status, pids),)
        return tuple(_place(mount, reading) for reading in _readings(name, status.links))

    def _ask(self, fd: int, status: statx.Status, pids: tuple[int, ...]) -> Mount | None:
        number = statx.status(fd, unique=False).mount if status.unique else status.mount
        # What was learned before may be of another mount with this number: the last resort.
        found = self._learned.pop(number, None)
        processes: tuple[int | str, ...] = (*pids, "self")
        for pid in processes:
            if self.learn(pid) and number in self._learned:
                found = self._learned[number]
                break
        if found is not None:
            self._mounts[status.mount] = self._learned[number] = found
        return found


def _readings(name: str, links: int) -> tuple[str, ...]:
    """The kernel marks a name that is gone by a suffix, which a real name may have as well."""
    if not name.endswith(DELETED):
        return (name,)
    stripped = name.removesuffix(DELETED)
    return (stripped,) if links == 0 else (stripped, name)


def _guess(name: str, status: statx.Status, pids: tuple[int, ...]) -> FoundPath:
    """Of a mount that is gone, with its namespace, the kernel names a path below its root.

    Most often that is the superblock's root, as another process sees it too. Otherwise only the
    last component is certain.
    """
    for pid in pids:
        with contextlib.suppress(OSError, ParedownError):
            seen = os.stat(f"/proc/{pid}/root".encode() + encode_name(name), follow_symlinks=False)
            if (seen.st_dev, seen.st_ino) == (status.device, status.inode):
                found = read_mounts(pid).locate(name)
                return FoundPath(name if found is None else found.path)
    return FoundPath("/" + name.rpartition("/")[2], truncated=True)


def _place(mount: Mount, name: str) -> FoundPath:
    if is_below(name, mount.mount_point):
        return FoundPath(path_in_superblock(mount, name))
    # Detached since: the kernel counts from the mount's own root.
    return FoundPath((mount.root.rstrip("/") + name).rstrip("/") or "/")
