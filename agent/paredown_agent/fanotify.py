"""fanotify(7), cut to what recording takes: superblock marks, ignore marks, events with fds.

Constants and structures are linux/fanotify.h's.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import resource
import select
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ctypes import c_uint, c_uint64
from pathlib import Path
from typing import NamedTuple

from paredown_agent import syscalls
from paredown_schemas.errors import ParedownError

FAN_CLOSE_WRITE = 0x8
FAN_OPEN = 0x20
FAN_OPEN_EXEC = 0x1000
FAN_Q_OVERFLOW = 0x4000
FAN_ONDIR = 0x40000000

_FAN_CLOEXEC = 0x1
_FAN_NONBLOCK = 0x2
_FAN_REPORT_FD_ERROR = 0x2000  # Linux 6.13

_FAN_ACCESS = 0x1

_FAN_MARK_ADD = 0x1
_FAN_MARK_REMOVE = 0x2
_FAN_MARK_IGNORED_MASK = 0x20
_FAN_MARK_IGNORED_SURV_MODIFY = 0x40
_FAN_MARK_FLUSH = 0x80
_FAN_MARK_FILESYSTEM = 0x100
_FAN_MARK_EVICTABLE = 0x200  # Linux 5.19
_FAN_MARK_IGNORE = 0x400  # Linux 6.0

# The newest first; on an inode both ignore flags act alike, the older one lacks directories' own
# FAN_ONDIR. Without FAN_MARK_EVICTABLE each mark pins its inode, some 2 kB.
_IGNORE = _FAN_MARK_ADD | _FAN_MARK_IGNORED_SURV_MODIFY
_IGNORE_FLAGS = (
    _IGNORE | _FAN_MARK_IGNORE | _FAN_MARK_EVICTABLE,
    _IGNORE | _FAN_MARK_IGNORED_MASK | _FAN_MARK_EVICTABLE,
    _IGNORE | _FAN_MARK_IGNORED_MASK,
)
_PINNING_MARKS = 16384

# Every event has this length: nothing that would follow it is asked for. Length and version are
# skipped; mask, descriptor and pid are taken.
_METADATA = struct.Struct("=8xQii")
# Each event of a read opens a descriptor: more at a time than the limit allows are lost.
_BATCH = 256
_QUEUE_LIMIT = Path("/proc/sys/fs/fanotify/max_queued_events")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fanotify_init.argtypes = [c_uint, c_uint]
# Without argtypes, whose checks take as long as the system call; the mask alone is no int.
_fanotify_mark = _libc.fanotify_mark


class Event(NamedTuple):
    """One event. ``fd`` is the receiver's to close; negative: no descriptor, or -errno."""

    mask: int
    fd: int
    pid: int


