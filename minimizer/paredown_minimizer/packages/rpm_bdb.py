"""rpm's Berkeley DB, as RHEL 8 and before have it: ``Packages`` as bytes in, headers out, and back.

Format: Berkeley DB's src/dbinc/db_page.h and src/hash/hash_func.c, hash databases of version 8 to
10, in either byte order. Pages hold keys and values in turn; headers lie on pages of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from paredown_schemas.errors import ParedownError

_MAGIC = 0x061561
_SORTED = 13
_HASH_PAGES = (2, _SORTED)  # db_page.h: P_HASH_UNSORTED, P_HASH
_OVERFLOW = 7
_PAGE_HEADER = 26
_ON_PAGE, _OFF_PAGE = 1, 3  # H_KEYDATA, H_OFFPAGE


class _Pages:
    """A database's pages; none serves twice, so that damage cannot make more of them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = "<" if data[12:16] == struct.pack("<I", _MAGIC) else ">"
        if len(data) < 512 or self._metadata("I", 12) != _MAGIC:
            raise _damaged("it is no hash database of Berkeley DB")
        self.size = self._metadata("I", 20)
        self.buckets = self._metadata("I", 72) + 1
        self._spares = struct.unpack_from(f"{self.order}32I", data, 96)
        if not 8 <= self._metadata("I", 16) <= 10 or not 512 <= self.size <= 1 << 16:
            raise _damaged("its metadata is damaged")
        if data[24]:
            raise _damaged("it is encrypted")
        self._used: set[int] = set()

    def _metadata(self, layout: str, position: int) -> int:
        value: int = struct.unpack_from(self.order + layout, self.data, position)[0]
        return value

    def of_bucket(self, bucket: int) -> int:
        spare: int = self._spares[bucket.bit_length()]
        return bucket + spare

    def take(self, number: int) -> tuple[bytes, int, int, int]:
        """Return a page, its entries (of overflow pages: references), its fill and its type."""
        page = self.data[number * self.size : (number + 1) * self.size]
        if number in self._used or number == 0 or len(page) != self.size:
            raise _damaged(f"page {number} is used twice, or missing")
        self._used.add(number)
        entries, fill = struct.unpack_from(self.order + "HH", page, 20)
        return page, entries, fill, page[25]

    def next(self, page: bytes) -> int:
        following: int = struct.unpack_from(self.order + "I", page, 16)[0]
        return following


def read_bdb(data: bytes) -> dict[int, bytes]:
    """Return the headers by their numbers, in order.

    Raises:
        ParedownError: it is no such database, or damaged.
    """
    pages = _Pages(data)
    if pages.buckets > len(data) // pages.size:
        raise _damaged("it has more buckets than pages")
    headers: dict[int, bytes] = {}
    for bucket in range(pages.buckets):
        number = pages.of_bucket(bucket)
        while number:
            page, entries, _, kind = pages.take(number)
            if kind not in _HASH_PAGES:
                raise _damaged(f"page {number} holds no packages")
            headers.update(_items(pages, page, entries))
            number = pages.next(page)
    headers.pop(0, None)  # the number that the next package gets
    return dict(sorted(headers.items()))


def _items(pages: _Pages, page: bytes, entries: int) -> Iterator[tuple[int, bytes]]:
    """Items lie from the page's end, the positions of keys and values in turn at its front."""
    if entries % 2 or _PAGE_HEADER + 2 * entries > len(page):
        raise _damaged("a page has too many entries")
    starts = struct.unpack_from(f"{pages.order}{entries}H", page, _PAGE_HEADER)
    ends = (len(page), *starts)[:entries]
    if any(start >= end for start, end in zip(starts, ends, strict=True)):
        raise _damaged("entries of a page overlap")
    values = [_value(pages, page[start:end]) for start, end in zip(starts, ends, strict=True)]
    for key, value in zip(values[::2], values[1::2], strict=True):
        if len(key) != 4:
            raise _damaged("a package has no number")
        yield struct.unpack(pages.order + "I", key)[0], value


def _value(pages: _Pages, item: bytes) -> bytes:
    if item[0] == _ON_PAGE:
        return item[1:]
    if item[0] != _OFF_PAGE or len(item) != 12:
        raise _damaged("an entry is of unknown type")
    number, length = struct.unpack_from(pages.order + "II", item, 4)
    parts = bytearray()
    while number:
        page, _, fill, kind = pages.take(number)
        if kind != _OVERFLOW or _PAGE_HEADER + fill > len(page):
            raise _damaged(f"page {number} holds no part of a package")
        parts += page[_PAGE_HEADER : _PAGE_HEADER + fill]
        number = pages.next(page)
    if len(parts) != length:
        raise _damaged("a package is cut short")
    return bytes(parts)


