"""The trace codec: what was written is read, and damage is refused or told, never believed."""

from __future__ import annotations

import dataclasses
import importlib.resources
import io
import json
import struct
import typing
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paredown_schemas import trace as codec
from paredown_schemas.errors import DamagedInputError, ParedownError
from paredown_schemas.names import decode_name, escape_name
from paredown_schemas.trace import (
    FACETS,
    MAGIC,
    RECORD_TYPES,
    UNTOLD,
    Coverage,
    Facet,
    File,
    Header,
    Loss,
    Record,
    Snapshot,
    Trace,
    TraceWriter,
    Trailer,
    read_trace,
    read_trace_file,
    record_to_json,
)
from traces import trace_records, use

_counts = st.integers(0, 2**63 - 1)
_texts = st.text(max_size=20)
_names = st.binary(max_size=40).filter(lambda raw: b"\0" not in raw).map(decode_name)


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if hint == codec.Name:
        return _names
    if hint == codec.Signed:
        return st.integers(-(2**63), 2**63 - 1)
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(arguments)
    if typing.get_origin(hint) is tuple:
        return st.lists(_values(arguments[0]), max_size=4).map(tuple)
    if arguments:
        inner = next(argument for argument in arguments if argument is not type(None))
        return st.none() | _values(inner)
    return {int: _counts, str: _texts, bool: st.booleans()}[hint]


def _records(*types: type[Record]) -> st.SearchStrategy[Record]:
    return st.one_of([st.builds(cls, **_fields(cls)) for cls in types])


def _fields(cls: type[Record]) -> dict[str, st.SearchStrategy[Any]]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: _values(hints[field.name]) for field in dataclasses.fields(cls)}


_inner = _records(*(c for c in RECORD_TYPES.values() if c not in (Header, Trailer)))


@st.composite
def _traces(draw: st.DrawFn) -> list[list[Record]]:
    """Draw runs as recorders and ``merge`` write them: the trailers tell the truth."""
    runs = draw(st.lists(st.lists(_inner, max_size=6), min_size=1, max_size=3))
    return [
        [
            draw(_records(Header)),
            *records,
            Trailer(
                files=sum(isinstance(record, File) for record in records),
                losses=sum(isinstance(record, Loss) for record in records),
                verdict="complete",
                reasons=(),
                time=draw(_counts),
                more=number < len(runs),
            ),
        ]
        for number, records in enumerate(runs, 1)
    ]


def _write(*runs: list[Record]) -> bytes:
    file = io.BytesIO()
    writer = TraceWriter(file)
    for run in runs:
        for record in run:
            writer.write(record)
    return file.getvalue()


def _read(data: bytes) -> Trace:
    return read_trace_file(io.BytesIO(data), "test")


def _flat(trace: Trace) -> list[Record]:
    return [
        record
        for run in trace.runs
        for record in (run.header, *run.records, *([run.trailer] if run.trailer else []))
    ]


@given(_traces())
def test_what_was_written_is_read(runs: list[list[Record]]) -> None:
    trace = _read(_write(*runs))
    assert _flat(trace) == [record for run in runs for record in run]
    reasons = {"late attach", "lost events", "truncated paths"}
    assert set(trace.reasons) <= reasons
    for run in trace.runs:
        lost = any(isinstance(record, (Loss, Snapshot)) for record in run.records)
        truncated = any(getattr(record, "truncated", False) for record in run.records)
        assert run.verdict == ("partial" if lost or truncated else "complete")


def _refused_or_partial(data: bytes, written: list[Record]) -> None:
    try:
        trace = _read(data)
    except DamagedInputError as error:
        assert str(error).startswith("cannot read trace test: ")
        return
    assert trace.verdict == "partial"
    assert trace.reasons
    found = _flat(trace)
    assert found == written[: len(found)]


