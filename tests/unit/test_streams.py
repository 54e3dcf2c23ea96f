"""Compressed blobs and pipes: read once, then anywhere, and never more than they hold."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from fixture_types import Require
from paredown_minimizer.image import streams, workers
from paredown_minimizer.image.blobs import file_region, open_blob
from paredown_minimizer.image.streams import Inflated, Stored, Stream
from paredown_minimizer.image.workers import Workers
from paredown_schemas.errors import ParedownError

_RANDOM = random.Random(1)
# Some of it compresses well, some of it not at all.
DATA = b"".join(
    _RANDOM.choice([_RANDOM.randbytes(3000), bytes(5000), b"text " * 900]) for _ in range(400)
)


@pytest.fixture
def threads() -> Iterator[Workers]:
    with contextlib.closing(Workers()) as them:
        yield them


@pytest.fixture(params=["libz", "zlib-ng"])
def inflate(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, require: Require
) -> None:
    """Use the standard library's zlib, or the faster one where it is installed."""
    if request.param == "zlib-ng":
        require(streams._zlib is not zlib, "zlib-ng is not installed")
    monkeypatch.setattr(streams, "_zlib", zlib if request.param == "libz" else streams._zlib)


Open = Callable[[bytes], Stream]


@pytest.fixture
def stream(tmp_path: Path, threads: Workers) -> Iterator[Open]:
    """Return ``stream(data)``, which opens a compressed blob."""
    with contextlib.ExitStack() as files:

        def make(data: bytes) -> Stream:
            (tmp_path / "blob").write_bytes(data)
            file = files.enter_context((tmp_path / "blob").open("rb"))
            opened = open_blob(file_region(file.fileno()), "the blob", threads)
            assert isinstance(opened, Stream)
            return opened

        yield make


def piped(threads: Workers) -> Stored:
    return Stored((DATA[at : at + 5000] for at in range(0, len(DATA), 5000)), "a pipe", threads)


def read_everywhere(stream: Stream) -> None:
    """Read in order, as the first pass does, then here and there."""
    assert stream.read(0, 0) == b""
    for offset in range(0, len(DATA) // 2, 7001):
        assert stream.read(offset, 600) == DATA[offset : offset + 600]
        back = _RANDOM.randrange(offset + 1)
        assert stream.read(back, 100) == DATA[back : back + 100]
    assert stream.reaches(len(DATA))
    assert not stream.reaches(len(DATA) + 1)
    assert stream.finish().content == "sha256:" + hashlib.sha256(DATA).hexdigest()
    for _ in range(300):
        offset = _RANDOM.randrange(len(DATA) + 10)
        count = _RANDOM.choice([1, 512, 20_000, 2_000_000])
        assert stream.read(offset, count) == DATA[offset : offset + count]
    assert stream.read(0, 1 << 30) == DATA
    assert stream.read(1 << 40, 1) == b""


@pytest.mark.usefixtures("inflate")
@pytest.mark.parametrize("states", [3, 512])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_gzip_is_read_anywhere(
    stream: Open, monkeypatch: pytest.MonkeyPatch, states: int, level: int
) -> None:
    monkeypatch.setattr(streams, "_CHUNK", 10_000)
    monkeypatch.setattr(streams, "_INPUT", 1000)
    monkeypatch.setattr(streams, "_MAX_STATES", states)
    blob = gzip.compress(DATA, level)
    opened = stream(blob)
    read_everywhere(opened)
    assert opened.finish().blob == "sha256:" + hashlib.sha256(blob).hexdigest()
    assert isinstance(opened, Inflated)
    assert len(opened._states) <= states


def test_zstd_is_read_anywhere(stream: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_CHUNK", 10_000)
    blob = zstandard.compress(DATA)
    opened = stream(blob)
    read_everywhere(opened)
    assert opened.finish().blob == "sha256:" + hashlib.sha256(blob).hexdigest()


def test_pipe_is_read_anywhere(threads: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_FREE_EXPANSION", 1 << 16)  # a long pipe is no bomb
    read_everywhere(piped(threads))


def test_little_is_expanded_again_for_a_file(
    stream: Open, monkeypatch: pytest.MonkeyPatch, threads: Workers
) -> None:
    monkeypatch.setattr(workers, "_MAX_CACHED", 100_000)
    monkeypatch.setattr(streams, "_CHUNK", 10_000)
    opened = stream(gzip.compress(DATA))
    opened.finish()
    read = 0
    once = opened.region._block

    def counting(index: int) -> bytes:
        nonlocal read
        read += 1
        return once(index)

    monkeypatch.setattr(opened, "_block", counting)
    for offset in range(0, len(DATA), 1000):
        opened.read(offset, 1000)
    blocks = len(DATA) // 40_000 + 1
    assert read <= blocks
    assert sum(map(len, threads._blocks.values())) == threads._cached <= 100_000


@pytest.mark.usefixtures("inflate")
@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_cut_short_anywhere_never_passes(stream: Open, compress: Callable[[bytes], bytes]) -> None:
    data = DATA[:20_000]
    blob = compress(data)
    for length in range(5, len(blob), 37):
        try:
            digest = stream(blob[:length]).finish().content
        except ParedownError as error:
            assert "damaged" in str(error)
        else:  # zstd's frames may end early without a word: the digest tells
            assert compress is zstandard.compress
            assert digest != "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.mark.usefixtures("inflate")
@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_damage_anywhere_never_passes(stream: Open, compress: Callable[[bytes], bytes]) -> None:
    data = DATA[:20_000]
    right = "sha256:" + hashlib.sha256(data).hexdigest()
    for at in range(4, len(compress(data)), 61):
        blob = bytearray(compress(data))
        blob[at] ^= 0x55
        with contextlib.suppress(ParedownError):
            digests = stream(bytes(blob)).finish()
            assert digests.blob == "sha256:" + hashlib.sha256(blob).hexdigest()
            # Of gzip's header, and of zstd's, some bits say nothing about the content.
            assert digests.content != right or at < 18


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_bomb_in_a_layer_is_stopped_while_it_expands(
    stream: Open, monkeypatch: pytest.MonkeyPatch, compress: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(streams, "_FREE_EXPANSION", 1 << 24)
    opened = stream(compress(bytes(1 << 26)))
    with pytest.raises(ParedownError, match="the blob: it expands without measure"):
        opened.finish()
    assert opened.length <= (1 << 24) + (2 << 20)


def test_many_blobs_together_expand_without_measure(
    stream: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MAX_EXPANDED", 3 * len(DATA))
    for _ in range(3):
        stream(gzip.compress(DATA)).finish()
    with pytest.raises(ParedownError, match="expands without measure"):
        stream(gzip.compress(DATA)).finish()


def test_window_that_takes_too_much_memory_is_refused(stream: Open) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    blob = packer.compress(DATA) + packer.flush()
    with pytest.raises(ParedownError, match="damaged zstd"):
        stream(blob).finish()


def test_pipe_that_fails_is_told_by_what_reads(threads: Workers) -> None:
    def chunks() -> Iterator[bytes]:
        yield DATA
        raise OSError(5, os.strerror(5))

    failing = Stored(chunks(), "a pipe", threads)
    with pytest.raises(OSError, match="Input/output"):
        failing.finish()
