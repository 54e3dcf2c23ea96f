"""New overlay mounts, as they appear in the mount table."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator

from paredown_agent import statx
from paredown_agent.mountinfo import Mount, parse_mounts
from paredown_agent.recorder.base import Clock, Recorder

# docker mounts it for a moment to prepare a container's own layer; nothing runs in it.
_TRANSIENT = ("-init", "-init/merged")
# Sessions are told within milliseconds: few superblocks can have had their number since.
_REMEMBERED = 8


@dataclasses.dataclass(slots=True)
class Overlay:
    """A superblock that is watched; times are ns since the start."""

    mount_point: str
    since: int  # watched from then on
    mount: int | None  # its number, which no other mount ever has; None before Linux 6.8
    until: int | None = None  # certainly this one until then; None while it is mounted


class OverlayWatch:
    """Has a recorder watch every overlay that is mounted from now on, and knows them apart.

    Mount ids and device numbers are reused at once, by the same container too: docker mounts its
    overlay once to prepare it, and once more to start it.
    """

    def __init__(
        self, clock: Clock, *, also_mounted: bool = False, own_root: int | None = None
    ) -> None:
        """Take note of what is mounted already; raises OSError.

        That is watched too with ``also_mounted``, but never the superblock ``own_root``, a dev_t.
        """
        self._clock = clock
        self._file = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._own_root = own_root
        before = () if also_mounted else self._mounted()
        self._before = {mount.mount_point for mount in before}
        self.mounted: frozenset[str] = frozenset()  # overlays at the last look, watched or not
        self._watched: dict[int, list[Overlay]] = {}  # by st_dev, the newest last
        self._looked = 0
        self._wanted: Callable[[str], bool | None] = lambda _: True

    def fileno(self) -> int:
        """Return a descriptor that polls POLLPRI, once, when a mount came or went (proc(5))."""
        return self._file

    def look(self, recorder: Recorder) -> list[str]:
        """Have ``recorder`` watch the overlays that are new; return their mount points."""
        now = self._clock.now()
        present: set[int] = set()
        new: list[str] = []
        mounts = list(self._mounted())
        points = (mount.mount_point for mount in mounts)
        self.mounted = frozenset(point for point in points if not point.endswith(_TRANSIENT))
        for mount in mounts:
            if not self._is_new(mount.mount_point):
                continue
            with contextlib.suppress(OSError):  # gone again
                if self._watch(mount, recorder):
                    new.append(mount.mount_point)
            present.add(mount.device)
        for device, overlays in self._watched.items():
            if device not in present and overlays[-1].until is None:
                overlays[-1].until = now
        self._looked = now
        return new

    def narrow(self, recorder: Recorder, wanted: Callable[[str], bool | None]) -> None:
        """Watch only mount points that are ``wanted`` from now on: others' load is none of ours."""
        self._wanted = wanted
        watched = {
            each.mount_point: each
            for known in self._watched.values()
            for each in known[-1:]
            if each.until is None
        }
        for mount in self._mounted():
            overlay = watched.get(mount.mount_point)
            if overlay is not None and not wanted(mount.mount_point):
                overlay.until = self._clock.now()
                with contextlib.suppress(OSError), _opened(mount) as directory:
                    recorder.unwatch(directory)

    def current(self, device: int) -> Overlay | None:
        """Return the overlay that has a device number now, if it is watched."""
        last = self._watched.get(device, ())[-1:]
        return next((each for each in last if each.until is None), None)

    def find(self, device: int, time: int) -> Overlay | None:
        """Return the overlay that had a device number at a time, if that is certain."""
        for overlay in self._watched.get(device, ()):
            if overlay.since <= time and (overlay.until is None or time < overlay.until):
                return overlay
        return None

    def close(self) -> None:
        """Stop looking."""
        os.close(self._file)

    def _mounted(self) -> Iterator[Mount]:
        os.lseek(self._file, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._file), "rb") as table:
            overlays = [line for line in table.read().split(b"\n") if b" - overlay " in line]
        mounts = parse_mounts(b"\n".join(overlays)).mounts
        yield from (mount for mount in mounts if mount.device != self._own_root)

    def _is_new(self, mount_point: str) -> bool:
        if mount_point in self._before or mount_point.endswith(_TRANSIENT):
            return False
        return self._wanted(mount_point) is not False

    def _watch(self, mount: Mount, recorder: Recorder) -> bool:
        known = self._watched.get(mount.device, [])
        last = known[-1] if known else None
        with _opened(mount) as directory:
            status = statx.status(directory)
            number = status.mount if status.unique else None
            if last is not None and last.until is None and last.mount == number is not None:
                return False
            anew = recorder.watch(directory)
        if last is not None and last.until is None:
            if last.mount_point == mount.mount_point and not anew:
                return False
            # It went since the last look, nobody knows when.
            last.until = self._looked
        overlay = Overlay(mount.mount_point, self._clock.now(), number)
        self._watched[mount.device] = [*known, overlay][-_REMEMBERED:]
        return True


@contextlib.contextmanager
def _opened(mount: Mount) -> Iterator[int]:
    """By descriptor: a mark by path could land on the host's disk, were the overlay gone again.

    Raises OSError where it is.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(os.fsencode(mount.mount_point), flags)
    try:
        if os.fstat(descriptor).st_dev != mount.device:
            raise FileNotFoundError(mount.mount_point)
        yield descriptor
    finally:
        os.close(descriptor)
