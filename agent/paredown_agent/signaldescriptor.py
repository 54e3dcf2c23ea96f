"""Signals as something to poll on (signalfd(2)), with who sent them."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import signal
import struct
from collections.abc import Collection, Iterator

from paredown_agent import syscalls

# include/uapi/linux/signalfd.h
_SFD_NONBLOCK = os.O_NONBLOCK
_SFD_CLOEXEC = os.O_CLOEXEC
_INFO = struct.Struct("<Iii116x")
# include/uapi/asm-generic/siginfo.h: sent by the kernel, as a terminal's are.
_SI_KERNEL = 0x80
# sigset_t of glibc and musl: 1,024 bits.
_SIGSET = struct.Struct("=16Q")


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """One signal; ``typed`` if it came from the terminal and not from a process."""

    number: int
    typed: bool


class SignalDescriptor:
    """Blocks signals and queues them for reading."""

    def __init__(self, numbers: Collection[int]) -> None:
        """Block the signals ``numbers`` in this thread; raises OSError."""
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        bits = sum(1 << (number - 1) for number in numbers)
        libc = ctypes.CDLL(None, use_errno=True)
        mask = _SIGSET.pack(bits, *[0] * 15)
        self._fd = syscalls.check(libc.signalfd(-1, mask, _SFD_NONBLOCK | _SFD_CLOEXEC))

    def fileno(self) -> int:
        """Return the descriptor, readable while a signal waits."""
        return self._fd

    def read(self) -> Iterator[Received]:
        """Yield the signals that wait."""
        while True:
            try:
                number, _, code = _INFO.unpack(os.read(self._fd, _INFO.size))
            except BlockingIOError:
                return
            yield Received(number, code == _SI_KERNEL)

    def close(self) -> None:
        """Stop queueing; the signals stay blocked."""
        os.close(self._fd)


def unblock() -> None:
    """Let a child about to exec have every signal, as it would from a shell."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
