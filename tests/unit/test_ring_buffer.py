"""The reading end of a ring buffer, on a file that is laid out as the kernel lays out a ring."""

from __future__ import annotations

import mmap
import os
import random
import struct
from collections.abc import Iterator

import pytest

from paredown_agent import ringbuffer
from paredown_agent.ringbuffer import RingBuffer

PAGE = mmap.PAGESIZE
BUSY, DISCARD = 1 << 31, 1 << 30


class Writer:
    """What kernel/bpf/ringbuf.c does: a page of each side's position, then the data, twice."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.fd = os.memfd_create("ring")
        os.truncate(self.fd, 2 * PAGE + 2 * size)
        self._memory = mmap.mmap(self.fd, 2 * PAGE + 2 * size)
        self.written = 0

    @property
    def read(self) -> int:
        """Where the other side is."""
        return int(struct.unpack_from("=Q", self._memory, 0)[0])

    def reserve(self, message: bytes) -> int | None:
        """Begin a message; return where, or none if there is no room."""
        room = (8 + len(message) + 7) & -8
        if self.written + room - self.read > self.size:
            return None
        place, self.written = self.written, self.written + room
        self._put(place, struct.pack("=II", len(message) | BUSY, 0) + message)
        struct.pack_into("=Q", self._memory, PAGE, self.written)
        return place

    def commit(self, place: int, size: int, flag: int = 0) -> None:
        """End it."""
        self._put(place, struct.pack("=I", size | flag))

    def write(self, message: bytes, flag: int = 0) -> bool:
        """Write a message; say whether there was room."""
        place = self.reserve(message)
        if place is not None:
            self.commit(place, len(message), flag)
        return place is not None

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)

    def _put(self, place: int, data: bytes) -> None:
        for index, byte in enumerate(data):
            at = 2 * PAGE + (place + index) % self.size
            self._memory[at] = self._memory[at + self.size] = byte


@pytest.fixture
def writer(request: pytest.FixtureRequest) -> Iterator[Writer]:
    writer = Writer(getattr(request, "param", PAGE))
    yield writer
    writer.close()


@pytest.fixture
def reader(writer: Writer) -> Iterator[RingBuffer]:
    reader = RingBuffer(writer.fd, writer.size)
    yield reader
    reader.close()


def test_reads_what_was_written_once(writer: Writer, reader: RingBuffer) -> None:
    assert reader.read(9) == []
    messages = [b"one", b"", b"12345678", b"three" * 9]
    assert all(map(writer.write, messages))
    assert reader.read(2) == messages[:2]
    assert reader.read(9) == messages[2:]
    assert reader.read(9) == []
    assert writer.read == writer.written


@pytest.mark.parametrize("writer", [PAGE, 4 * PAGE], indirect=True)
@pytest.mark.parametrize("window", [2 * PAGE, 1 << 18])
def test_goes_round_and_round(
    writer: Writer, reader: RingBuffer, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ringbuffer, "_WINDOW", window)
    chance = random.Random(7)
    sent: list[bytes] = []
    found: list[bytes] = []
    while writer.written < 20 * writer.size:
        message = chance.randbytes(chance.choice((0, 1, 7, 8, 100, 700)))
        while not writer.write(message):
            found += reader.read(chance.choice((1, 3, 1000)))
        sent.append(message)
    assert [*found, *reader.read(1000)] == sent


def test_a_full_ring_is_read_whole(writer: Writer, reader: RingBuffer) -> None:
    assert writer.write(b"x" * 100)
    assert reader.read(1) == [b"x" * 100]
    assert writer.write(b"y" * (PAGE - 8))  # from the middle on, round to the middle
    assert not writer.write(b"")
    assert reader.read(1) == [b"y" * (PAGE - 8)]


def test_nothing_is_read_past_a_message_that_is_being_written(
    writer: Writer, reader: RingBuffer
) -> None:
    assert writer.write(b"before")
    place = writer.reserve(b"under way")
    assert place is not None
    assert writer.write(b"after")
    assert reader.read(9) == [b"before"]
    assert reader.read(9) == []
    assert reader.waiting()
    writer.commit(place, len(b"under way"))
    assert reader.read(9) == [b"under way", b"after"]
    assert not reader.waiting()


def test_passes_over_what_was_discarded(writer: Writer, reader: RingBuffer) -> None:
    assert writer.write(b"gone", DISCARD)
    assert writer.write(b"there")
    assert writer.write(b"gone too", DISCARD)
    assert reader.read(9) == [b"there"]
    assert not reader.waiting()
    assert writer.write(b"gone", DISCARD)
    assert reader.read(9) == []
    assert not reader.waiting()


def test_keeps_no_memory_and_no_descriptor(writer: Writer) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        reader = RingBuffer(writer.fd, writer.size)
        writer.write(b"message")
        assert reader.read(1) == [b"message"]
        reader.close()
        reader.close()
    assert len(os.listdir("/proc/self/fd")) == before
    with open("/proc/self/maps", encoding="utf-8") as maps:
        assert sum("memfd:ring" in line for line in maps) == 1  # the writer's
