"""Directories that a container wrote to, as the upper layer of its overlay shows at the end.

No recorder sees mkdir(2), unlink(2) and rename(2), and watching them would cost. What they did is
in the upper layer (Documentation/filesystems/overlayfs.rst): whatever was made or changed, and a
whiteout for what was removed. A directory is copied there with its time of modification, and only
a change of its own entries makes that younger (ovl_copy_up_one() restores it in the parent). Where
somebody has set that time, the entries that are new here tell.
"""

from __future__ import annotations

import dataclasses
import os
import re
import time
from collections.abc import Iterator

from paredown_agent.mountinfo import Mount
from paredown_agent.recorder.base import Clock
from paredown_schemas.names import decode_name
from paredown_schemas.trace import Coverage, File, Record

_UPPER = re.compile(r"(?:^|,)upperdir=((?:\\.|[^,\\])+)")
_FLAGS = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Of everything in a layer, which a container may fill as it likes.
_MAX_ENTRIES = 200_000
_MAX_DEPTH = 200
_MAX_WRITTEN = 4096
# Filesystems take their times from a clock that is a tick behind, of 10 ms at most.
_TICK = 10_000_000


class TooMuchError(Exception):
    """A layer holds more than is looked at; the message says of what."""


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """A directory in which something was made, changed or removed; the path is the container's."""

    path: str
    status: os.stat_result


@dataclasses.dataclass(slots=True)
class _Level:
    fd: int
    path: str
    subdirectories: list[str]


def open_upper(mount: Mount | None) -> int | None:
    """Return a descriptor of the upper layer of an overlay; None if there is none, or out of reach.

    The caller closes it. It may be opened while the overlay is mounted, and read after.
    """
    found = _UPPER.search(mount.super_options) if mount and mount.fstype == "overlay" else None
    if found is None:
        return None
    try:
        return os.open(re.sub(r"\\(.)", r"\1", found[1]), os.O_PATH | _FLAGS)
    except OSError:
        return None


def written_directories(upper: int, since: int, *, ended: bool) -> list[Written]:
    """Return the directories that were written to since a time, in ns since the epoch.

    A directory that the run made counts. Nothing but directories is opened, and no link followed.
    Nobody changes what has ``ended``, but to remove it.

    Raises:
        TooMuchError: there is more than is looked at.
        OSError: it cannot be read, or was removed meanwhile.
    """
    walk = _Walk(since - _TICK, time.time_ns() if ended else None)
    try:
        walk.run(upper)
    finally:
        walk.close()
    if os.fstat(upper).st_nlink == 0:
        raise FileNotFoundError
    return walk.found


class UpperLayers:
    """The upper layers of the superblocks that are watched, by their dev_t."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._layers: dict[int, int | None] = {}

    def watch(self, device: int, mount: Mount | None) -> None:
        """Keep the upper layer of a superblock, which ``mount`` mounts; that of one before goes."""
        self.unwatch(device)
        self._layers[device] = open_upper(mount)

    def written(self, device: int, session: int, since: int, *, ended: bool) -> Iterator[Record]:
        """Yield the directories that a session's container wrote to, and whether that is all.

        ``since`` is when it began, in ns since the epoch: before that a runtime set it up. Once it
        has ``ended``, whatever changes is being removed.
        """
        layer, why = self._layers.get(device), ""
        try:
            if layer is None:
                why = "no upper layer of an overlay is in reach"
            else:
                found = written_directories(layer, since, ended=ended)
                yield from (self._record(written, session) for written in found)
        except TooMuchError as error:
            why = str(error)
        except OSError:
            why = "the upper layer was removed with the container"
        yield Coverage("directories", recorded=not why, why=why, session=session)

    def unwatch(self, device: int) -> None:
        """Let go of a superblock's."""
        layer = self._layers.pop(device, None)
        if layer is not None:
            os.close(layer)

    def close(self) -> None:
        """Let go of all."""
        for device in list(self._layers):
            self.unwatch(device)

    def _record(self, written: Written, session: int) -> File:
        return File(
            path=written.path,
            how="write",
            kind="directory",
            session=session,
            exe=None,
            time=self._clock.now(),
            size=written.status.st_size,
            mtime=written.status.st_mtime_ns,
            device=written.status.st_dev,
            inode=written.status.st_ino,
            truncated=False,
            held=False,
        )


class _Walk:
    def __init__(self, since: int, ended: int | None) -> None:
        self.found: list[Written] = []
        self._since = since
        self._ended = ended
        self._entries = 0
        self._levels: list[_Level] = []

    def run(self, upper: int) -> None:
        self._enter(os.open(".", os.O_RDONLY | _FLAGS, dir_fd=upper), "/")
        while self._levels:
            level = self._levels[-1]
            if not level.subdirectories:
                os.close(self._levels.pop().fd)
                continue
            name = level.subdirectories.pop()
            try:
                fd = os.open(name, os.O_RDONLY | _FLAGS, dir_fd=level.fd)
            except (FileNotFoundError, NotADirectoryError):
                if self._ended is not None:
                    raise
                continue  # the container may still run
            self._enter(fd, f"{level.path.rstrip('/')}/{decode_name(os.fsencode(name))}")

    def close(self) -> None:
        while self._levels:
            os.close(self._levels.pop().fd)

    def _enter(self, fd: int, path: str) -> None:
        level = _Level(fd, path, [])
        self._levels.append(level)
        if len(self._levels) > _MAX_DEPTH:
            raise TooMuchError(f"directories {_MAX_DEPTH} deep")
        others = False
        for entry in self._list(fd):
            if entry.is_dir(follow_symlinks=False):
                level.subdirectories.append(entry.name)
            else:
                others = others or _changed(entry) >= self._since
        status = os.fstat(fd)
        if self._ended is not None and status.st_mtime_ns > self._ended:
            raise FileNotFoundError  # it is being removed
        if others or status.st_mtime_ns >= self._since:
            self.found.append(Written(path, status))
            if len(self.found) > _MAX_WRITTEN:
                raise TooMuchError(f"more than {_MAX_WRITTEN} directories written to")

    def _list(self, fd: int) -> Iterator[os.DirEntry[str]]:
        with os.scandir(fd) as entries:
            for entry in entries:
                self._entries += 1
                if self._entries > _MAX_ENTRIES:
                    raise TooMuchError(f"more than {_MAX_ENTRIES} entries")
                yield entry


def _changed(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_ctime_ns
    except FileNotFoundError:
        return 0  # the container may still run: the directory is younger, then