def write_bdb(old: bytes, headers: Mapping[int, bytes]) -> bytes:
    """Return a database that holds ``headers``, made as ``old`` says of itself.

    Raises:
        ParedownError: ``old`` is damaged, or the headers have no room in such a database.
    """
    pages = _Pages(old)
    keys = {struct.pack(f"{pages.order}I", number): header for number, header in headers.items()}
    last = struct.pack(f"{pages.order}I", max(headers, default=0))
    buckets = _buckets([bytes(4), *keys], pages.size)
    table: list[bytes] = []
    overflow: list[bytes] = []
    for number, bucket in enumerate(buckets, 1):
        items: list[bytes] = []
        for key in sorted(bucket):
            value = bytes([_ON_PAGE]) + last
            if key in keys:
                first = 1 + len(buckets) + len(overflow)
                value = struct.pack(f"{pages.order}B3xII", _OFF_PAGE, first, len(keys[key]))
                overflow += _chain(pages, first, keys[key])
            items += [bytes([_ON_PAGE]) + key, value]
        table.append(_page_of_items(pages, number, items))
    return b"".join(
        [_metadata(pages, len(buckets), len(overflow), len(keys) + 1), *table, *overflow]
    )


def _buckets(keys: list[bytes], size: int) -> list[list[bytes]]:
    """Return the keys by bucket; there are twice as many until those of each fit on a page."""
    room = (size - _PAGE_HEADER) // (2 * 2 + 5 + 12)
    count = 2
    while True:
        buckets: list[list[bytes]] = [[] for _ in range(count)]
        for key in keys:
            buckets[_hash(key) & (count - 1)].append(key)
        if max(map(len, buckets)) <= room:
            return buckets
        count *= 2


def _hash(key: bytes) -> int:
    """The hash of databases since version 5, __ham_func5."""
    value = 0
    for byte in key:
        value = (value * 16777619 ^ byte) & 0xFFFFFFFF
    return value


def _chain(pages: _Pages, first: int, value: bytes) -> Iterator[bytes]:
    room = pages.size - _PAGE_HEADER
    count = -(-len(value) // room)
    for number in range(count):
        part = value[number * room : (number + 1) * room]
        before, here = first + number - 1 if number else 0, first + number
        after = here + 1 if number + 1 < count else 0
        header = _page_header(pages, here, before, after, 1, len(part), _OVERFLOW)
        yield header + part.ljust(room, b"\0")


def _page_of_items(pages: _Pages, number: int, items: list[bytes]) -> bytes:
    end, starts = pages.size, []
    for item in items:
        end -= len(item)
        starts.append(end)
    front = _page_header(pages, number, 0, 0, len(items), end, _SORTED)
    front += struct.pack(f"{pages.order}{len(starts)}H", *starts)
    return front.ljust(end, b"\0") + b"".join(reversed(items))


def _page_header(
    pages: _Pages, number: int, before: int, after: int, entries: int, fill: int, kind: int
) -> bytes:
    # It begins with a position in a log: 0 and 1 are that of what no log has.
    numbers = (0, 1, number, before, after, entries, fill, 0, kind)
    return struct.pack(f"{pages.order}5I2H2B", *numbers)


def _metadata(pages: _Pages, buckets: int, overflow: int, entries: int) -> bytes:
    """The old page 0, as it says much that stays, with no free pages and other numbers."""
    page = bytearray(pages.data[: pages.size])
    put = f"{pages.order}I"
    struct.pack_into(f"{pages.order}II", page, 28, 0, buckets + overflow)
    struct.pack_into(f"{pages.order}III", page, 72, buckets - 1, buckets - 1, buckets // 2 - 1)
    struct.pack_into(put, page, 88, entries)
    # Buckets lie one after another from page 1, however often their number was doubled.
    doubled = buckets.bit_length()
    struct.pack_into(f"{pages.order}32I", page, 96, *[1] * doubled, *[0] * (32 - doubled))
    return bytes(page)


def _damaged(why: str) -> ParedownError:
    return ParedownError(f"cannot read the rpm database Packages (Berkeley DB): {why}")
