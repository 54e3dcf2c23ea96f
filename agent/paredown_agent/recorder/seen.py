"""What was met before, and how often, remembered in a fixed amount of memory."""

from __future__ import annotations

from array import array
from collections.abc import Hashable

_WAYS = 4


class Seen:
    """Tells what is new, and forgets rather than grows.

    A set-associative table of 64-bit hashes. What was forgotten counts as new once more. What is
    new is taken for known with a chance of one in 2**62, which no workload can improve: Python's
    hashes of strings are keyed anew in every process.
    """

    def __init__(self, entries: int) -> None:
        """``entries`` is a power of two; each takes 8 bytes."""
        self._table = array("q", bytes(8 * entries))
        self._mask = entries - _WAYS  # the hash's bits that choose a set of ways
        self.forgot = False  # something, ever

    def add(self, key: Hashable) -> bool:
        """Remember ``key``; say whether it is new."""
        digest = hash(key) or -1  # which no hash is; 0 is an empty entry
        start = digest & self._mask
        ways = self._table[start : start + _WAYS]
        if digest in ways:
            return False
        if 0 in ways:
            start += ways.index(0)
        else:
            start += digest >> 60 & _WAYS - 1
            self.forgot = True
        self._table[start] = digest
        return True

    def add_use(self, session: int, path: str, how: str, exe: str | None) -> bool:
        """Remember one use of a file by a program; say whether it is new."""
        return self.add((session, path, how, exe))


LOOKS = 15  # what four bits count


class Looks:
    """Counts up to ``LOOKS`` how often something was met; what was forgotten begins anew."""

    def __init__(self, entries: int) -> None:
        """``entries`` is a power of two; each takes 8 bytes, the lowest four bits the count."""
        self._table = array("Q", bytes(8 * entries))
        self._mask = entries - 1

    def add(self, key: Hashable) -> int:
        """Return how often ``key`` was met, this time included."""
        digest = hash(key) & 0xFFFF_FFFF_FFFF_FFF0
        slot = digest >> 4 & self._mask
        held = self._table[slot]
        count = min((held & LOOKS) + 1, LOOKS) if held & ~LOOKS == digest else 1
        self._table[slot] = digest | count
        return count
