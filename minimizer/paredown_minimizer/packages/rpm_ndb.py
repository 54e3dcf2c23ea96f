"""rpm's ndb, as SUSE's images have it: ``Packages.db`` as bytes in, headers out, and back.

Format: rpm's lib/backend/ndb/rpmpkg.c. Little-endian; a header and slots fill the first pages, then
follow blobs in units of 16 bytes, each between a head and a tail with an Adler-32 of all before it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping

from paredown_schemas.errors import ParedownError

_PAGE = 4096
_UNIT = 16
_HEADER = struct.Struct("<4s4I12x")  # magic, version, generation, pages of slots, next number
_SLOT = struct.Struct("<4sIII")  # magic, number, first unit, units
_HEAD = struct.Struct("<4sIII")  # magic, number, time or generation of writing, length
_TAIL = struct.Struct("<II4s")  # Adler-32, length, magic


def read_ndb(data: bytes) -> dict[int, bytes]:
    """Return the headers by their numbers, in order.

    Raises:
        ParedownError: it is no such database, or damaged.
    """
    return {number: _blob(data, *slot)[1] for number, slot in sorted(_slots(data).items())}


def write_ndb(old: bytes, headers: Mapping[int, bytes]) -> bytes:
    """Return a database that holds ``headers``, each under the number and time it has in ``old``.

    Raises:
        ParedownError: ``old`` is damaged.
        KeyError: it lacks one of the numbers.
    """
    slots = _slots(old)
    _, version, generation, _, following = _HEADER.unpack_from(old)
    first = _HEADER.size // _SLOT.size
    pages = -(-(len(headers) + first) * _SLOT.size // _PAGE) or 1
    table, blobs, unit = bytearray(), bytearray(), pages * _PAGE // _UNIT
    for number, header in headers.items():
        written, _ = _blob(old, *slots[number])
        blob = _HEAD.pack(b"BlbS", number, written, len(header)) + header
        blob += bytes(-(len(blob) + _TAIL.size) % _UNIT)
        blob += _TAIL.pack(zlib.adler32(blob), len(header), b"BlbE")
        table += _SLOT.pack(b"Slot", number, unit, len(blob) // _UNIT)
        blobs += blob
        unit += len(blob) // _UNIT
    # Another generation makes rpm renew the indexes that it may have of the old one.
    start = _HEADER.pack(b"RpmP", version, (generation + 1) & 0xFFFFFFFF, pages, following)
    free = pages * _PAGE // _SLOT.size - first - len(headers)
    return start + bytes(table) + _SLOT.pack(b"Slot", 0, 0, 0) * free + bytes(blobs)


def _slots(data: bytes) -> dict[int, tuple[int, int, int]]:
    if len(data) < _PAGE or data[:4] != b"RpmP":
        raise _damaged("it is no such database")
    _, version, _, pages, _ = _HEADER.unpack_from(data)
    if version != 0 or pages * _PAGE > len(data):
        raise _damaged("its header is damaged")
    slots: dict[int, tuple[int, int, int]] = {}
    for magic, number, unit, units in _SLOT.iter_unpack(data[_HEADER.size : pages * _PAGE]):
        if magic != b"Slot" or (unit and number in slots):
            raise _damaged("its table of packages is damaged")
        if unit:
            slots[number] = (number, unit, units)
    _refuse_overlaps(slots.values())
    return slots


def _refuse_overlaps(slots: Iterable[tuple[int, int, int]]) -> None:
    end = 0
    for _, unit, units in sorted(slots, key=lambda slot: slot[1:]):
        if unit < end:
            raise _damaged("packages overlap")
        end = unit + units


def _blob(data: bytes, number: int, unit: int, units: int) -> tuple[int, bytes]:
    """Return when a header was written, and the header."""
    start, end = unit * _UNIT, (unit + units) * _UNIT
    if end > len(data) or units * _UNIT < _HEAD.size + _TAIL.size:
        raise _damaged(f"package {number} is cut short")
    magic, same, written, length = _HEAD.unpack_from(data, start)
    adler, again, last = _TAIL.unpack_from(data, end - _TAIL.size)
    if (magic, same, last, again) != (b"BlbS", number, b"BlbE", length):
        raise _damaged(f"package {number} is damaged")
    if length > units * _UNIT - _HEAD.size - _TAIL.size:
        raise _damaged(f"package {number} is cut short")
    if adler != zlib.adler32(data[start : end - _TAIL.size]):
        raise _damaged(f"the checksum of package {number} is wrong")
    return written, data[start + _HEAD.size : start + _HEAD.size + length]


def _damaged(why: str) -> ParedownError:
    return ParedownError(f"cannot read the rpm database Packages.db (ndb): {why}")
