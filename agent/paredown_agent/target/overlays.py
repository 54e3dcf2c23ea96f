"""New overlay mounts, as they appear in the mount table."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from paredown_agent.mountinfo import Mount, parse_mounts
from paredown_agent.recorder.base import Recorder

# docker mounts it for a moment to prepare a container's own layer; nothing runs in it.
_TRANSIENT = ("-init", "-init/merged")


class OverlayWatch:
    """Marks every overlay that is mounted from now on."""

    def __init__(self) -> None:
        """Take note of what is mounted already; raises OSError."""
        self._file = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._mounted = {_key(mount) for mount in self._overlays()}

    def fileno(self) -> int:
        """Return a descriptor that polls POLLPRI, once, when a mount came or went (proc(5))."""
        return self._file

    def mark(self, recorder: Recorder) -> Iterator[tuple[str, int]]:
        """Have ``recorder`` watch the overlays that are new; yield mount points and st_dev."""
        present = {_key(mount): mount for mount in self._overlays()}
        new = [mount for key, mount in present.items() if key not in self._mounted]
        self._mounted = set(present)
        for mount in new:
            if not mount.mount_point.endswith(_TRANSIENT):
                with contextlib.suppress(OSError):  # gone again
                    if _mark(mount, recorder):
                        yield mount.mount_point, mount.device

    def close(self) -> None:
        """Stop looking."""
        os.close(self._file)

    def _overlays(self) -> Iterator[Mount]:
        os.lseek(self._file, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._file), "rb") as table:
            overlays = [line for line in table.read().split(b"\n") if b" - overlay " in line]
        yield from parse_mounts(b"\n".join(overlays)).mounts


def _key(mount: Mount) -> tuple[int, int, str]:
    return mount.id, mount.device, mount.mount_point


def _mark(mount: Mount, recorder: Recorder) -> bool:
    """By descriptor: a mark by path could land on the host's disk, were the overlay gone again."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(os.fsencode(mount.mount_point), flags)
    try:
        if os.fstat(descriptor).st_dev != mount.device:
            return False
        recorder.watch(descriptor)
        return True
    finally:
        os.close(descriptor)
