"""rpm's SQLite database, as Fedora's and RHEL 9's images have it: bytes in, headers out, and back.

Tables: rpm's lib/backend/sqlite.c. ``Packages`` holds the headers, every other table is an index
from a key to a header's number and a place in it. The database is hostile: of its schema only the
names of tables are used, and no statement makes more of it than its size allows.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

_MEMORY = "/dev/shm"  # noqa: S108 - of the operating system's memory, and a private directory in it
_TABLE = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")
_COLUMNS = {
    "Packages": [("hnum", 0), ("blob", 0)],
    "": [("key", 0), ("hnum", 0), ("idx", 0)],  # every other
}
# Virtual machine instructions between two looks, and how many of those a byte may cost.
_STEP, _STEPS_PER_KB = 10_000, 10
# fileformat2.html, 1.3: read and write version (2 is WAL), user version, application id, and the
# version of the library that wrote, which would make the output depend on the host.
_CARRIED = (slice(18, 20), slice(60, 64), slice(68, 72), slice(96, 100))


def read_sqlite(data: bytes, wal: bytes = b"") -> dict[int, bytes]:
    """Return the headers by their numbers, in order; ``wal`` is the write-ahead log beside it.

    Raises:
        ParedownError: it is no such database, or damaged.
    """
    with _opened(data, wal) as (database, _):
        return _headers(database, len(data) + len(wal))


def write_sqlite(data: bytes, wal: bytes, headers: Mapping[int, bytes]) -> bytes:
    """Return a new database of ``headers`` alone, each under its number, and indexes to them.

    Raises:
        ParedownError: the old one is damaged.
    """
    with _opened(data, wal) as (old, space):
        made = space / "made"
        (page_size,) = old.execute("PRAGMA page_size").fetchone()
        old.execute("ATTACH ? AS new", (str(made),))
        for setting in (
            f"page_size = {page_size}",
            f"max_page_count = {64 + 2 * (len(data) + len(wal)) // page_size}",
            "journal_mode = OFF",
            "synchronous = OFF",
        ):
            old.execute(f"PRAGMA new.{setting}")
        old.execute("BEGIN")
        _fill(old, headers)
        old.execute("COMMIT")
        old.execute("DETACH new")
        result = bytearray(made.read_bytes())
    for part in _CARRIED:
        result[part] = data[part]
    return bytes(result)


@contextlib.contextmanager
def _opened(data: bytes, wal: bytes) -> Iterator[tuple[sqlite3.Connection, Path]]:
    """Open the database in a directory of its own, in memory where the system has it."""
    if not data.startswith(b"SQLite format 3\0"):
        raise _damaged("it is no SQLite database")
    with tempfile.TemporaryDirectory(prefix="paredown-", dir=_place(len(data) + len(wal))) as name:
        space = Path(name)
        (space / "old").write_bytes(data)
        if wal:
            (space / "old-wal").write_bytes(wal)
        try:
            uri = f"file:{quote(name)}/old?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as opened:
                _restrict(opened, len(data) + len(wal))
                yield opened, space
        except (sqlite3.Error, UnicodeError, OverflowError) as error:
            raise _damaged(escape_name(str(error))) from error


def _place(size: int) -> str | None:
    if not os.access(_MEMORY, os.W_OK):
        return None
    room = os.statvfs(_MEMORY)
    return _MEMORY if room.f_bavail * room.f_frsize > 4 * size + (1 << 20) else None


def _restrict(database: sqlite3.Connection, size: int) -> None:
    """Take SQLite's advice for files of strangers (sqlite.org/security.html)."""
    steps = iter(range(1000 + size * _STEPS_PER_KB // 1000))
    database.set_progress_handler(lambda: next(steps, None) is None, _STEP)
    for setting in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        database.execute(f"PRAGMA {setting}")
    _check_columns(database, "Packages", _COLUMNS["Packages"])


def _check_columns(
    database: sqlite3.Connection, table: str, columns: Iterable[tuple[str, int]]
) -> None:
    """Accept a plain table alone: no view, nothing virtual, no column that is computed."""
    schema = database.execute(
        "SELECT type, sql FROM main.sqlite_master WHERE name = ?", (table,)
    ).fetchall()
    kinds = [kind for kind, text in schema if str(text).upper().startswith("CREATE TABLE")]
    found = database.execute(f"PRAGMA main.table_xinfo('{table}')").fetchall()
    if kinds != ["table"] or [(row[1], row[6]) for row in found] != list(columns):
        raise _damaged(f"its table {table} is not as rpm makes it")


def _headers(database: sqlite3.Connection, size: int) -> dict[int, bytes]:
    headers: dict[int, bytes] = {}
    for number, blob in database.execute("SELECT hnum, blob FROM main.Packages ORDER BY hnum"):
        if not isinstance(blob, bytes) or not isinstance(number, int) or number in headers:
            raise _damaged("a package is no header")
        headers[number] = blob
        size -= len(blob)
        if size < 0:
            raise _damaged("its packages are larger than itself")
    return headers


def _fill(database: sqlite3.Connection, headers: Mapping[int, bytes]) -> None:
    database.execute(
        "CREATE TABLE new.'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)"
    )
    database.executemany("INSERT INTO new.Packages VALUES (?, ?)", headers.items())
    names = "SELECT name FROM main.sqlite_master WHERE type = 'table' ORDER BY rowid"
    tables = [name for (name,) in database.execute(names) if _TABLE.fullmatch(str(name))]
    for table in tables:
        if table != "Packages":
            _copy_index(database, table)


def _copy_index(database: sqlite3.Connection, table: str) -> None:
    """Copy what leads to packages that stay, and index it as rpm does."""
    _check_columns(database, table, _COLUMNS[""])
    types = database.execute(f"PRAGMA main.table_xinfo('{table}')").fetchall()
    kind = "BLOB" if types[0][2].strip("'") == "BLOB" else "TEXT"
    database.execute(
        f"CREATE TABLE new.'{table}' (key '{kind}' NOT NULL, hnum INTEGER NOT NULL, "
        "idx INTEGER NOT NULL, FOREIGN KEY (hnum) REFERENCES 'Packages'(hnum))"
    )
    database.execute(
        f"INSERT INTO new.'{table}' SELECT key, hnum, idx FROM main.'{table}' NOT INDEXED "  # noqa: S608
        "WHERE hnum IN (SELECT hnum FROM new.Packages) ORDER BY rowid"
    )
    indexes = "SELECT name FROM main.sqlite_master WHERE type = 'index' AND tbl_name = ?"
    present = {name for (name,) in database.execute(indexes, (table,))}
    for column in ("key", "hnum"):
        if (name := f"{table}_{column}_idx") in present:
            database.execute(f"CREATE INDEX new.'{name}' ON '{table}'({column} ASC)")


def _damaged(why: str) -> ParedownError:
    return ParedownError(f"cannot read the rpm database rpmdb.sqlite: {why}")
