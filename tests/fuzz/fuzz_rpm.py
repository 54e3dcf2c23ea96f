"""rpm's headers and databases: names only paths of the tree, and what is rewritten stays.

Behind the checksums of a database lie its headers, so that input is either a whole tree, or
headers that are put into an ndb database whose checksums are right.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from fuzzing import check_manager, image_of, refusing, text_of
from paredown_minimizer.packages.rpm import Rpm
from paredown_minimizer.packages.rpm_header import parse_header
from rpm_headers import bdb_metadata, header, ndb_database, package, sqlite_database

_NEXT = b"\n@@\n"
_PLACE = "/usr/lib/sysimage/rpm"
_FILES = ("/usr/bin/a", "/usr/bin/b", "/etc/a.conf", "/usr/lib64/liba.so")
DICTIONARY = [
    *(b"\0\0\x03\xe8\0\0\0\x06", b"\0\0\x04\x5d\0\0\0\x08", b"\0\0\x04\x5c\0\0\0\x04", _NEXT),
    *(b"\0\0\x04\x05\0\0\0\x01", b"\0\0\x04\x5e\0\0\0\x08", b"gpg-pubkey\0", b"/usr/bin/\0"),
    *(
        b"\xff" * 4,
        b"../",
        b"RpmP",
        b"Slot",
        b"BlbS",
        b"BlbE",
        b"SQLite format 3\0",
        b"\x61\x15\6\0",
    ),
    *(b"@/usr/lib/sysimage/rpm/", b"Packages.db\n", b"rpmdb.sqlite\n", b"rpmdb.sqlite-wal\n"),
    *(b"@/var/lib/rpm/Packages\n", b"CREATE TABLE", b"noarch\0", b"requires\0"),
]


def one_input(data: bytes) -> None:
    """Read a database of headers, or a tree as it is; slim it, and read what is left."""
    with refusing():
        if data.startswith(b"h"):
            parts = data[1:].split(_NEXT)
            data = _tree({"Packages.db": ndb_database(dict(enumerate(parts, 1)))})
            names = [parse_header(part).name for part in parts]
            assert all("\0" not in name for name in names)
        check_manager(Rpm(), image_of(data))


def _tree(database: dict[str, bytes]) -> bytes:
    links = {"/bin": "-> usr/bin", "/lib64": "-> usr/lib64"}
    files = {f"{_PLACE}/{name}": content for name, content in database.items()}
    return text_of({**dict.fromkeys(_FILES, "x"), **links, **files})


def _headers() -> list[bytes]:
    a = package(
        "a",
        {"/bin/a": 0, "/etc/a.conf": 0, "/usr/share/doc/a": 2},
        config=("/etc/a.conf",),
        epoch=[1],
        source="a-1-2.src.rpm",
        requires=["liba.so()(64bit)", "/bin/b"],
        provides=["a"],
    )
    b = package("b", ["/usr/bin/b"], arch="noarch")
    library = package("liba", ["/lib64/liba.so"], provides=["liba.so()(64bit)"])
    key = header(name="gpg-pubkey", version="1", release="2")
    return [a, b, library, key, package("meta", requires=["a"])]


def seeds() -> Iterator[bytes]:
    """Yield headers, and databases of all three forms."""
    headers = _headers()
    yield b"h" + _NEXT.join(headers)
    for one in headers:
        yield b"h" + one
    yield _tree({"Packages.db": ndb_database(dict(enumerate(headers, 1)))})
    yield _tree({"Packages": bdb_metadata("<", 512)})
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "rpmdb.sqlite"
        sqlite_database(path, headers)
        yield _tree({"rpmdb.sqlite": path.read_bytes()})
