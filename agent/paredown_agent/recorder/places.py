"""Whether a path that a program named is the image's, or lies on something mounted over it."""

from __future__ import annotations

import os
from collections.abc import Collection

from paredown_agent.mountinfo import MountTable, is_below, read_mounts
from paredown_agent.recorder.messages import Event
from paredown_schemas.errors import ParedownError

_MAX_NAMESPACES = 256


class Places:
    """The mount tables of the namespaces met so far, each read again when the kernel changed it."""

    def __init__(self, devices: Collection[int]) -> None:
        """``devices`` are the watched superblocks, kept up to date by their owner."""
        self._devices = devices
        self._leaders: dict[int, int] = {}
        self._tables: dict[int, tuple[int, MountTable]] = {}

    def learn(self, leader: int) -> None:
        """Read the mounts of a session's first process, while it lives."""
        namespace = _namespace(leader)
        if namespace is not None:
            if len(self._leaders) >= _MAX_NAMESPACES:
                self._leaders.clear()
            self._leaders[namespace] = leader
            self._read(namespace, 0, leader)

    def in_image(self, event: Event) -> str | None:
        """Return the path inside the superblock that a look-up asked for; None if it leads off it.

        By what is mounted where, and not through symlinks. Where nobody is left who could say
        what is mounted, as if nothing were.
        """
        path = _plain(event.path)
        table = self._table(event)
        if event.device not in self._devices:
            return None
        return path if table is None or event.truncated else _locate(table, path, event.device)

    def _table(self, event: Event) -> MountTable | None:
        changes, table = self._tables.get(event.inode, (-1, None))
        if changes == event.mount:
            return table
        # A process that has called chroot(2) sees the mounts below its own root only.
        leader = self._leaders.get(event.inode)
        for pid in (leader, event.pid):
            if pid is not None and _namespace(pid) == event.inode:
                self._read(event.inode, event.mount, pid)
                break
        return self._tables.get(event.inode, (0, None))[1]

    def _read(self, namespace: int, changes: int, pid: int) -> None:
        try:
            table = read_mounts(pid)
        except ParedownError:
            return
        if len(self._tables) >= _MAX_NAMESPACES:
            self._tables.clear()
        self._tables[namespace] = (changes, table)


def _namespace(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except OSError:
        return None


def _plain(path: str) -> str:
    """Without empty components and "."; a ".." is the image's to resolve, but at the root."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    while parts[:1] == [".."]:
        del parts[0]
    return "/" + "/".join(parts)


def _locate(table: MountTable, path: str, device: int) -> str | None:
    shown = [m for m in table.mounts if m.device == device and is_below(path, m.root)]
    if not shown:
        return path  # of a part that this namespace does not show
    # The whole of it rather than a part of it, bound elsewhere.
    mount = min(shown, key=lambda mount: (len(mount.root), len(mount.mount_point)))
    rest = path if mount.root == "/" else path[len(mount.root) :]
    found = table.locate((mount.mount_point.rstrip("/") + rest).rstrip("/") or "/")
    if found is None:
        return path
    return found.path if found.mount.device == device else None
