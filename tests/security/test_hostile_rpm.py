"""rpm databases made to harm: one clear line or sane handling, in bounded time and memory."""

from __future__ import annotations

import contextlib
import resource
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies

from decisions import make_tree
from paredown_minimizer.image.directory import DirectoryImage
from paredown_minimizer.packages.rpm import Rpm
from paredown_minimizer.packages.rpm_bdb import read_bdb, write_bdb
from paredown_minimizer.packages.rpm_header import parse_header
from paredown_minimizer.packages.rpm_ndb import read_ndb, write_ndb
from paredown_minimizer.packages.rpm_sqlite import read_sqlite, write_sqlite
from paredown_schemas.errors import ParedownError
from rpm_headers import bdb_metadata, header, ndb_database, package, sqlite_database

GOOD = package("good", ["/usr/bin/good", "/usr/bin/x"], config=["/usr/bin/x"], requires=["x"])
HEADERS = {1: GOOD, 2: package("gone", [f"/usr/{n}" for n in range(300)])}
PLACE = "var/lib/rpm/rpmdb.sqlite"


@pytest.fixture(autouse=True)
def in_bounds() -> Iterator[None]:
    before, peak = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.monotonic() - before < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 300_000  # kB


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("rpm") / "rpmdb.sqlite"
    sqlite_database(path, list(HEADERS.values()))
    return {
        "sqlite": path.read_bytes(),
        "ndb": ndb_database(HEADERS),
        "bdb": write_bdb(bdb_metadata("<"), HEADERS),
    }


READ: dict[str, Callable[[bytes], dict[int, bytes]]] = {
    "sqlite": read_sqlite,
    "ndb": read_ndb,
    "bdb": read_bdb,
}
WRITE: dict[str, Callable[[bytes], bytes]] = {
    "sqlite": lambda data: write_sqlite(data, b"", {1: GOOD}),
    "ndb": lambda data: write_ndb(data, {1: GOOD}),
    "bdb": lambda data: write_bdb(data, {1: GOOD}),
}