@given(_traces(), st.data())
def test_any_prefix_is_partial_or_refused(runs: list[list[Record]], data: st.DataObject) -> None:
    whole = _write(*runs)
    written = [record for run in runs for record in run]
    _refused_or_partial(whole[: data.draw(st.integers(0, len(whole) - 1))], written)


@given(_traces(), st.data())
def test_any_flipped_bit_is_partial_or_refused(
    runs: list[list[Record]], data: st.DataObject
) -> None:
    whole = bytearray(_write(*runs))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    _refused_or_partial(bytes(whole), [record for run in runs for record in run])


@given(_traces(), st.binary(min_size=1, max_size=40))
def test_anything_behind_the_end_is_partial(runs: list[list[Record]], more: bytes) -> None:
    _refused_or_partial(_write(*runs) + more, [record for run in runs for record in run])


def test_every_prefix_and_every_flipped_bit_of_one_trace() -> None:
    runs = [
        trace_records(["/bin/sh", use("/lib/x", exe=None)], scenario="load"),
        trace_records([use("/etc/\udcff\n")], run="two"),
    ]
    runs[0][-1] = dataclasses.replace(typing.cast("Trailer", runs[0][-1]), more=True)
    whole = _write(*runs)
    written = [record for run in runs for record in run]
    for length in range(len(whole)):
        _refused_or_partial(whole[:length], written)
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        _refused_or_partial(bytes(damaged), written)
    assert _read(whole).verdict == "complete"


def test_a_run_is_missing_behind_one_that_promises_it() -> None:
    run = trace_records(["/a"])
    run[-1] = dataclasses.replace(typing.cast("Trailer", run[-1]), more=True)
    assert "missing" in _read(_write(run)).reasons[0]


def test_two_files_glued_together_are_no_merge() -> None:
    run = trace_records(["/a"])
    data = _write(run, run)
    trace = _read(data)
    assert len(trace.runs) == 1
    assert trace.verdict == "partial"


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedInputError):
        _read(data)
    with pytest.raises(DamagedInputError):
        _read(MAGIC + struct.pack("<I", 1) + data)


def _frame(payload: bytes) -> bytes:
    length = struct.pack("<I", len(payload))
    return length + struct.pack("<I", zlib.crc32(payload, zlib.crc32(length))) + payload


_WIRE: dict[str, Any] = {
    "type": "file",
    "path": b"/x",
    "how": "read",
    "kind": "file",
    "session": 1,
    "exe": None,
    "time": 1,
    "size": 1,
    "mtime": -1,
    "device": None,
    "inode": None,
    "truncated": False,
    "held": False,
}


def _pack(**changes: Any) -> bytes:
    packed: bytes = msgpack.packb({**_WIRE, **changes})
    return packed


def _after_header(payload: bytes) -> Trace:
    return _read(_write(trace_records(trailer=False)[:1]) + _frame(payload))


