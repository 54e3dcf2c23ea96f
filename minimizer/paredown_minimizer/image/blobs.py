"""Layers and other blobs of an image: expanded where they are compressed, and digested."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Future
from typing import Protocol

from paredown_minimizer.image.regions import Extent, FileRegion, Region
from paredown_minimizer.image.streams import Digests, Inflated, unpacked
from paredown_minimizer.image.workers import Workers
from paredown_schemas.errors import ParedownError

_CHUNK = 1 << 19
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_BZIP2 = b"BZh"
_XZ = b"\xfd7zXZ"


class Blob(Protocol):
    """A blob's content."""

    @property
    def region(self) -> Region:
        """Return where the content is read."""

    def finish(self) -> Digests:
        """Return the digests, for which what was not yet read is; raises ParedownError."""


class Plain:
    """A blob that is not compressed; another thread takes its digest meanwhile, if at all."""

    def __init__(self, region: Extent, what: str, workers: Workers, *, digested: bool) -> None:
        """Begin with the digest."""
        self.region = region
        self._digest: Future[str] | None = None
        if digested:
            workers.spend(region.length, what)
            self._digest = workers.submit(_digest_of, region, workers)

    def finish(self) -> Digests:
        """Return the digests; see ``Blob.finish``."""
        digest = self._digest.result() if self._digest else ""
        return Digests(digest, digest)


def open_blob(region: Extent, what: str, workers: Workers, *, digested: bool = True) -> Blob:
    """Return the content of a blob, by what it begins with: media types tell lies.

    Unless ``digested``, its digests need not be true.

    Raises:
        ParedownError: it is compressed in a way that no specification of images has.
    """
    magic = region.read(0, 5)
    if magic.startswith(_GZIP):
        return Inflated(region, what, workers)
    if magic.startswith(_ZSTD):
        return unpacked(region, what, workers)
    if magic.startswith((_BZIP2, _XZ)):
        raise ParedownError(f"cannot read {what}: compressed neither by gzip nor by zstd")
    return Plain(region, what, workers, digested=digested)


def digest_of(data: bytes) -> str:
    """Return a digest as OCI writes it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def file_region(descriptor: int) -> FileRegion:
    """Return all of an open file."""
    return FileRegion(descriptor, 0, os.fstat(descriptor).st_size)


def _digest_of(region: Extent, workers: Workers) -> str:
    digest = hashlib.sha256()
    for offset in range(0, region.length, _CHUNK):
        if workers.stopping:
            break
        digest.update(region.read(offset, _CHUNK))
    return "sha256:" + digest.hexdigest()
