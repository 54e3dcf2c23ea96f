"""Copying a file's content."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from typing import BinaryIO

_CHUNK = 1 << 20
# copy_file_range(2): across some filesystems, on special ones, and below Linux 4.5.
_UNSUPPORTED = {errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM}


def copy_content(source: BinaryIO, size: int, target: int) -> None:
    """Write ``size`` bytes of ``source``, from its start, to the new file ``target``.

    Raises:
        OSError: reading or writing fails; EIO where the source ends early.
    """
    try:
        descriptor = source.fileno()
    except io.UnsupportedOperation:
        _write(source, size, target)
        return
    if os.fstat(descriptor).st_blocks * 512 >= size:
        _copy_range(descriptor, 0, size, target)
        return
    for start, end in _extents(descriptor, size):
        _copy_range(descriptor, start, end, target)
    os.ftruncate(target, size)


def _write(source: BinaryIO, size: int, target: int) -> None:
    while size:
        chunk = source.read(min(size, _CHUNK))
        if not chunk:
            raise OSError(errno.EIO, "the content ends early")
        size -= len(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(target, view) :]


def _extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield where there is data: a hole stays one."""
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # lseek(2): nothing but a hole follows
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end


def _copy_range(source: int, start: int, end: int, target: int) -> None:
    while start < end:
        try:
            copied = os.copy_file_range(source, target, end - start, start, start)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            os.lseek(target, start, os.SEEK_SET)
            copied = os.sendfile(target, source, start, end - start)
        if copied == 0:
            raise OSError(errno.EIO, "the content ends early")
        start += copied
