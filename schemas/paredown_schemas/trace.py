"""Trace file, version 1: what one recording, or a union of recordings, saw.

docs/trace-format.md describes the format, trace-1.schema.json each record::

    magic    b"PDTRACE" and a NUL
    version  u32 little endian, 1
    frame*   u32 length of payload, u32 CRC32 of (length, payload), payload: one msgpack map

A file holds one or more *runs*: a header, the records, a trailer. ``merge`` puts several runs into
one file; the trailer of all but the last says that another run follows. A writer killed at any byte
leaves a file that still reads: the reader takes the longest valid prefix and calls the run that it
ends in partial. Nothing in a file is trusted.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import struct
import types
import typing
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, BinaryIO, ClassVar, Literal, Union

import msgpack

from paredown_schemas.errors import DamagedInputError, ParedownError
from paredown_schemas.names import decode_name, encode_name

MAGIC = b"PDTRACE\0"
VERSION = 1
# Linux bounds neither the depth of a path nor a command line in a useful way; this bound keeps a
# lying length from asking for gigabytes.
MAX_FRAME = 1 << 20
# Of a command line or of reasons; msgpack reserves memory for what an array claims to hold.
MAX_ITEMS = 1 << 16

_VERSION = struct.Struct("<I")
_FRAME_HEAD = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_OWN = ("path", "time", "size", "mtime", "inode")
_MAX_SHARED = 256
# Names that are remembered between files, and how long they may be: 16 MiB at most.
_NAMES = 1 << 15
_SHORT = 512

# A file name or argument: text as names.py has it in memory, bytes on the wire.
Name = Annotated[str, "name"]
# Every other number is a count, an id or a time since the run's start: never negative.
Signed = Annotated[int, "signed"]
How = Literal[
    "exec",  # a program that exec named
    "script",  # a script that exec named
    "interpreter",  # the program of a script's first line
    "loader",  # the ELF interpreter (PT_INTERP) of a program
    "library",  # a shared object, opened or found mapped
    "read",
    "write",
    "directory",  # a directory, opened
]
# What somebody started: its interpreter, loader and libraries only follow.
STARTED: frozenset[How] = frozenset({"exec", "script"})
Kind = Literal["file", "directory", "other"]
SessionKind = Literal["container", "injected", "command"]
Verdict = Literal["complete", "partial"]
LookupCall = Literal[
    "stat",
    "access",  # may it be used so? chdir and watching for changes ask that too
    "readlink",
    "list",  # a directory's entries
    "open",
    "exec",
]
Protocol = Literal["tcp", "udp", "other"]
Facet = Literal[
    "exists",  # look-ups that found something, but for opens and execs: those are files
    "missing",  # look-ups that failed
    "capabilities",
    "syscalls",
    "ports",
    "ids",
    "directories",  # written to
]


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """First record of a run. ``start`` is ns since the epoch; every other time is ns since it."""

    TYPE: ClassVar[str] = "header"
    run: str  # random; names this run in merged traces
    agent: str
    kernel: str
    recorder: str
    platform: str  # as OCI writes it: linux/amd64
    target: str  # rootfs, docker, podman, container, command
    command: tuple[Name, ...]  # without environment values
    scenario: str | None
    container: str | None
    start: int


@dataclasses.dataclass(frozen=True, slots=True)
class ImageIdentity:
    """What was recorded (see identity.py); known a moment after the header."""

    TYPE: ClassVar[str] = "image"
    reference: Name | None
    identity: str | None  # None inside a container: the minimizer then compares size and mtime


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """One process tree: the container's own, or one that came in from outside."""

    TYPE: ClassVar[str] = "session"
    id: int
    kind: SessionKind
    pid: int
    time: int


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """A program first seen running in a session, or first seen there with these effective ids."""

    TYPE: ClassVar[str] = "process"
    session: int
    pid: int
    exe: Name | None
    uid: int | None
    gid: int | None
    time: int