class Group:
    """A notification group with a queue of at most ``queue`` events.

    Raises:
        ParedownError: the kernel has no fanotify, or refuses.
    """

    def __init__(self, queue: int) -> None:
        with _queue_limit(queue):
            self.fd, self._tells_errors = _init()
        self._waits = select.poll()
        self._waits.register(self.fd, select.POLLIN)
        self._ignore_flags = self._probe_ignore()
        self._evictable = bool(self._ignore_flags & _FAN_MARK_EVICTABLE)
        self._pinned = 0
        self._batch = min(_BATCH, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)

    def mark_superblock(self, directory: int, mask: int) -> bool:
        """Report ``mask`` for everything on the superblock of an open directory.

        Returns whether it was not marked before. A mark ends with its superblock.
        """
        anew = not self.is_marked(directory)
        try:
            self._mark(_FAN_MARK_ADD | _FAN_MARK_FILESYSTEM, mask, directory)
        except OSError as error:
            raise ParedownError(
                f"cannot watch a filesystem by fanotify: {error.strerror}", hint=_hint(error)
            ) from error
        return anew

    def is_marked(self, directory: int) -> bool:
        """Say whether the superblock of an open directory is marked already."""
        # Taking off what no mark here has changes nothing, and tells whether there is one.
        try:
            self._mark(_FAN_MARK_REMOVE | _FAN_MARK_FILESYSTEM, _FAN_ACCESS, directory)
        except OSError:
            return False
        return True

    def unmark_superblock(self, directory: int, mask: int) -> None:
        """Report ``mask``, all that was asked for, no more for the superblock of a directory."""
        with suppress(OSError):  # it was not marked
            self._mark(_FAN_MARK_REMOVE | _FAN_MARK_FILESYSTEM, mask, directory)

    def ignore(self, fd: int, mask: int) -> None:
        """Report ``mask`` for this file no more; the kernel may forget that, but not hide more.

        ``mask`` holds FAN_ONDIR for a directory.
        """
        if not self._evictable:
            if self._pinned >= _PINNING_MARKS:
                return
            self._pinned += 1
        # When it fails (marks, memory) the events go on coming, which costs time and loses nothing.
        _fanotify_mark(self.fd, self._ignore_flags, c_uint64(mask), fd, None)

    def read(self) -> Sequence[Event]:
        """Return the waiting events, at most ``batch``; none if none waits."""
        if not self._tells_errors:
            return list(itertools.islice(self._each(), self._batch))
        try:
            raw = os.read(self.fd, self._batch * _METADATA.size)
        except BlockingIOError:
            return ()
        return [Event._make(fields) for fields in _METADATA.iter_unpack(raw)]

    def _each(self) -> Iterator[Event]:
        """Read one by one: of what is lost only the first of a read is told, before Linux 6.13.

        EAGAIN says that no event waits, or that one was of a leased file: poll knows before.
        """
        while self._waits.poll(0):
            try:
                yield Event._make(_METADATA.unpack(os.read(self.fd, _METADATA.size)))
            except OSError as error:
                yield Event(0, -(error.errno or errno.EIO), 0)

    @property
    def batch(self) -> int:
        """Return how many events one ``read`` returns at most."""
        return self._batch

    def unmark(self) -> None:
        """Report nothing more; what is queued can still be read."""
        root = os.open("/", os.O_PATH | os.O_DIRECTORY)
        try:
            self._mark(_FAN_MARK_FLUSH | _FAN_MARK_FILESYSTEM, 0, root)
        finally:
            os.close(root)

    def close(self) -> None:
        """Close the group with all its marks."""
        os.close(self.fd)

    def _mark(self, flags: int, mask: int, fd: int) -> None:
        syscalls.check(_fanotify_mark(self.fd, flags, c_uint64(mask), fd, None))

    def _probe_ignore(self) -> int:
        probe = os.memfd_create("probe")
        try:
            for flags in _IGNORE_FLAGS[:-1]:
                try:
                    self._mark(flags, FAN_OPEN, probe)
                except OSError:
                    continue
                return flags
        finally:
            os.close(probe)
        return _IGNORE_FLAGS[-1]


def _init() -> tuple[int, bool]:
    """Return a group's descriptor, and whether its events tell why they have no descriptor."""
    # Without O_NONBLOCK a leased file stalls the reader.
    file_flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    for newer in (_FAN_REPORT_FD_ERROR, 0):
        fd: int = _libc.fanotify_init(_FAN_CLOEXEC | _FAN_NONBLOCK | newer, file_flags)
        if fd >= 0:
            return fd, bool(newer)
    error = syscalls.last_error()
    raise ParedownError(f"cannot use fanotify: {error.strerror}", hint=_hint(error))


def _hint(error: OSError) -> str:
    hints = {
        errno.EPERM: "needs CAP_SYS_ADMIN in the initial user namespace",
        errno.ENOSYS: "the kernel needs CONFIG_FANOTIFY",
        errno.EINVAL: "filesystem marks need Linux 4.20 or later",
        errno.EMFILE: "raise the sysctl fs.fanotify.max_user_groups",
    }
    return hints.get(error.errno or 0, "")


@contextmanager
def _queue_limit(events: int) -> Iterator[None]:
    """The limit is taken over when a group is made, so the host has its own back at once."""
    try:
        before = _QUEUE_LIMIT.read_text("ascii")
        _QUEUE_LIMIT.write_text(str(events), "ascii")
    except OSError:
        yield  # read-only in a container: overflow is counted, whatever the limit
        return
    try:
        yield
    finally:
        _QUEUE_LIMIT.write_text(before, "ascii")
