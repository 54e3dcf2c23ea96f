"""What the blobs of one image share: threads, expanded blocks, and a measure of what was read."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from paredown_schemas.errors import ParedownError

# No image that a registry takes comes near it.
MAX_EXPANDED = 1 << 36
_MAX_CACHED = 48 << 20


class Workers:
    """Two threads: hashing and (de)compression release Python's lock."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._pool = ThreadPoolExecutor(2)
        self._lock = threading.Lock()
        self._spent = 0
        self._cached = 0
        self._blocks: collections.OrderedDict[tuple[int, int], bytes] = collections.OrderedDict()
        self.stopping = False

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have ``call`` done by another thread."""
        return self._pool.submit(call, *arguments)

    def spend(self, count: int, what: str) -> None:
        """Count bytes that are read; raises ParedownError where an image has too many."""
        self._spent += count
        if self._spent > MAX_EXPANDED:
            raise ParedownError(f"cannot read {what}: it expands without measure")

    def block(self, key: tuple[int, int], expand: Callable[[int], bytes]) -> bytes:
        """Return what ``expand`` gives for the key's second half, or gave not long ago."""
        with self._lock:
            block = self._blocks.pop(key, None)
            if block is not None:
                self._blocks[key] = block
                return block
        block = expand(key[1])
        with self._lock:
            self._blocks[key] = block
            self._cached += len(block)
            while self._cached > _MAX_CACHED and len(self._blocks) > 1:
                self._cached -= len(self._blocks.popitem(last=False)[1])
        return block

    def close(self) -> None:
        """Stop the threads, and forget the blocks."""
        self.stopping = True
        self._pool.shutdown(cancel_futures=True)
        self._blocks.clear()
