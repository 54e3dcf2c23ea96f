"""Writing tar archives: ustar headers, with pax records for what they cannot hold.

The same members give the same bytes: no names of owners, no times but the members' own, one form
for everything (POSIX.1-2017 pax; SCHILY.xattr of star(5), which docker and GNU tar read).
"""

from __future__ import annotations

from collections.abc import Iterable

from paredown_minimizer.image.model import Entry
from paredown_minimizer.image.tar import BLOCK
from paredown_schemas.names import encode_name

_TYPES = {
    "file": b"0",
    "symlink": b"2",
    "char": b"3",
    "block": b"4",
    "directory": b"5",
    "fifo": b"6",
}
_HARDLINK = b"1"
# What ustar's octal fields hold.
_MAX_ID = 8**7
_MAX_SIZE = 8**11
END = bytes(2 * BLOCK)


def member_header(entry: Entry, first: str | None = None) -> bytes:
    """Return what stands before ``entry``'s content.

    ``first`` is the path of the same hardlink group that was written before, if there is one.
    """
    kind, name, link = _kind(entry, first), _name(entry), _link(entry, first)
    seconds = entry.mtime_ns // 10**9
    block = _block(
        name[:100],
        kind,
        mode=entry.mode,
        uid=entry.uid if entry.uid < _MAX_ID else 0,
        gid=entry.gid if entry.gid < _MAX_ID else 0,
        size=_size(entry, first) if entry.size < _MAX_SIZE else 0,
        mtime=0 if _has_odd_time(entry) else seconds,
        link=link[:100],
        device=entry.device or (0, 0),
    )
    return _pax(_records(entry, first)) + block


def member_size(entry: Entry, first: str | None = None) -> int:
    """Return how many bytes a member takes, its content and what fills its last block included."""
    records = _records(entry, first)
    pax = BLOCK + _padded(len(_data(records))) if records else 0
    return pax + BLOCK + _padded(_size(entry, first))


def file_header(name: str, size: int) -> bytes:
    """Return the header of a plain member of an archive's own, such as a manifest."""
    return _block(name.encode(), b"0", mode=0o644, size=size)


def padding(size: int) -> bytes:
    """Return what fills the last block of ``size`` bytes of content."""
    return bytes(-size % BLOCK)


def _kind(entry: Entry, first: str | None) -> bytes:
    return _HARDLINK if first is not None else _TYPES[entry.type]


def _name(entry: Entry) -> bytes:
    name = encode_name(entry.path[1:])
    if entry.type == "directory":
        return name + b"/" if name else b"./"
    return name


def _link(entry: Entry, first: str | None) -> bytes:
    return encode_name(first[1:] if first is not None else entry.target or "")


def _size(entry: Entry, first: str | None) -> int:
    return entry.size if first is None else 0


def _has_odd_time(entry: Entry) -> bool:
    return bool(entry.mtime_ns % 10**9) or not 0 <= entry.mtime_ns < _MAX_SIZE * 10**9


def _records(entry: Entry, first: str | None) -> list[tuple[bytes, bytes]]:
    """Return what does not fit into the header."""
    numbers = (
        (b"uid", entry.uid, _MAX_ID),
        (b"gid", entry.gid, _MAX_ID),
        (b"size", _size(entry, first), _MAX_SIZE),
    )
    texts = ((b"path", _name(entry)), (b"linkpath", _link(entry, first)))
    records = [(key, b"%d" % value) for key, value, limit in numbers if value >= limit]
    records += [(key, text) for key, text in texts if len(text) > 100]
    if _has_odd_time(entry):
        records.append((b"mtime", _decimal(entry.mtime_ns)))
    if first is None:
        records += [(b"SCHILY.xattr." + encode_name(key), value) for key, value in entry.xattrs]
    return records


def _block(
    name: bytes,
    kind: bytes,
    *,
    mode: int,
    size: int,
    uid: int = 0,
    gid: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
) -> bytes:
    # Sizes beyond ustar's eleven digits, of an archive's own members, are base-256 as GNU has it.
    octets = b"%011o\0" % size if size < 8**11 else (size | 1 << 95).to_bytes(12, "big")
    head = b"%s%07o\0%07o\0%07o\0%s%011o\0" % (
        name.ljust(100, b"\0"),
        mode,
        uid,
        gid,
        octets,
        mtime,
    )
    rest = b"%s%s" % (kind, link.ljust(100, b"\0"))
    rest += b"ustar\00000" + bytes(64) + b"%07o\0%07o\0" % device
    block = (head + b" " * 8 + rest).ljust(BLOCK, b"\0")
    return b"%s%06o\0 %s" % (head, sum(block), block[156:])


def _pax(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    data = _data(records)
    if not data:
        return b""
    return (
        _block(b"./PaxHeaders/paredown", b"x", mode=0o644, size=len(data))
        + data
        + padding(len(data))
    )


def _data(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(_record(key, value) for key, value in sorted(records))


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    while length != len(rest) + len(str(length)):  # the length counts its own digits
        length = len(rest) + len(str(length))
    return b"%d%s" % (length, rest)


def _decimal(nanoseconds: int) -> bytes:
    seconds, fraction = divmod(abs(nanoseconds), 10**9)
    sign = "-" if nanoseconds < 0 else ""
    return f"{sign}{seconds}.{fraction:09d}".rstrip("0").rstrip(".").encode()
