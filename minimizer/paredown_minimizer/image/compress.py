"""Compressing layers: gzip, by ISA-L, in blocks on two cores.

One gzip member as pigz makes it: each block is compressed by itself, the 32 KiB before it being the
dictionary, so that what comes out depends on the blocks and not on which thread was first. Level 2
compresses as zlib's level 1 does in a fifth of its time, and gives the same bytes on every x86-64
processor with SSE 4.2; level 3 does not. docs/images.md has the figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from isal import igzip_threaded

_LEVEL = 2
_THREADS = 2


class Sink(Protocol):
    """What compressed bytes go to, from another thread."""

    def write(self, data: bytes, /) -> int:
        """Take all of the bytes."""

    def flush(self) -> None:
        """Do nothing, or pass on what is held back."""


def compress(blocks: Iterable[bytes], sink: Sink, block_size: int) -> None:
    """Write ``blocks``, each of ``block_size`` bytes but the last, to ``sink`` as gzip.

    Raises:
        OSError: the sink does; and whatever ``blocks`` raises.
    """
    stream = igzip_threaded.open(  # type: ignore[no-untyped-call]
        sink, "wb", _LEVEL, threads=_THREADS, block_size=block_size
    )
    with stream:
        for block in blocks:
            stream.write(block)