# Not frozen, unlike the others: that takes 2 µs of the 20 that a new file may cost.
@dataclasses.dataclass(slots=True, unsafe_hash=True)
class File:
    """The first use of a path in one way. ``path`` is the one inside the image's superblock."""

    TYPE: ClassVar[str] = "file"
    path: Name
    how: How
    kind: Kind
    session: int
    exe: Name | None  # None where it is not known for certain
    time: int
    size: int | None
    mtime: Signed | None  # ns since the epoch
    device: int | None  # device and inode are evidence, never identity
    inode: int | None
    truncated: bool  # path lacks its beginning: it may mean any path that ends so
    held: bool  # found open or mapped by the snapshot of a late attach


@dataclasses.dataclass(frozen=True, slots=True)
class Lookup:
    """The first time that a program asked for a path in one way, with one outcome.

    ``path`` is as the program named it, made absolute inside the image's superblock by the working
    directory, descriptor or root that it counted from. Symlinks and ".." in it are not resolved.
    """

    TYPE: ClassVar[str] = "lookup"
    path: Name
    call: LookupCall
    error: str | None  # None: it is there; else why not, "ENOENT"
    session: int
    exe: Name | None
    time: int
    truncated: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Port:
    """A port that a program bound a socket to."""

    TYPE: ClassVar[str] = "port"
    protocol: Protocol
    address: str  # "0.0.0.0", "::"
    port: int
    session: int
    exe: Name | None
    time: int
    held: bool  # found bound at a late attach


@dataclasses.dataclass(frozen=True, slots=True)
class Capability:
    """A capability that the kernel asked a program for, and whether it had it."""

    TYPE: ClassVar[str] = "capability"
    name: str  # "CAP_CHOWN"
    granted: bool
    session: int
    exe: Name | None
    time: int


@dataclasses.dataclass(frozen=True, slots=True)
class Syscall:
    """A system call that a program made; ``name`` is None where the agent could not name it."""

    TYPE: ClassVar[str] = "syscall"
    name: str | None
    number: int
    architecture: str  # whose table the number is of: "x86_64", "i386"
    session: int
    exe: Name | None
    time: int


@dataclasses.dataclass(frozen=True, slots=True)
class Coverage:
    """Whether something was recorded at all. Without this record it was not: old traces lack it.

    Of several for one facet, as where a container was restarted, one that says no counts.
    """

    TYPE: ClassVar[str] = "coverage"
    what: Facet
    recorded: bool
    why: str  # not; empty where it was
    session: int | None = None  # whose; None: everybody's


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """A named phase of the load begins."""

    TYPE: ClassVar[str] = "mark"
    name: Name
    time: int


@dataclasses.dataclass(frozen=True, slots=True)
class Loss:
    """Events that could not be recorded; ``count`` is None where the kernel does not count."""

    TYPE: ClassVar[str] = "loss"
    where: str
    count: int | None
    time: int


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """A late attach: what ran and was held at ``time``; ``held`` files follow."""

    TYPE: ClassVar[str] = "snapshot"
    processes: int
    time: int


@dataclasses.dataclass(frozen=True, slots=True)
class Trailer:
    """Last record of a run: the counts are what a reader must have found."""

    TYPE: ClassVar[str] = "trailer"
    files: int
    losses: int
    verdict: Verdict
    reasons: tuple[str, ...]
    time: int
    more: bool = False  # another run follows in this file


