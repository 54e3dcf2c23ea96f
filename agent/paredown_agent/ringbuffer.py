"""The reading end of a BPF ring buffer (kernel/bpf/ringbuf.c).

libbpf maps all of a ring, twice, and every page of that counts as resident. Here just what is being
read is mapped, so that a ring may be large without the agent being it.

The order of reads and writes that libbpf takes from load-acquire and store-release is made by
letting go of a lock and taking it again. That a release is ordered before what follows it in
program order and is an acquire, what came before it ahead of both, and what comes later behind, is
Armv8's memory model; locks in CPython are such ones (sem_post() and sem_wait() of glibc and musl,
or sequentially consistent exchanges from 3.13 on). Positions and lengths are aligned words, which
ctypes copies in one load or store. x86 alone has run this: it needs none but the compiler's order.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import threading
from ctypes import c_int, c_long, c_size_t, c_uint32, c_uint64, c_void_p

from paredown_agent import syscalls

_PAGE = mmap.PAGESIZE
_WINDOW = 1 << 18
_ROOM = 1 << 14  # more than any message takes
_FAILED = c_void_p(-1).value
# include/uapi/linux/bpf.h: BPF_RINGBUF_BUSY_BIT, _DISCARD_BIT, _HDR_SZ
_BUSY, _DISCARD, _HEADER = 1 << 31, 1 << 30, 8


class RingBuffer:
    """Reads the ring of ``size`` bytes behind the map ``fd``, which stays the caller's.

    Raises:
        OSError: it cannot be mapped.
    """

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._size = size
        self._pages = [
            _map(fd, _PAGE, mmap.PROT_READ | mmap.PROT_WRITE, 0),
            _map(fd, _PAGE, mmap.PROT_READ, _PAGE),
        ]
        self._window, self._begin, self._length = 0, 0, 0
        self._read, self._written = (c_uint64.from_address(page) for page in self._pages)
        self._lock = threading.Lock()
        self._lock.acquire()

    def read(self, limit: int) -> list[bytes]:
        """Return waiting messages in order, up to ``limit`` of them; never blocks."""
        found: list[bytes] = []
        while len(found) < limit and (batch := self._batch(limit - len(found))) is not None:
            found += batch
        return found

    def waiting(self) -> bool:
        """Say whether there is more, be it still being written."""
        return bool(self._written.value != self._read.value)

    def close(self) -> None:
        """Unmap it; a second call does nothing."""
        self._unmap()
        while self._pages:
            _libc().munmap(self._pages.pop(), _PAGE)

    def _barrier(self) -> None:
        self._lock.release()
        self._lock.acquire()

    def _batch(self, limit: int) -> list[bytes] | None:
        """Return none where nothing is to be read now; a list may lack what was discarded."""
        waiting = self._written.value - self._read.value
        if not waiting:
            return None
        self._barrier()
        start = self._read.value & (self._size - 1)
        if not self._begin <= start <= self._begin + self._length - min(waiting, _ROOM):
            self._move(start & -_PAGE)
        at = start - self._begin
        places, end = _whole(self._window, at, min(at + waiting, self._length), limit)
        self._barrier()
        batch = [ctypes.string_at(self._window + place, size) for place, size in places]
        self._barrier()
        self._read.value += end - at
        return batch if end > at else None

    def _move(self, begin: int) -> None:
        """Map what begins there; mapping takes longer than reading the few messages of an exec."""
        self._unmap()
        # The kernel maps the data twice in a row: nothing wraps.
        length = min(_WINDOW, 2 * self._size - begin)
        self._window = _map(self._fd, length, mmap.PROT_READ, 2 * _PAGE + begin)
        self._begin, self._length = begin, length

    def _unmap(self) -> None:
        if self._length:
            _libc().munmap(self._window, self._length)
        self._length = 0


def _whole(data: int, at: int, length: int, limit: int) -> tuple[list[tuple[int, int]], int]:
    """Return where messages lie that were written to their end, and where what follows begins."""
    places: list[tuple[int, int]] = []
    while len(places) < limit and at + _HEADER <= length:
        head = c_uint32.from_address(data + at).value
        size = head & ~_DISCARD
        end = at + _HEADER + size
        if head & _BUSY or end > length:
            break
        if not head & _DISCARD:
            places.append((at + _HEADER, size))
        at = (end + _HEADER - 1) & -_HEADER
    return places, at


def _map(fd: int, length: int, protection: int, offset: int) -> int:
    """Unlike ``mmap.mmap`` without a descriptor of its own: there may be none left."""
    address = _libc().mmap(None, length, protection, mmap.MAP_SHARED, fd, offset)
    if address == _FAILED:
        error = syscalls.last_error()
        raise OSError(error.errno, f"cannot map the BPF ring buffer: {error.strerror}")
    return int(address)


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = c_void_p
    libc.mmap.argtypes = [c_void_p, c_size_t, c_int, c_int, c_int, c_long]
    libc.munmap.argtypes = [c_void_p, c_size_t]
    return libc
