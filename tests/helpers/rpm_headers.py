"""rpm's headers and databases as a test wants them, written by its formats' documents alone."""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

Value = str | Sequence[str] | Sequence[int]
# rpmtag.h: tag, type (4 integers, 6 a string, 8 strings, 1 characters)
TAGS = {
    "name": (1000, 6),
    "version": (1001, 6),
    "release": (1002, 6),
    "epoch": (1003, 4),
    "arch": (1022, 6),
    "states": (1029, 1),
    "flags": (1037, 4),
    "source": (1044, 6),
    "provides": (1047, 8),
    "requires": (1049, 8),
    "dirindexes": (1116, 4),
    "basenames": (1117, 8),
    "dirnames": (1118, 8),
    "recommends": (5046, 8),
}


def header(**values: Value) -> bytes:
    """Return a header of these tags, unsigned."""
    index, store = b"", b""
    for name, value in sorted(values.items(), key=lambda item: TAGS[item[0]]):
        tag, kind = TAGS[name]
        items = [value] if isinstance(value, str) else list(value)
        if kind in (6, 8):
            data = b"".join(str(item).encode() + b"\0" for item in items)
        else:
            data = struct.pack(f">{len(items)}{'B' if kind == 1 else 'I'}", *items)
            store += bytes(-len(store) % 4)
        index += struct.pack(">4I", tag, kind, len(store), len(items))
        store += data
    return struct.pack(">II", len(index) // 16, len(store)) + index + store


def package(
    name: str,
    files: Mapping[str, int] | Sequence[str] = (),
    *,
    config: Sequence[str] = (),
    **values: Value,
) -> bytes:
    """Return the header of a package with these files, and their states where they are told."""
    states = dict(files) if isinstance(files, Mapping) else dict.fromkeys(files, 0)
    names = {"name": name, "version": "1", "release": "2", "arch": "x86_64", **values}
    if not states:
        return header(**names)
    directories = sorted({path.rpartition("/")[0] + "/" for path in states})
    return header(
        **names,
        basenames=[path.rpartition("/")[2] for path in states],
        dirnames=directories,
        dirindexes=[directories.index(path.rpartition("/")[0] + "/") for path in states],
        states=list(states.values()),
        flags=[int(path in config) for path in states],
    )


def sqlite_database(path: Path, headers: Sequence[bytes], journal: str = "DELETE") -> None:
    """Write a database as rpm's lib/backend/sqlite.c makes it, with the index of names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(f"PRAGMA journal_mode = {journal}")
    database.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB)")
    database.execute("CREATE TABLE 'Name' (key 'TEXT' NOT NULL, hnum INTEGER, idx INTEGER)")
    database.execute("CREATE INDEX 'Name_key_idx' ON 'Name'(key ASC)")
    for number, blob in enumerate(headers, 1):
        database.execute("INSERT INTO Packages VALUES (?, ?)", (number, blob))
        database.execute("INSERT INTO Name VALUES (?, ?, 0)", (f"name {number}", number))
    database.close()


def sqlite_rows(path: Path, table: str) -> list[tuple[object, ...]]:
    """Return the rows of a table."""
    database = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    rows = database.execute(f"SELECT * FROM '{table}' ORDER BY hnum").fetchall()
    database.close()
    return rows


def bdb_metadata(order: str, page_size: int = 4096) -> bytes:
    """Return page 0 of an empty hash database in a byte order, ``<`` or ``>`` (db_page.h)."""
    page = bytearray(page_size)
    struct.pack_into(f"{order}5I", page, 0, 0, 1, 0, 0x061561, 9)
    struct.pack_into(f"{order}I", page, 20, page_size)
    page[25] = 8  # P_HASHMETA
    return bytes(page)


def ndb_database(headers: Mapping[int, bytes]) -> bytes:
    """Return Packages.db as lib/backend/ndb/rpmpkg.c lays it out."""
    table = struct.pack("<4s4I12x", b"RpmP", 0, 7, 1, max(headers, default=0) + 1)
    blobs = b""
    for number, blob in headers.items():
        data = struct.pack("<4s3I", b"BlbS", number, number + 100, len(blob)) + blob
        data += bytes(-(len(data) + 12) % 16)
        data += struct.pack("<II4s", zlib.adler32(data), len(blob), b"BlbE")
        table += struct.pack("<4s3I", b"Slot", number, 256 + len(blobs) // 16, len(data) // 16)
        blobs += data
    return table + struct.pack("<4s3I", b"Slot", 0, 0, 0) * ((4096 - len(table)) // 16) + blobs