Record = Union[  # noqa: UP007 - evaluated at run time, on Python 3.10 too
    Header,
    ImageIdentity,
    Session,
    Process,
    File,
    Lookup,
    Port,
    Capability,
    Syscall,
    Coverage,
    Mark,
    Loss,
    Snapshot,
    Trailer,
]
FACETS: tuple[Facet, ...] = typing.get_args(Facet)
UNTOLD = "the recorder told nothing of it"
RECORD_TYPES: dict[str, type[Record]] = {cls.TYPE: cls for cls in typing.get_args(Record)}


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One recording. ``verdict`` is what a reader can vouch for, not what the trailer claims."""

    header: Header
    image: ImageIdentity | None
    records: tuple[Record, ...]  # in order, without header and trailer
    trailer: Trailer | None
    verdict: Verdict
    reasons: tuple[str, ...]  # why partial; empty when complete

    def files(self) -> Iterator[File]:
        """Yield the file records in the order in which they were seen."""
        return (record for record in self.records if isinstance(record, File))

    def sessions(self) -> dict[int, Session]:
        """Return the sessions by id."""
        return {record.id: record for record in self.records if isinstance(record, Session)}

    def coverage(self) -> dict[Facet, str | None]:
        """Return, for every facet, why it was not recorded; None where it was."""
        found: dict[Facet, str | None] = {}
        for record in self.records:
            if isinstance(record, Coverage) and found.get(record.what) is None:
                found[record.what] = None if record.recorded else record.why
        return {what: found.get(what, UNTOLD) for what in FACETS}


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """Everything that one trace file holds."""

    runs: tuple[Run, ...]

    @property
    def verdict(self) -> Verdict:
        """``complete`` only if every run is."""
        return "complete" if all(run.verdict == "complete" for run in self.runs) else "partial"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why the trace is partial, without repetition."""
        return tuple(dict.fromkeys(reason for run in self.runs for reason in run.reasons))


class TraceWriter:
    """Append records to an open binary file; the file is valid after every ``write``.

    Raises:
        OSError: from the file, as it is; what was written before still reads.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._pack: Callable[[Any], bytes] = msgpack.Packer(use_bin_type=True).pack
        self._shared: dict[tuple[object, ...], bytes] = {}  # what files share, packed
        file.write(MAGIC + _VERSION.pack(VERSION))

    def write(self, record: Record) -> None:
        """Append one record.

        Raises:
            ParedownError: the record is too long, or has a value that no reader would take.
        """
        try:
            payload = self._file_payload(record) if type(record) is File else self._payload(record)
        except (TypeError, ValueError, OverflowError) as error:
            raise ParedownError(f"cannot write a {record.TYPE} record: {error}") from error
        if len(payload) > MAX_FRAME:
            raise ParedownError(f"cannot write a {record.TYPE} record: {len(payload)} bytes long")
        length = _LENGTH.pack(len(payload))
        self._file.write(
            _FRAME_HEAD.pack(len(payload), zlib.crc32(payload, zlib.crc32(length))) + payload
        )

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        self._file.flush()

    def _payload(self, record: Record) -> bytes:
        return self._pack(_to_wire(record, _CODECS[type(record)]))

    def _file_payload(self, file: File) -> bytes:
        """As ``_payload``, in half the time: a recorder's pace hangs on it."""
        key = (
            *(file.how, file.kind, file.session, file.exe),
            *(file.device, file.truncated, file.held),
        )
        shared = self._shared.get(key)
        if shared is None:
            if len(self._shared) >= _MAX_SHARED:
                self._shared.clear()
            shared = self._shared[key] = self._pack(_to_wire(file, _SHARED))[1:]
        own = {
            "path": _PATH(file.path),
            "time": _TIME(file.time),
            "size": _SIZE(file.size),
            "mtime": _MTIME(file.mtime),
            "inode": _INODE(file.inode),
        }
        return _FILE_MAP + shared + self._pack(own)[1:]


