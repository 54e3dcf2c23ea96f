"""Bytes that can be read anywhere: what tar readers and files' contents are given.

A region may be a part of a file, or what a compressed blob expands to (``streams``); its length
need not be known before it was read to its end.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Protocol


class Region(Protocol):
    """Bytes, of which any part can be read, by several threads at once."""

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from ``offset``, fewer only at the end."""

    def reaches(self, offset: int) -> bool:
        """Say whether there are as many bytes as ``offset``."""


@dataclasses.dataclass(frozen=True, slots=True)
class FileRegion:
    """A part of an open file."""

    descriptor: int
    start: int
    length: int

    def read(self, offset: int, count: int) -> bytes:
        """Return bytes; see ``Region.read``."""
        count = min(count, self.length - offset)
        return os.pread(self.descriptor, count, self.start + offset) if count > 0 else b""

    def reaches(self, offset: int) -> bool:
        """Say whether it is long enough; see ``Region.reaches``."""
        return offset <= self.length

    def part(self, start: int, length: int) -> FileRegion:
        """Return a part of it."""
        return FileRegion(self.descriptor, self.start + start, length)


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A part of another region, which reaches that far."""

    whole: Region
    start: int
    length: int

    def read(self, offset: int, count: int) -> bytes:
        """Return bytes; see ``Region.read``."""
        count = min(count, self.length - offset)
        return self.whole.read(self.start + offset, count) if count > 0 else b""

    def reaches(self, offset: int) -> bool:
        """Say whether it is long enough; see ``Region.reaches``."""
        return offset <= self.length


# A region whose length is known.
Extent = FileRegion | Part


def part_of(region: Region, start: int, length: int) -> Extent:
    """Return a part of a region that reaches so far."""
    if isinstance(region, FileRegion):
        return region.part(start, length)
    return Part(region, start, length)
