"""Reading tar archives from hostile hands: headers only, content by position.

Formats: POSIX.1-2017 pax and ustar, GNU tar's long names, base-256 numbers and sparse files (GNU
tar manual, "Basic Tar Format" and "Storing Sparse Files"), SCHILY.xattr of star(5). Where they
leave a choice, Go's archive/tar is followed, which container runtimes use. Python's tarfile would
round times and decode attributes, and needs six times as long.
"""

from __future__ import annotations

import bisect
import dataclasses
import io
import os
import re
import zlib
from collections.abc import Iterator
from typing import Literal

from paredown_minimizer.image.model import EntryType
from paredown_minimizer.image.regions import Region
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name, escape_name

BLOCK = 512
# Go's archive/tar has the same bound for pax headers and long names.
_MAX_EXTENSION = 1 << 20
_MAX_SPARSE = 1 << 20
# The largest images have some hundred thousand paths.
MAX_MEMBERS = 5_000_000
# So much is read at once where headers lie close together.
_AHEAD = 1 << 14
_MAX_SHARED = 4096

MemberType = EntryType | Literal["hardlink"]
_TYPES: dict[bytes, MemberType] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"S": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "char",
    b"4": "block",
    b"5": "directory",
    b"6": "fifo",
}
_XATTR = b"SCHILY.xattr."
_SPARSE = b"GNU.sparse."
_TIME = re.compile(rb"(-?)([0-9]{1,12})(?:\.([0-9]*))?")


# Frozen ones take three times as long to make.
@dataclasses.dataclass(slots=True)
class Member:
    """One member. ``extents`` say where a file's data lies: in the file, in the region, bytes."""

    name: str  # as it stands in the archive
    type: MemberType
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link: str
    device: tuple[int, int] | None
    xattrs: tuple[tuple[str, bytes], ...]
    extents: tuple[tuple[int, int, int], ...]


def read_members(region: Region, archive: str) -> Iterator[Member]:
    """Yield the members in order; ``archive`` is for messages.

    Raises:
        ParedownError: the archive is damaged, lies about sizes, or holds what no runtime unpacks.
    """
    reader = _Reader(region, archive)
    count = 0
    while member := reader.next():
        count += 1
        if count > MAX_MEMBERS:
            raise ParedownError(f"cannot read {escape_name(archive)}: too many members")
        yield member


