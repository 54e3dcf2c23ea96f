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
END = bytes(2 * BLOCK)


def member_header(entry: Entry, first: str | None = None) -> bytes:
    """Return what stands before ``entry``'s content.

    ``first`` is the path of the same hardlink group that was written before, if there is one.
    """
    name = encode_name(entry.path[1:])
    if entry.type == "directory":
        name = name + b"/" if name else b"./"
    link = encode_name(first[1:] if first is not None else entry.target or "")
    kind = _HARDLINK if first is not None else _TYPES[entry.type]
    size = entry.size if kind == b"0" else 0
    seconds, fraction = divmod(entry.mtime_ns, 10**9)
    records: list[tuple[bytes, bytes]] = []
    if fraction or not 0 <= seconds < 8**11:
        records.append((b"mtime", _decimal(entry.mtime_ns)))
        seconds = 0
    numbers = {"uid": (entry.uid, 8**7), "gid": (entry.gid, 8**7), "size": (size, 8**11)}
    fields = {}
    for key, (value, limit) in numbers.items():
        if value >= limit:
            records.append((key.encode(), b"%d" % value))
        fields[key] = value if value < limit else 0
    if len(name) > 100:
        records.append((b"path", name))
    if len(link) > 100:
        records.append((b"linkpath", link))
    if first is None:
        records += [(b"SCHILY.xattr." + encode_name(key), value) for key, value in entry.xattrs]
    block = _block(
        name[:100],
        kind,
        mode=entry.mode,
        uid=fields["uid"],
        gid=fields["gid"],
        size=fields["size"],
        mtime=seconds,
        link=link[:100],
        device=entry.device or (0, 0),
    )
    return _pax(records) + block


def file_header(name: str, size: int) -> bytes:
    """Return the header of a plain member of an archive's own, such as a manifest."""
    return _block(name.encode(), b"0", mode=0o644, size=size)


def padding(size: int) -> bytes:
    """Return what fills the last block of ``size`` bytes of content."""
    return bytes(-size % BLOCK)


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
    data = b"".join(_record(key, value) for key, value in sorted(records))
    if not data:
        return b""
    return (
        _block(b"./PaxHeaders/paredown", b"x", mode=0o644, size=len(data))
        + data
        + padding(len(data))
    )


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
