"""Layers and other blobs of an image, verified against their digests, ready to be read anywhere."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from paredown_minimizer.image.tar import Content, Member, Region
from paredown_schemas.errors import ParedownError

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
# No layer that a registry takes comes near these; gzip alone reaches a ratio of 1,000 on zeros.
MAX_EXPANDED = 1 << 36
_FREE_EXPANSION = 1 << 30
_MAX_RATIO = 200


def digest_of(region: Region) -> str:
    """Return a region's digest as OCI writes it."""
    digest = hashlib.sha256()
    for chunk in _chunks(region):
        digest.update(chunk)
    return "sha256:" + digest.hexdigest()


def verify(region: Region, digest: str, what: str) -> None:
    """Raise ParedownError unless the region has that digest."""
    if digest_of(region) != digest:
        raise ParedownError(f"cannot read {what}: its content is not that of its digest")


class Expander:
    """Decompresses into anonymous temporary files, which vanish with it."""

    def __init__(self) -> None:
        """Begin without any."""
        self._files: list[BinaryIO] = []
        self._expanded: dict[Region, Region] = {}

    def expand(self, region: Region, what: str) -> Region:
        """Return the region itself, or if it is gzip what it expands to.

        Raises:
            ParedownError: it is damaged, expands without measure, or is compressed otherwise.
        """
        magic = region.read(0, 4)
        if magic == _ZSTD:
            raise ParedownError(
                f"cannot read {what}: compressed by zstd", hint="save it without compression"
            )
        if not magic.startswith(_GZIP):
            return region
        try:
            if region not in self._expanded:
                self._expanded[region] = self._gunzip(region, what)
            return self._expanded[region]
        except (zlib.error, EOFError, gzip.BadGzipFile) as error:
            raise ParedownError(f"cannot read {what}: damaged gzip: {error}") from error
        except OSError as error:
            hint = "TMPDIR names where temporary files go"
            raise ParedownError(f"cannot read {what}: {error.strerror}", hint=hint) from error

    def close(self) -> None:
        """Let go of the temporary files."""
        for file in self._files:
            file.close()

    def _gunzip(self, region: Region, what: str) -> Region:
        target = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the image
        self._files.append(target)
        length = 0
        others = sum(done.length for done in self._expanded.values())
        with gzip.GzipFile(fileobj=Content(region, whole(region))) as source:
            while chunk := source.read(_CHUNK):
                length += len(chunk)
                ratio = length // max(1, region.length)
                bomb = length > _FREE_EXPANSION and ratio > _MAX_RATIO
                if bomb or length + others > MAX_EXPANDED:
                    raise ParedownError(f"cannot read {what}: it expands without measure")
                target.write(chunk)
        target.flush()
        return Region(target.fileno(), 0, length)


def whole(region: Region) -> Member:
    """Return a member that is all of a region."""
    extents = ((0, 0, region.length),)
    return Member("", "file", 0, 0, 0, region.length, 0, "", None, (), extents)


def file_region(descriptor: int) -> Region:
    """Return all of an open file."""
    return Region(descriptor, 0, os.fstat(descriptor).st_size)


def _chunks(region: Region) -> Iterator[bytes]:
    for offset in range(0, region.length, _CHUNK):
        yield region.read(offset, _CHUNK)
