"""What has been met before, remembered in a fixed amount of memory."""

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
        self.forgot |= ways.pop() != 0
        ways.insert(0, digest)
        self._table[start : start + _WAYS] = ways
        return True