def test_the_payload_that_hostile_ones_are_made_from_is_taken() -> None:
    assert [file.path for file in _after_header(_pack()).runs[0].files()] == ["/x"]


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xc1", id="no msgpack"),
        pytest.param(b"\x90", id="no map"),
        pytest.param(b"\x91" * 100_000 + b"\xc0", id="nested"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="an array of 4 GiB"),
        pytest.param(b"\xdd\x00\x01\x00\x00" * 1_000, id="nested arrays that reserve memory"),
        pytest.param(b"\xdf\xff\xff\xff\xff", id="a map of 4 GiB"),
        pytest.param(b"\xc6\xff\xff\xff\xff", id="bytes of 4 GiB"),
        pytest.param(b"\xc7\x04\x01abcd", id="an extension type"),
        pytest.param(b"\xd6\xff\x00\x00\x00\x00", id="a timestamp"),
        pytest.param(_pack() + b"\xc0", id="something behind"),
        pytest.param(_pack(extra=1), id="an unknown field"),
        pytest.param(_pack(type="files"), id="an unknown type"),
        pytest.param(_pack(type=b"file"), id="a type of bytes"),
        pytest.param(_pack(type=["file"]), id="a type of lists"),
        pytest.param(_pack(path="/x"), id="text for a name"),
        pytest.param(_pack(path=b"/a\0b"), id="a NUL in a name"),
        pytest.param(_pack(path=None), id="no path"),
        pytest.param(_pack(how="stat"), id="an unknown how"),
        pytest.param(_pack(how=["read"]), id="a how of lists"),
        pytest.param(_pack(size=-1), id="a negative size"),
        pytest.param(_pack(time=-1), id="a negative time"),
        pytest.param(_pack(session=-1), id="a negative session"),
        pytest.param(_pack(inode=-1), id="a negative inode"),
        pytest.param(_pack(size=1.0), id="a float"),
        pytest.param(_pack(size=True), id="a boolean for a number"),
        pytest.param(_pack(held=0), id="a number for a boolean"),
        pytest.param(_pack(exe={"a": 1}), id="a map for a name"),
        pytest.param(msgpack.packb(_WIRE).replace(b"\xa4held", b"\xa4size"), id="a key twice"),
        pytest.param(b"\x8e" + _pack()[1:] + b"\xa4held\xc2", id="a key twice, one too many"),
        pytest.param(msgpack.packb({1: 2}), id="a key that is no text"),
    ],
)
def test_hostile_payload_ends_the_run(payload: bytes) -> None:
    trace = _after_header(payload)
    assert trace.verdict == "partial"
    assert list(trace.runs[0].records) == []
    # The cause, and not only that there is no trailer.
    assert trace.reasons != ("the recorder ended without a trailer",)


def test_a_length_that_lies_asks_for_no_memory() -> None:
    head = struct.pack("<II", 0xFFFFFFFF, 0)
    trace = _read(_write(trace_records(trailer=False)[:1]) + head)
    assert trace.reasons == ("a frame claims 4294967295 bytes",)


@pytest.mark.parametrize(
    "record",
    [
        use("/x", size=-1),
        use("/x", how="stat"),
        use("/a\0b"),
        use("/x", time=0.5),
        use("/" + "x" * (1 << 20)),
        Loss(where="\udcff", count=None, time=0),
        dataclasses.replace(
            typing.cast("Header", trace_records()[0]), command=("x",) * (codec.MAX_ITEMS + 1)
        ),
    ],
    ids=["size", "how", "nul", "float", "long", "surrogate", "items"],
)
def test_a_writer_refuses_what_no_reader_takes(record: Record) -> None:
    file = io.BytesIO()
    writer = TraceWriter(file)
    for good in trace_records(trailer=False):
        writer.write(good)
    before = file.getvalue()
    with pytest.raises(ParedownError, match="^cannot write a "):
        writer.write(record)
    assert file.getvalue() == before


def test_a_trailer_that_counts_wrongly_is_not_believed() -> None:
    run = trace_records(["/a", "/b"])
    del run[3]
    assert _read(_write(run)).reasons == ("the trailer's counts differ from the records",)


def test_a_loss_is_partial_whatever_the_trailer_says() -> None:
    run = trace_records(records=[Loss("ring buffer", 3, 1)])
    assert _read(_write(run)).verdict == "partial"


@given(_records(*RECORD_TYPES.values()))
def test_every_record_is_what_the_schema_says(record: Record) -> None:
    _SCHEMA.validate(_escaped(record_to_json(record)))


