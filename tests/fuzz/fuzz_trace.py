"""Traces: what is read can be written and reads the same, and no claim makes one complete."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

from fuzzing import refusing
from paredown_schemas.trace import (
    MAGIC,
    Capability,
    Coverage,
    Lookup,
    Loss,
    Mark,
    Port,
    Process,
    Record,
    Snapshot,
    Syscall,
    Trace,
    TraceWriter,
    read_trace_file,
    record_to_json,
)
from traces import trace_records, use

_HEAD = struct.Struct("<II")
DICTIONARY = [
    *(cls.TYPE.encode() for cls in (Capability, Coverage, Lookup, Loss, Mark, Port, Process)),
    *(b"header", b"image", b"session", b"file", b"trailer", b"snapshot", b"syscall"),
    *(b"\xc0", b"\xc2", b"\xc3", b"\xc4\x01", b"\xc7\x01\x01", b"\xcf" + b"\xff" * 8),
    *(b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xd9\x01"),
    *(b"complete", b"partial", b"reasons", b"verdict", b"truncated", b"path", b"type"),
]


def one_input(data: bytes) -> None:
    """Read a trace as it is, or with checksums made right: behind them lies the decoder."""
    with refusing():
        _check(data[1:] if data[:1] != b"c" else _with_checksums(data[1:]))


def _check(data: bytes) -> None:
    trace = read_trace_file(io.BytesIO(data), "fuzz")
    for run in trace.runs:
        assert (run.verdict == "complete") == (not run.reasons)
        assert run.verdict == "partial" or run.trailer is not None
        assert set(run.coverage())
        for record in run.records:
            assert record_to_json(record)["type"] == record.TYPE
    again = read_trace_file(io.BytesIO(_written(trace)), "again")
    assert [_records(trace)] == [_records(again)]


def _records(trace: Trace) -> list[Record]:
    return [
        record
        for run in trace.runs
        for record in (run.header, *run.records, *([run.trailer] if run.trailer else []))
    ]


def _written(trace: Trace) -> bytes:
    file = io.BytesIO()
    writer = TraceWriter(file)
    for record in _records(trace):
        writer.write(record)
    return file.getvalue()


def _with_checksums(data: bytes) -> bytes:
    """Return the frames with lengths that fit and checksums that are right."""
    start = len(MAGIC) + 4
    frames = [data[:start]]
    while len(data) - start >= _HEAD.size:
        length = min(_HEAD.unpack_from(data, start)[0], len(data) - start - _HEAD.size)
        payload = data[start + _HEAD.size :][:length]
        head = struct.pack("<I", length)
        frames += [head, struct.pack("<I", zlib.crc32(payload, zlib.crc32(head))), payload]
        start += _HEAD.size + length
    return b"".join(frames)


def _trace(*runs: list[Record]) -> bytes:
    file = io.BytesIO()
    writer = TraceWriter(file)
    for run in runs:
        for record in run:
            writer.write(record)
    return file.getvalue()


def seeds() -> Iterator[bytes]:
    """Yield traces with every kind of record, whole and cut short."""
    some: list[Record] = [
        Process(1, 7, "/bin/sh", 0, None, 3),
        Lookup("/a\udcff", "stat", "ENOENT", 1, None, 4, truncated=True),
        Port("tcp", "::", 80, 1, "/bin/sh", 4, held=False),
        Capability("CAP_CHOWN", granted=True, session=1, exe=None, time=4),
        Syscall(None, 512, "x86_64", 1, None, 5),
        Loss("ring", None, 5),
        Mark("warm\udcff", 7),
        Snapshot(3, 8),
        Coverage("missing", recorded=False, why="no lookups"),
    ]
    run = trace_records([use("/usr/bin/app", how="exec"), use("/etc/\udcff\n", truncated=True)])
    full = trace_records(["/a"], records=some, reasons=("lost events",))
    for data in (_trace(run), _trace(full), _trace(run, full), _trace(run)[:-9]):
        yield b"c" + data
        yield b"r" + data
    yield b"c" + MAGIC + struct.pack("<I", 2)
