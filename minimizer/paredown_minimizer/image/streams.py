"""What compressed blobs expand to: read once from end to end and then anywhere, without a file.

The first pass takes the digests, keeps to the limits, and hands the bytes on to whoever reads
meanwhile. What makes going back possible differs: a gzip stream is expanded again from the nearest
of the states that were kept on the way; what cannot be resumed, a zstd stream or a pipe, is kept
whole in memory, as short zstd frames.
"""

from __future__ import annotations

import abc
import bisect
import dataclasses
import hashlib
import importlib
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import zstandard

from paredown_minimizer.image.regions import Extent
from paredown_minimizer.image.workers import Workers
from paredown_schemas.errors import ParedownError

try:
    _zlib: Any = importlib.import_module("zlib_ng.zlib_ng")
except ImportError:  # the same, half as fast
    _zlib = zlib

_CHUNK = 1 << 20
_INPUT = 1 << 15  # a state may keep as much alive
_GZIP = 31  # zlib.h, inflateInit2: a gzip header, and the largest window
# A state takes some 45 kB. Beyond so many of a blob, every second goes.
_STATE_DISTANCE = 4
_MAX_STATES = 512
# RFC 8878, 3.1.1.1.2, lets decoders refuse large windows; zstd(1) refuses those beyond this one.
_ZSTD_WINDOW = 1 << 27
# No layer that a registry takes comes near these; gzip alone reaches a ratio of 1,000 on zeros.
_FREE_EXPANSION = 1 << 30
_MAX_RATIO = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Digests:
    """What a blob holds and what it is, as OCI writes it; the same unless it is compressed."""

    content: str
    blob: str


class Input:
    """A compressed blob, read from start to end."""

    def __init__(self, region: Extent) -> None:
        """Read nothing yet."""
        self.region = region
        self._position = 0
        self._digest = hashlib.sha256()

    def read(self, count: int) -> bytes:
        """Return the next bytes, none at the end."""
        data = self.region.read(self._position, count)
        self._position += len(data)
        self._digest.update(data)
        return data

    def digest(self) -> str:
        """Return the digest of all; what is left, behind a stream's end, is read for it."""
        while self.read(_CHUNK):
            pass
        return "sha256:" + self._digest.hexdigest()


class Stream(abc.ABC):
    """A region whose bytes come in order once.

    Chunk by chunk, another thread makes one while the last is used.
    """

    def __init__(self, what: str, workers: Workers, compressed: int | None) -> None:
        """Read nothing yet; ``compressed`` is how many bytes it is made of, if that is known."""
        self._what = what
        self._workers = workers
        # What is not compressed cannot expand.
        self._most = None if compressed is None else max(_FREE_EXPANSION, compressed * _MAX_RATIO)
        self._lock = threading.Lock()
        self._digest = hashlib.sha256()
        self._next: Future[tuple[bytes, Any]] | None = None
        self._last = b""
        self._ended = False
        self._starts: list[int] = []  # of the blocks that can be read again
        self.length = 0

    @property
    def region(self) -> Stream:
        """Return where its content is read."""
        return self

    @abc.abstractmethod
    def _make(self) -> tuple[bytes, Any]:
        """Return the next bytes, none at the end, and what ``_keep`` shall know of them.

        Called by other threads, by one at a time.
        """

    @abc.abstractmethod
    def _keep(self, chunk: bytes, known: Any) -> None:
        """Keep what leads back to ``chunk``, which begins at ``length``."""

    @abc.abstractmethod
    def _block(self, index: int) -> bytes:
        """Return the block that begins at ``_starts[index]``, once more."""

    @abc.abstractmethod
    def _blob_digest(self) -> str:
        """Return the digest of what the stream was made of, at its end."""

    def read(self, offset: int, count: int) -> bytes:
        """Return bytes; see ``Region.read``."""
        with self._lock:
            pieces = []
            while count > 0 and self._get(offset + 1):
                pieces.append(self._piece(offset, count))
                offset += len(pieces[-1])
                count -= len(pieces[-1])
            return b"".join(pieces)

    def reaches(self, offset: int) -> bool:
        """Say whether it is long enough; see ``Region.reaches``."""
        with self._lock:
            return self._get(offset)

    def finish(self) -> Digests:
        """Read what is left, and return the digests; raises ParedownError."""
        with self._lock:
            while not self._ended:
                self._advance()
            return Digests("sha256:" + self._digest.hexdigest(), self._blob_digest())

    def _get(self, offset: int) -> bool:
        while self.length < offset and not self._ended:
            self._advance()
        return self.length >= offset

    def _piece(self, offset: int, count: int) -> bytes:
        inside = offset - (self.length - len(self._last))
        if inside >= 0:
            return self._last[inside : inside + count]
        index = bisect.bisect_right(self._starts, offset) - 1
        inside = offset - self._starts[index]
        if self._ended:  # before that, blocks may still grow
            block = self._workers.block((id(self), index), self._block)
        else:
            block = self._block(index)
        return block[inside : inside + count]

    def _advance(self) -> None:
        chunk, known = (self._next or self._workers.submit(self._make)).result()
        if not chunk:
            self._ended = True
            self._keep(chunk, known)
            return
        self._next = self._workers.submit(self._make)
        self._digest.update(chunk)
        self._keep(chunk, known)
        self._last = chunk
        self.length += len(chunk)
        self._workers.spend(len(chunk), self._what)
        if self._most is not None and self.length > self._most:
            raise ParedownError(f"cannot read {self._what}: it expands without measure")