class _Reader:
    def __init__(self, region: Region, archive: str) -> None:
        self._region = region
        self._archive = archive
        self._offset = 0
        self._ahead, self._ahead_at = b"", 0
        # What most members of an archive share, by its bytes in the header.
        self._owners: dict[bytes, tuple[int, int, int]] = {}
        self._times: dict[bytes, int] = {}

    def next(self) -> Member | None:
        records: list[tuple[bytes, bytes]] = []
        while (block := self._header()) is not None:
            kind = block[156:157]
            size = self._number(block[124:136], "size")
            if kind not in (b"x", b"g", b"L", b"K"):
                return self._member(block, kind, size, records)
            data = self._extension(size)
            if kind == b"x":
                records += self._pax(data)
            elif kind == b"L":
                records.append((b"path", data.rstrip(b"\0")))
            elif kind == b"K":
                records.append((b"linkpath", data.rstrip(b"\0")))
            # Global headers ("g", a comment of git archive) mean nothing to container runtimes.
        if records:
            raise self._error("it ends behind an extended header")
        return None

    def _header(self) -> bytes | None:
        block = self._read(BLOCK)
        if len(block) < BLOCK or not block[0]:
            if not block.strip(b"\0"):
                return None
            if len(block) < BLOCK:
                raise self._error("it is cut short")
        if self._number(block[148:156], "checksum") != _checksum(block):
            raise self._error("a header does not match its checksum")
        self._offset += BLOCK
        return block

    def _read(self, count: int) -> bytes:
        """Return the next bytes, and where members are small read those of several at once."""
        inside = self._offset - self._ahead_at
        if inside + count > len(self._ahead):
            near = inside <= len(self._ahead) + BLOCK
            self._ahead_at = self._offset
            self._ahead = self._region.read(self._offset, max(count, _AHEAD) if near else count)
            inside = 0
        return self._ahead[inside : inside + count]

    def _extension(self, size: int) -> bytes:
        if size > _MAX_EXTENSION:
            raise self._error(f"an extended header of {size} bytes")
        data = self._read(size)
        if len(data) < size:
            raise self._error("it is cut short")
        self._offset += _padded(size)
        return data

    def _pax(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield ``length key=value newline`` records."""
        while data:
            digits, _, _ = data[:20].partition(b" ")
            length = int(digits) if digits.isdigit() else 0
            record = data[len(digits) + 1 : length]
            key, equals, value = record.partition(b"=")
            if not record.endswith(b"\n") or not equals or length > len(data):
                raise self._error("a malformed extended header")
            yield key, value[:-1]
            data = data[length:]

    def _member(
        self, block: bytes, kind: bytes, size: int, records: list[tuple[bytes, bytes]]
    ) -> Member:
        pax = dict(records)
        member_type = _TYPES.get(kind)
        if member_type is None:
            raise self._error(f"a member of the unknown type {kind!r}")
        name = pax.get(b"GNU.sparse.name") or pax.get(b"path") or _ustar_name(block)
        link = pax.get(b"linkpath") or (_text(block[157:257]) if block[157] else b"")
        if b"\0" in name or b"\0" in link:
            raise self._error("a name with a NUL in it")
        if kind in (b"0", b"\0") and name.endswith(b"/"):  # before ustar had a type for them
            member_type = "directory"
        extents: tuple[tuple[int, int, int], ...] = ()
        if member_type != "file":
            size = 0  # such members have no data, whatever they claim
        else:
            size, extents = self._data(block, kind, self._pax_number(pax, b"size", size), records)
        mode, uid, gid = self._owner(block[100:124])
        mtime = self._mtime(block[136:148])
        if records:
            uid, gid = self._pax_number(pax, b"uid", uid), self._pax_number(pax, b"gid", gid)
            mtime = self._pax_time(pax[b"mtime"]) if b"mtime" in pax else mtime
        device = self._device(block) if kind in (b"3", b"4") else None
        xattrs = _xattrs(records) if records else ()
        return Member(
            decode_name(name),
            member_type,
            mode,
            uid,
            gid,
            size,
            mtime,
            decode_name(link) if link else "",
            device,
            xattrs,
            extents,
        )

    def _owner(self, field: bytes) -> tuple[int, int, int]:
        owner = self._owners.get(field)
        if owner is None:
            mode = self._number(field[:8], "mode") & 0o7777
            owner = mode, self._number(field[8:16], "uid"), self._number(field[16:], "gid")
            if len(self._owners) < _MAX_SHARED:
                self._owners[field] = owner
        return owner

    def _mtime(self, field: bytes) -> int:
        time = self._times.get(field)
        if time is None:
            time = self._signed(field, "time") * 10**9
            if len(self._times) < _MAX_SHARED:
                self._times[field] = time
        return time

    def _data(
        self, block: bytes, kind: bytes, stored: int, records: list[tuple[bytes, bytes]]
    ) -> tuple[int, tuple[tuple[int, int, int], ...]]:
        """Return the size that the file has, and its extents; step over the data."""
        size: int | None = None
        pairs: list[tuple[int, int]] = []
        if kind == b"S":
            size, pairs = self._gnu_sparse(block)
        start = self._offset
        self._offset += _padded(stored)
        if not self._region.reaches(start + stored):
            raise self._error("a member claims more bytes than there are")
        pax = dict(records) if records else {}
        if any(key.startswith(_SPARSE) for key in pax):
            real = pax.get(b"GNU.sparse.realsize") or pax.get(b"GNU.sparse.size") or b""
            size = self._decimal(real)
            pairs, map_length = self._pax_sparse(pax, records, start, stored)
            start, stored = start + map_length, stored - map_length
        if size is None:
            return stored, ((0, start, stored),) if stored else ()
        return size, self._extents(pairs, start, stored, size)

    def _extents(
        self, pairs: list[tuple[int, int]], start: int, stored: int, size: int
    ) -> tuple[tuple[int, int, int], ...]:
        extents = []
        end = 0
        position = start
        for offset, length in pairs:
            if offset < end or offset + length > size:
                raise self._error("a sparse file whose parts overlap or leave it")
            end = offset + length
            if length:
                extents.append((offset, position, length))
            position += length
        if position - start != stored:
            raise self._error("a sparse file whose parts are not its data")
        return tuple(extents)

    def _gnu_sparse(self, block: bytes) -> tuple[int, list[tuple[int, int]]]:
        size = self._number(block[483:495], "size")
        pairs = self._gnu_pairs(block[386:482])
        more = block[482]
        while more:
            extension = self._extension(BLOCK)
            pairs += self._gnu_pairs(extension[:504])
            more = extension[504]
            if len(pairs) > _MAX_SPARSE:
                raise self._error("a sparse file of too many parts")
        return size, pairs

    def _gnu_pairs(self, fields: bytes) -> list[tuple[int, int]]:
        pairs = (fields[index : index + 24] for index in range(0, len(fields), 24))
        return [
            (self._number(pair[:12], "sparse map"), self._number(pair[12:], "sparse map"))
            for pair in pairs
            if pair.strip(b"\0")
        ]

    def _pax_sparse(
        self, pax: dict[bytes, bytes], records: list[tuple[bytes, bytes]], start: int, stored: int
    ) -> tuple[list[tuple[int, int]], int]:
        """Return the map of formats 0.0, 0.1 and 1.0, and how much of the data it takes."""
        taken = 0
        if pax.get(b"GNU.sparse.major") == b"1":
            numbers, taken = self._map_in_data(start, stored)
        elif b"GNU.sparse.map" in pax:
            numbers = [self._decimal(text) for text in pax[b"GNU.sparse.map"].split(b",")]
        else:
            keys = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
            numbers = [self._decimal(value) for key, value in records if key in keys]
        if len(numbers) % 2:
            raise self._error("a malformed sparse map")
        return list(zip(numbers[::2], numbers[1::2], strict=True)), taken

    def _map_in_data(self, start: int, stored: int) -> tuple[list[int], int]:
        text = b""
        wanted = 1
        while text.count(b"\n") < wanted:
            block = self._region.read(start + len(text), BLOCK)
            text += block
            if len(block) < BLOCK or len(text) > min(stored, _MAX_EXTENSION):
                raise self._error("a malformed sparse map")
            if wanted == 1 and b"\n" in text:
                wanted += 2 * self._decimal(text.partition(b"\n")[0])
        return [self._decimal(line) for line in text.split(b"\n")[1:wanted]], len(text)

    def _device(self, block: bytes) -> tuple[int, int]:
        major, minor = (
            self._number(block[329:337], "device"),
            self._number(block[337:345], "device"),
        )
        if major >= 1 << 12 or minor >= 1 << 20:  # include/linux/kdev_t.h
            raise self._error("a device number that Linux does not have")
        return major, minor

    def _pax_number(self, pax: dict[bytes, bytes], key: bytes, header: int) -> int:
        return self._decimal(pax[key]) if key in pax else header

    def _decimal(self, text: bytes) -> int:
        if not text.isdigit() or len(text) > 19:
            raise self._error("a malformed number in an extended header")
        return int(text)

    def _number(self, field: bytes, what: str) -> int:
        number = self._signed(field, what)
        if number < 0:
            raise self._error(f"a negative {what}")
        return number

    def _signed(self, field: bytes, what: str) -> int:
        if field[0] & 0x80:  # GNU's base-256: big-endian, two's complement without the first bit
            value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
            return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
        digits = field.strip(b" \0")
        try:
            return int(digits, 8) if digits else 0
        except ValueError:
            raise self._error(f"a malformed {what}") from None

    def _pax_time(self, text: bytes) -> int:
        match = _TIME.fullmatch(text)
        if match is None:
            raise self._error("a malformed time")
        fraction = (match[3] or b"")[:9].ljust(9, b"0")
        value = int(match[2]) * 10**9 + int(fraction)
        return -value if match[1] else value

    def _error(self, cause: str) -> ParedownError:
        return ParedownError(
            f"cannot read {escape_name(self._archive)}: {cause} (near byte {self._offset})"
        )


def _checksum(block: bytes) -> int:
    """Return the sum of the bytes, those of the checksum itself taken as spaces.

    Adler-32 begins with a sum, of 256 bytes an exact one (RFC 1950, 8.2), ten times as fast.
    """
    total = (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2
    return total - sum(block[148:156]) + 8 * ord(" ")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _ustar_name(block: bytes) -> bytes:
    name = _text(block[:100])
    # GNU's older format ("ustar " and a space) keeps other things where POSIX has the prefix.
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _xattrs(records: list[tuple[bytes, bytes]]) -> tuple[tuple[str, bytes], ...]:
    found = {key: value for key, value in records if key.startswith(_XATTR)}
    return tuple(sorted((decode_name(key[len(_XATTR) :]), found[key]) for key in found))


class Content(io.RawIOBase):
    """A file's content inside a region, of a size and with extents; holes read as zeros."""

    def __init__(
        self, region: Region, size: int, extents: tuple[tuple[int, int, int], ...]
    ) -> None:
        super().__init__()
        self._region = region
        self._size = size
        self._extents = extents
        self._starts = [offset for offset, _, _ in extents]
        self._position = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can seek."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to ``offset``; see ``io.IOBase.seek``."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("negative seek position")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` from the extent or hole at the position; return how far."""
        index = bisect.bisect_right(self._starts, self._position) - 1
        offset, start, length = self._extents[index] if index >= 0 else (0, 0, 0)
        inside = self._position - offset
        if inside < length:
            count = min(len(buffer), length - inside)
            data = self._region.read(start + inside, count)
        else:
            following = self._starts[index + 1] if index + 1 < len(self._starts) else self._size
            data = bytes(max(0, min(len(buffer), following - self._position)))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