def test_the_schema_refuses() -> None:
    good = _escaped(record_to_json(use("/x")))
    _SCHEMA.validate(good)
    for bad in (
        {**good, "extra": 1},
        {**good, "size": -1},
        {**good, "path": "/a\nb"},
        {**good, "path": "/a\\b"},
        {**good, "type": "mark"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            _SCHEMA.validate(bad)


def test_the_schema_has_every_record_and_field() -> None:
    schema = json.loads(_schema_text())
    for kind, cls in RECORD_TYPES.items():
        fields = {"type", *(field.name for field in dataclasses.fields(cls))}
        assert set(schema["definitions"][kind]["properties"]) == fields
        assert set(schema["definitions"][kind]["required"]) == fields
        assert schema["definitions"][kind]["additionalProperties"] is False


def test_what_nobody_told_of_was_not_recorded() -> None:
    def coverage(*told: Coverage) -> dict[Facet, str | None]:
        (run,) = _read(_write(trace_records(["/x"], records=told))).runs
        return run.coverage()

    assert set(coverage()) == set(FACETS)
    assert set(coverage().values()) == {UNTOLD}
    once = Coverage("ports", recorded=True, why="")
    assert coverage(once) == {**coverage(), "ports": None}
    # After a restart, say: one that says no counts, in whatever order.
    no = Coverage("ports", recorded=False, why="no cgroup2")
    assert coverage(once, no)["ports"] == coverage(no, once)["ports"] == "no cgroup2"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ParedownError, match="No such file"):
        read_trace(tmp_path / "missing")
    with pytest.raises(ParedownError, match="Is a directory"):
        read_trace(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(DamagedInputError, match="not a Paredown trace"):
        read_trace(tmp_path / "empty")
    (tmp_path / "new").write_bytes(MAGIC + struct.pack("<I", 2))
    with pytest.raises(DamagedInputError, match="format version 2, this Paredown reads 1"):
        read_trace(tmp_path / "new")


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return escape_name(value) if isinstance(value, str) else value


def _schema_text() -> str:
    return (importlib.resources.files("paredown_schemas") / "trace-1.schema.json").read_text()


_SCHEMA = jsonschema.Draft7Validator(json.loads(_schema_text()))


def _file_payload(**fields: Any) -> bytes:
    """Return a file record as the writer packs it: first what files share, then its own."""
    return _write([use("/usr/bin/x", size=7, mtime=9, inode=3, **fields)])[len(MAGIC) + 12 :]


def _outcome(decode: Callable[[bytes], Record], payload: bytes) -> Record | None:
    try:
        return decode(payload)
    except DamagedInputError:
        return None


@given(st.integers(0, 200), st.integers(0, 4), st.binary(max_size=4))
def test_files_that_share_much_are_read_no_differently(at: int, gone: int, new: bytes) -> None:
    """The second file of a kind is decoded by a shorter way; damage is damage there too."""
    payload = _file_payload(time=5)
    damaged = payload[:at] + new + payload[at + gone :]
    decode = codec._Decoder().record
    assert decode(payload) == decode(payload) == codec._from_wire(payload)
    assert _outcome(decode, damaged) == _outcome(codec._from_wire, damaged)


@pytest.mark.parametrize(
    "damage",
    [
        (b"\xa4size", b"\xa4time"),  # a key twice, and one missing
        (b"\xa4size", b"\xa4held"),  # a key that what is shared has
        (b"\xa5inode\x03", b"\xa5inode\x03\xa3new\x01"),  # something behind
        (b"\xa5inode\x03", b"\xa5inode\xc2"),
        (b"\xa5inode\x03", b"\xa5inode\xff"),
        (b"\xa4size\x07", b"\xa4size\xff"),
        (b"\xa4size\x07", b"\xa4size\xd4\x01\x00"),  # an extension
        (b"\xa4time\x05", b"\xa4time\xff"),
        (b"\xa5mtime\x09", b"\xa5mtime\xa1x"),
        (b"/usr/bin/x", b"/usr/bin/\0"),
    ],
)
def test_damage_behind_what_files_share(damage: tuple[bytes, bytes]) -> None:
    payload = _file_payload(time=5)
    decode = codec._Decoder().record
    decode(payload)
    assert damage[0] in payload
    with pytest.raises(DamagedInputError):
        decode(payload.replace(*damage))