class Inflated(Stream):
    """What a gzip blob of any number of members expands to (RFC 1952)."""

    def __init__(self, region: Extent, what: str, workers: Workers) -> None:
        """Read nothing yet."""
        super().__init__(what, workers, region.length)
        self._input = Input(region)
        self._inflater = _Inflater(self._input, 0)
        self._states: list[_Inflater] = []
        self._distance = _STATE_DISTANCE
        self._made = 0

    def _make(self) -> tuple[bytes, _Inflater | None]:
        state = self._inflater.copy() if self._made % self._distance == 0 else None
        self._made += 1
        return self._expand(self._inflater, _CHUNK), state

    def _expand(self, inflater: _Inflater, count: int) -> bytes:
        try:
            return inflater.expand(count)
        except (_zlib.error, EOFError) as error:
            raise ParedownError(f"cannot read {self._what}: damaged gzip: {error}") from error

    def _keep(self, chunk: bytes, known: _Inflater | None) -> None:
        if known is None or not chunk:
            return
        self._starts.append(self.length)
        self._states.append(known)
        if len(self._states) > _MAX_STATES:
            del self._starts[1::2], self._states[1::2]
            self._distance *= 2

    def _block(self, index: int) -> bytes:
        ends = [*self._starts[index + 1 : index + 2], self.length]
        return self._expand(self._states[index].copy(), ends[0] - self._starts[index])

    def _blob_digest(self) -> str:
        return self._input.digest()


class _Inflater:
    """The expansion of a gzip blob, at some point of it."""

    def __init__(self, source: Input | Extent, position: int) -> None:
        self._source = source
        self._position = position  # of what follows ``_pending``
        self._pending = b""
        self._member: Any = None

    def copy(self) -> _Inflater:
        """Return an equal one, which reads on for itself."""
        source = self._source.region if isinstance(self._source, Input) else self._source
        twin = _Inflater(source, self._position)
        twin._pending = self._pending
        twin._member = self._member.copy() if self._member is not None else None
        return twin

    def expand(self, count: int) -> bytes:
        """Return ``count`` bytes, fewer only at the end; raises EOFError, zlib.error."""
        pieces = []
        while count:
            if not self._pending:
                self._pending = self._read()
            if self._member is None and not self._begin():
                break
            piece = self._member.decompress(self._pending, count)
            if not piece and not self._pending and not self._member.eof:
                raise EOFError("it is cut short")
            pieces.append(piece)
            count -= len(piece)
            if self._member.eof:
                self._pending, self._member = self._member.unused_data, None
            else:
                self._pending = self._member.unconsumed_tail
        return b"".join(pieces)

    def _begin(self) -> bool:
        """Begin a member, where one follows: zeros may (gzip(1), tapes)."""
        self._pending = self._pending.lstrip(b"\0")
        while not self._pending:
            data = self._read()
            if not data:
                return False
            self._pending = data.lstrip(b"\0")
        self._member = _zlib.decompressobj(_GZIP)
        return True

    def _read(self) -> bytes:
        if isinstance(self._source, Input):
            data = self._source.read(_INPUT)
        else:
            data = self._source.read(self._position, _INPUT)
        self._position += len(data)
        return data


class Stored(Stream):
    """What comes once and cannot be sought, kept in memory."""

    def __init__(
        self, chunks: Iterator[bytes], what: str, workers: Workers, source: Input | None = None
    ) -> None:
        """Read nothing yet; ``chunks``, which other threads use, are made of ``source`` if any."""
        super().__init__(what, workers, source.region.length if source else None)
        self._chunks = chunks
        self._source = source
        self._frames: list[bytes] = []
        self._packing: Future[bytes] | None = None
        self._packer = zstandard.ZstdCompressor(level=1)
        self._unpacker = zstandard.ZstdDecompressor()

    def _make(self) -> tuple[bytes, None]:
        return next(self._chunks, b""), None

    def _keep(self, chunk: bytes, known: None) -> None:  # noqa: ARG002
        if self._packing is not None:
            self._frames.append(self._packing.result())
            self._packing = None
        if chunk:
            self._starts.append(self.length)
            self._packing = self._workers.submit(self._packer.compress, chunk)

    def _block(self, index: int) -> bytes:
        return self._unpacker.decompress(self._frames[index])

    def _blob_digest(self) -> str:
        return self._source.digest() if self._source else ""


def unpacked(region: Extent, what: str, workers: Workers) -> Stored:
    """Return what a zstd blob of any number of frames expands to (RFC 8878)."""
    source = Input(region)

    def chunks(source: Any) -> Iterator[bytes]:
        unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        try:
            with unpacker.stream_reader(source, read_across_frames=True) as reader:
                while chunk := reader.read(_CHUNK):
                    yield chunk
        except zstandard.ZstdError as error:
            raise ParedownError(f"cannot read {what}: damaged zstd: {error}") from error

    return Stored(chunks(source), what, workers, source)