@pytest.mark.parametrize("form", READ)
@hypothesis.given(data=strategies.data())
@hypothesis.settings(max_examples=60)
def test_damage_is_told_or_borne(
    form: str, databases: dict[str, bytes], data: strategies.DataObject
) -> None:
    damaged = bytearray(databases[form])
    for _ in range(data.draw(strategies.integers(1, 4))):
        place = data.draw(strategies.integers(0, len(damaged) - 4))
        damaged[place : place + 4] = data.draw(strategies.binary(min_size=4, max_size=4))
    cut = data.draw(strategies.sampled_from([len(damaged), len(damaged) // 2, 4096, 100, 0]))
    for use in (READ[form], WRITE[form]):
        with contextlib.suppress(ParedownError, KeyError):
            use(bytes(damaged[:cut]))


@hypothesis.given(data=strategies.data())
@hypothesis.settings(max_examples=200)
def test_damaged_headers_are_told_or_borne(data: strategies.DataObject) -> None:
    damaged = bytearray(GOOD)
    for _ in range(data.draw(strategies.integers(1, 3))):
        place = data.draw(strategies.integers(0, len(damaged) - 4))
        damaged[place : place + 4] = data.draw(strategies.binary(min_size=4, max_size=4))
    with contextlib.suppress(ParedownError):
        parsed = parse_header(bytes(damaged))
        files = list(parsed.files())
        assert len(files) < len(GOOD)
        marked = parse_header(parsed.without([0]))
        assert [path for path, _, _ in marked.files()] == [path for path, _, _ in files]


@pytest.mark.parametrize(
    ("blob", "why"),
    [
        (b"", "it is cut short"),
        (struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF), "its length is not what it says"),
        (struct.pack(">II4I", 1, 0, 1000, 6, 0, 1), "tag 1000 lies outside of it"),
        (struct.pack(">II4I", 1, 4, 1117, 8, 0, 0xFFFFFFFF) + b"a\0b\0", "cut short"),
        (struct.pack(">II4I", 1, 4, 1116, 4, 0, 0xFFFFFFFF) + b"abcd", "cut short"),
        (struct.pack(">II4I", 1, 4, 1117, 7, 0, 1) + b"abcd", "is no string"),
        (struct.pack(">II4I", 1, 4, 1029, 6, 0, 1) + b"abc\0", "is no number"),
        (header(name="x", basenames=["a"], dirnames=["/"], dirindexes=[7]), "in no directory"),
        (header(name="x", basenames=["a"], dirnames=["/"], dirindexes=[]), "files disagree"),
    ],
)
def test_headers_that_lie(blob: bytes, why: str) -> None:
    with pytest.raises(ParedownError, match=why):
        list(parse_header(blob).files())


@pytest.mark.parametrize("name", ["", "../../etc", "a b", "a:b", "a\x1b[31m", "a\nb", "ü"])
def test_names_that_no_package_can_have_are_refused(name: str, tmp_path: Path) -> None:
    sqlite_database(tmp_path / PLACE, [GOOD, package(name, ["/usr/bin/x"])])
    refused = pytest.raises(ParedownError, match="header 2 names what can be no package")
    with contextlib.closing(DirectoryImage(tmp_path)) as image, refused as told:
        Rpm().read(image)
    assert str(told.value).isprintable()


def test_paths_that_lead_out_own_nothing(tmp_path: Path) -> None:
    make_tree(tmp_path, {"/etc/passwd": "x", "/usr/bin/good": "x"})
    up = "/usr/" + "../" * 9
    paths = [f"{up}etc/passwd", "usr/bin/good", "/usr/bin/good\n", f"/{'a' * 100_000}", up]
    sqlite_database(tmp_path / PLACE, [package("good", paths)])
    with contextlib.closing(DirectoryImage(tmp_path)) as image:
        owned = Rpm().read(image).owned["good:x86_64"]
        assert owned <= {"/", "/etc/passwd", "/usr/bin/good"}


def execute(path: Path, *statements: str) -> bytes:
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()
    return path.read_bytes()


_ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
_TABLE = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)"


@pytest.mark.parametrize(
    "statements",
    [
        (f"CREATE VIEW Packages AS {_ENDLESS} SELECT i AS hnum, zeroblob(1000000) AS blob FROM n",),
        ("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob AS (zeroblob(900000000)))",),
        ("CREATE TABLE Packages (hnum TEXT, blob TEXT)", "INSERT INTO Packages VALUES ('a', 'b')"),
        ("CREATE TABLE Packages (hnum INTEGER, blob, more)",),
        ("CREATE TABLE Other (x)",),
    ],
)
def test_tables_that_are_not_rpms(statements: tuple[str, ...], tmp_path: Path) -> None:
    data = execute(tmp_path / "db", *statements)
    with pytest.raises(ParedownError, match="cannot read the rpm database rpmdb.sqlite: "):
        read_sqlite(data)


@pytest.mark.parametrize(
    "statements",
    [
        (f"CREATE VIEW Name AS {_ENDLESS} SELECT i AS key, 1 AS hnum, 1 AS idx FROM n",),
        ("CREATE TABLE Name (key AS (zeroblob(900000000)), hnum, idx)",),
        ("CREATE TABLE Name (key, hnum)",),
        ('CREATE TABLE "Name(key); DROP TABLE Packages; --" (key, hnum, idx)',),
        ("CREATE TABLE Name (key, hnum, idx)", "CREATE INDEX Name_key_idx ON Name(abs(key))"),
    ],
)
def test_indexes_that_are_not_rpms(statements: tuple[str, ...], tmp_path: Path) -> None:
    data = execute(tmp_path / "db", _TABLE, *statements)
    try:
        made = write_sqlite(data, b"", {1: GOOD})
    except ParedownError as error:
        assert str(error).startswith("cannot read the rpm database rpmdb.sqlite: ")
    else:
        assert read_sqlite(made) == {1: GOOD}


def test_a_package_shared_by_many_rows_is_refused(databases: dict[str, bytes]) -> None:
    page = struct.unpack_from("<4s3I", databases["ndb"], 32)
    slots = b"".join(struct.pack("<4s3I", b"Slot", n, *page[2:]) for n in range(1, 255))
    data = bytearray(databases["ndb"])
    data[32 : 32 + len(slots)] = slots
    with pytest.raises(ParedownError, match="packages overlap"):
        read_ndb(bytes(data))


def test_pages_in_a_circle_are_refused(databases: dict[str, bytes]) -> None:
    data = bytearray(databases["bdb"])
    for page in range(1, len(data) // 4096):
        struct.pack_into("<I", data, page * 4096 + 16, page)
    with pytest.raises(ParedownError, match="is used twice, or missing"):
        read_bdb(bytes(data))
