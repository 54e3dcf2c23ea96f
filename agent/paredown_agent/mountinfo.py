"""Mounts of a mount namespace, from /proc/PID/mountinfo (proc_pid_mountinfo(5)).

Names are in the memory form of ``paredown_schemas.names``, the kernel's octal escapes undone.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path

from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name

_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclasses.dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo."""

    id: int
    parent: int
    device: int  # dev_t of the superblock as os.makedev has it, equal to st_dev on most systems
    root: str  # path inside the superblock that is mounted
    mount_point: str  # relative to the root directory of the process whose table this is
    fstype: str
    source: str
    super_options: str


@dataclasses.dataclass(frozen=True, slots=True)
class Located:
    """Where a path lies: the mount that it is reached through, and its path in the superblock."""

    mount: Mount
    path: str


@dataclasses.dataclass(frozen=True)
class MountTable:
    """The mounts that one process sees."""

    mounts: tuple[Mount, ...]

    @functools.cached_property
    def by_id(self) -> Mapping[int, Mount]:
        """Return the mounts by mount id, as /proc/PID/fdinfo names them."""
        return {mount.id: mount for mount in self.mounts}

    def locate(self, path: str) -> Located | None:
        """Return the mount that an absolute path crosses into last, and its path below that.

        ``path`` has no symlinks, "." or ".."; it need not exist. None where the table has no root
        mount (a process whose root directory is no mount point).
        """
        mount = self._root
        if mount is None:
            return None
        while (below := self._next(mount, path)) is not None:
            mount = below
        return Located(mount, path_in_superblock(mount, path))

    @functools.cached_property
    def _root(self) -> Mount | None:
        tops = [mount for mount in self.mounts if mount.mount_point == "/"]
        ids = {mount.id for mount in tops}
        lowest = (mount for mount in tops if mount.parent not in ids or mount.parent == mount.id)
        return next(lowest, None)

    @functools.cached_property
    def _children(self) -> Mapping[int, list[Mount]]:
        children: dict[int, list[Mount]] = {}
        for mount in self.mounts:
            if mount.parent != mount.id:
                children.setdefault(mount.parent, []).append(mount)
        return children

    def _next(self, mount: Mount, path: str) -> Mount | None:
        """The nearest mount point on the way is crossed first: what it covers is not visible."""
        crossed = [
            child
            for child in self._children.get(mount.id, ())
            if is_below(path, child.mount_point) and is_below(child.mount_point, mount.mount_point)
        ]
        return min(crossed, key=lambda child: len(child.mount_point), default=None)


def is_below(path: str, directory: str) -> bool:
    """Say whether ``path`` is ``directory`` or lies in it, by components and not by prefix."""
    return directory in ("/", path) or path.startswith(directory + "/")


def path_in_superblock(mount: Mount, path: str) -> str:
    """Return the path inside the superblock of ``path``, which is reached through ``mount``."""
    rest = path if mount.mount_point == "/" else path[len(mount.mount_point) :]
    return (mount.root.rstrip("/") + rest).rstrip("/") or "/"


def read_mounts(pid: int | str = "self") -> MountTable:
    """Return the mount table that process ``pid`` sees.

    Raises:
        ParedownError: the process is gone, or may not be read.
    """
    try:
        return parse_mounts(Path(f"/proc/{pid}/mountinfo").read_bytes())
    except OSError as error:
        raise ParedownError(f"cannot read the mounts of process {pid}: {error.strerror}") from error


def parse_mounts(text: bytes) -> MountTable:
    """Return the mount table that ``text``, a mountinfo file's content, describes."""
    return MountTable(tuple(_parse(line) for line in text.split(b"\n") if line))


# The table is read at each change of it, and most of its lines are those of the last time.
@functools.lru_cache(maxsize=1024)
def _parse(line: bytes) -> Mount:
    fields = line.split(b" ")
    # Zero or more optional fields end at a lone hyphen.
    fstype, source, super_options = fields[fields.index(b"-", 6) + 1 :][:3]
    major, minor = fields[2].split(b":")
    return Mount(
        id=int(fields[0]),
        parent=int(fields[1]),
        device=os.makedev(int(major), int(minor)),
        root=_text(fields[3]),
        mount_point=_text(fields[4]),
        fstype=_text(fstype),
        source=_text(source),
        super_options=_text(super_options),
    )


def unescape(field: bytes) -> bytes:
    """Undo the octal escapes with which the kernel prints names in /proc (seq_file.c)."""
    return _OCTAL.sub(lambda code: bytes([int(code[1], 8)]), field)


def _text(field: bytes) -> str:
    return decode_name(unescape(field))