def read_trace(path: Path) -> Trace:
    """Read the trace file at ``path``; damage behind a valid prefix makes the run partial.

    Raises:
        DamagedInputError: not a trace, of another version, or its valid prefix is not a trace.
        ParedownError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return read_trace_file(file, str(path))
    except OSError as error:
        raise ParedownError(f"cannot read trace {path}: {error.strerror}") from error


def read_trace_file(file: BinaryIO, name: str) -> Trace:
    """Read a trace from an open file; ``name`` is for messages."""
    head = file.read(len(MAGIC) + _VERSION.size)
    if head[: len(MAGIC)] != MAGIC or len(head) < len(MAGIC) + _VERSION.size:
        raise DamagedInputError(f"cannot read trace {name}: not a Paredown trace")
    (version,) = _VERSION.unpack(head[len(MAGIC) :])
    if version != VERSION:
        raise DamagedInputError(
            f"cannot read trace {name}: format version {version}, this Paredown reads {VERSION}"
        )
    runs: list[Run] = []
    records: list[Record] = []
    damage = ""
    try:
        for record in _frames(file):
            if type(record) is File and records:
                records.append(record)
                continue
            _refuse_misplaced(record, runs, records)
            records.append(record)
            if isinstance(record, Trailer):
                runs.append(_run(records, ""))
                records = []
    except DamagedInputError as error:
        damage = str(error)
    if records:
        runs.append(_run(records, damage or "the recorder ended without a trailer"))
    elif runs and (damage or _more(runs[-1])):
        damage = damage or "the run that should follow is missing"
        runs[-1] = _partial(runs[-1], f"damaged behind its end: {damage}")
    if not runs:
        raise DamagedInputError(f"cannot read trace {name}: {damage or 'it holds no records'}")
    return Trace(tuple(runs))


def record_to_json(record: Record) -> dict[str, Any]:
    """Return ``record`` as trace-1.schema.json describes it, names unescaped."""
    fields = {
        field.name: list(value) if isinstance(value, tuple) else value
        for field in dataclasses.fields(record)
        for value in [getattr(record, field.name)]
    }
    return {"type": record.TYPE, **fields}


def _refuse_misplaced(record: Record, runs: Sequence[Run], records: Sequence[Record]) -> None:
    """Raise DamagedInputError if ``record`` cannot follow ``records`` of the run after ``runs``."""
    if not records and not isinstance(record, Header):
        raise DamagedInputError(f"a {record.TYPE} record outside of a run")
    if records and isinstance(record, Header):
        raise DamagedInputError("a second header inside a run")
    if runs and not records and not _more(runs[-1]):
        raise DamagedInputError("a run behind the last one")


def _frames(file: BinaryIO) -> Iterator[Record]:
    decode = _Decoder().record
    while head := file.read(_FRAME_HEAD.size):
        if len(head) < _FRAME_HEAD.size:
            raise DamagedInputError("cut short inside a frame")
        length, checksum = _FRAME_HEAD.unpack(head)
        if length > MAX_FRAME:
            raise DamagedInputError(f"a frame claims {length} bytes")
        payload = file.read(length)
        if len(payload) < length:
            raise DamagedInputError("cut short inside a frame")
        if zlib.crc32(payload, zlib.crc32(head[: _LENGTH.size])) != checksum:
            raise DamagedInputError("a frame does not match its checksum")
        yield decode(payload)


class _Decoder:
    """Makes records of payloads; what files have in common, as the writer packs it, only once.

    Fifty traces of 10,000 files are read for one plan: the short way is worth its lines. Behind a
    payload that is refused nothing more may be asked for.
    """

    def __init__(self) -> None:
        self._shared: dict[bytes, tuple[Any, ...]] = {}  # what files share, by how it is packed
        self._unpacker = msgpack.Unpacker(**_LIMITS)
        self._fed = 0

    def record(self, payload: bytes) -> Record:
        own_at = payload.find(_OWN_BEGINS)
        shared = self._shared.get(payload[:own_at])
        if shared is not None:
            return self._file(_OWN_MAP + payload[own_at:], shared)
        record = _from_wire(payload)
        if type(record) is File and _is_shared(payload[:own_at]):
            if len(self._shared) >= _MAX_SHARED:
                self._shared.clear()
            self._shared[payload[:own_at]] = (
                *(record.how, record.kind, record.session, record.exe),
                *(record.device, record.truncated, record.held),
            )
        return record

    def _file(self, own: bytes, shared: tuple[Any, ...]) -> File:
        unpacker = self._unpacker
        self._fed += len(own)
        try:
            unpacker.feed(own)
            wire = unpacker.unpack()
            path, time, inode = wire["path"], wire["time"], wire["inode"]
            size, mtime = wire["size"], wire["mtime"]
        except _UNPACKED_BADLY as error:
            raise DamagedInputError("a file record that is damaged or lacks a field") from error
        # As the codecs would, which take twice as long.
        if not (
            unpacker.tell() == self._fed
            and len(wire) == len(_OWN)
            and type(path) is bytes
            and b"\0" not in path
            and (type(time) is int and time >= 0)
            and (size is None or (type(size) is int and size >= 0))
            and (mtime is None or type(mtime) is int)
            and (inode is None or (type(inode) is int and inode >= 0))
        ):
            raise DamagedInputError("a file record with a bad value")
        how, kind, session, exe, device, truncated, held = shared
        name = _same_name(path) if len(path) <= _SHORT else decode_name(path)
        return File(
            name, how, kind, session, exe, time, size, mtime, device, inode, truncated, held
        )


@functools.lru_cache(_NAMES)
def _same_name(raw: bytes) -> str:
    """As ``decode_name``; one text for all runs of an image takes less memory, and is near."""
    return decode_name(raw)


def _is_shared(packed: bytes) -> bool:
    """Say whether this is the beginning of a file's map up to what each has for itself.

    What msgpack reads does not depend on what follows: behind the same beginning the rest of the
    map is what the rest says, whatever that is.
    """
    try:
        return _unpack(_SHARED_MAP + packed[1:]).keys() == _SHARED_KEYS
    except DamagedInputError:
        return False


def _run(records: list[Record], damage: str) -> Run:
    header, *rest = records
    assert isinstance(header, Header)  # noqa: S101 - read_trace_file lets nothing else in
    trailer = rest.pop() if rest and isinstance(rest[-1], Trailer) else None
    assert trailer is None or isinstance(trailer, Trailer)  # noqa: S101
    image = next((record for record in rest if isinstance(record, ImageIdentity)), None)
    reasons = [*(trailer.reasons if trailer else ()), *([damage] if damage else [])]
    counts = collections.Counter(map(type, rest))
    if trailer and (trailer.files, trailer.losses) != (counts[File], counts[Loss]):
        reasons.append("the trailer's counts differ from the records")
    if counts[Loss] and not any(reason.startswith("lost") for reason in reasons):
        reasons.append("lost events")
    if any(isinstance(record, (File, Lookup)) and record.truncated for record in rest):
        reasons.append("truncated paths")
    if counts[Snapshot] and "late attach" not in reasons:
        reasons.append("late attach")
    if trailer and trailer.verdict == "partial" and not reasons:
        reasons.append("the recorder called it partial")
    reasons = list(dict.fromkeys(reasons))
    return Run(
        header=header,
        image=image,
        records=tuple(rest),
        trailer=trailer,
        verdict="partial" if reasons else "complete",
        reasons=tuple(reasons),
    )


def _more(run: Run) -> bool:
    return run.trailer is not None and run.trailer.more


def _partial(run: Run, reason: str) -> Run:
    return dataclasses.replace(run, verdict="partial", reasons=(*run.reasons, reason))


def _to_wire(record: Record, codecs: list[_Codec]) -> dict[str, Any]:
    wire: dict[str, Any] = {"type": record.TYPE}
    for name, to_wire, _ in codecs:
        wire[name] = to_wire(getattr(record, name))
    return wire


def _from_wire(payload: bytes) -> Record:
    wire = _unpack(payload)
    cls = RECORD_TYPES.get(kind) if isinstance(kind := wire.pop("type", None), str) else None
    if cls is None:
        raise DamagedInputError("a record of an unknown type")
    codecs = _CODECS[cls]
    if len(wire) != len(codecs):
        raise DamagedInputError(f"a {cls.TYPE} record with missing or unknown fields")
    try:
        return cls(**{name: from_wire(wire[name]) for name, _, from_wire in codecs})
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedInputError(f"a {cls.TYPE} record with a bad value") from error


def _unpack(payload: bytes) -> dict[str, Any]:
    """Return the one map that ``payload`` is."""
    try:
        wire = msgpack.unpackb(payload, **_LIMITS)
    except _UNPACKED_BADLY as error:
        raise DamagedInputError("a frame is not one msgpack record") from error
    if not isinstance(wire, dict):
        raise DamagedInputError("a record is not a map")
    if payload[0] != _MAP | len(wire) and _claimed_keys(payload) != len(wire):
        raise DamagedInputError("a record with a key twice")
    return wire


def _claimed_keys(payload: bytes) -> int:
    """Return how many keys a map says that it has; msgpack has three forms of that."""
    if payload[0] & 0xF0 == _MAP:
        return payload[0] & 0x0F
    return int.from_bytes(payload[1 : 3 if payload[0] == _MAP_16 else 5], "big")


def _refuse_extension(code: int, _data: bytes) -> Any:
    raise ValueError(f"extension type {code}")


_LIMITS: dict[str, Any] = {
    "raw": False,
    "strict_map_key": True,
    "max_ext_len": 0,
    "max_map_len": 64,
    "max_array_len": MAX_ITEMS,
    "ext_hook": _refuse_extension,
}
_UNPACKED_BADLY = (ValueError, KeyError, TypeError, RecursionError, msgpack.UnpackException)


# A codec per field, made from the dataclass's annotation, so that a record is declared once.
_Convert = Callable[[Any], Any]
_Codec = tuple[str, _Convert, _Convert]


def _codec(hint: Any) -> tuple[_Convert, _Convert]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        (inner,) = [argument for argument in arguments if argument is not type(None)]
        to_wire, from_wire = _codec(inner)
        return _optional(to_wire), _optional(from_wire)
    if origin is tuple:
        to_wire, from_wire = _codec(arguments[0])
        return (
            lambda value: [to_wire(item) for item in _few(value)],
            lambda wire: tuple(from_wire(item) for item in _expect(list, wire)),
        )
    # The rest is checked both ways: what a writer let through would end the trace for a reader.
    # Each is one call, since a recorder's pace hangs on it.
    if origin is Literal:
        return (_one_of(frozenset(arguments)),) * 2
    if hint == Name:
        return _name_to_wire, _name_from_wire
    if hint == Signed:
        return (_exact(int),) * 2
    if hint in (str, bool):
        return (_exact(hint),) * 2
    if hint is int:
        return _count, _count
    raise TypeError(hint)


def _optional(convert: _Convert) -> _Convert:
    return lambda value: None if value is None else convert(value)


def _expect(cls: type, wire: Any) -> Any:
    if type(wire) is not cls:
        raise TypeError(wire)
    return wire


def _exact(cls: type) -> _Convert:
    def convert(value: Any) -> Any:
        if type(value) is not cls:
            raise TypeError(value)
        return value

    return convert


def _few(items: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(items) > MAX_ITEMS:
        raise ValueError(f"{len(items)} items")
    return items


def _count(value: Any) -> Any:
    if type(value) is not int:
        raise TypeError(value)
    if value < 0:
        raise ValueError(f"negative: {value}")
    return value


def _one_of(allowed: frozenset[Any]) -> _Convert:
    def convert(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(value)
        return value

    return convert


def _name_to_wire(name: str) -> bytes:
    if "\0" in name:
        raise ValueError(f"a NUL in {name!r}")
    return encode_name(name)


def _name_from_wire(wire: Any) -> str:
    raw: bytes = _expect(bytes, wire)
    if b"\0" in raw:
        raise ValueError(raw)
    return decode_name(raw)


_CODECS: dict[type, list[_Codec]] = {
    cls: [
        (name, *_codec(hint))
        for name, hint in typing.get_type_hints(cls, include_extras=True).items()
        if name != "TYPE"
    ]
    for cls in RECORD_TYPES.values()
}
# What many files have in common, and what each has for itself.
_SHARED = [codec for codec in _CODECS[File] if codec[0] not in _OWN]
_PATH, _TIME, _SIZE, _MTIME, _INODE = (
    to_wire for name, to_wire, _ in _CODECS[File] if name in _OWN
)
# In msgpack the head of a map of up to 15 entries is one byte.
_MAP = 0x80
_MAP_16 = 0xDE
_FILE_MAP = bytes([_MAP | 1 + len(_CODECS[File])])
_SHARED_MAP = bytes([_MAP | 1 + len(_SHARED)])
_OWN_MAP = bytes([_MAP | len(_OWN)])
_SHARED_KEYS = {"type", *(name for name, _, _ in _SHARED)}
_OWN_BEGINS = msgpack.packb("path")
