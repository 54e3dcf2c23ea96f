"""Where an image keeps rpm's database, in which of its three forms, and what lies beside it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping

from paredown_minimizer.image.model import Image, join, parent, read
from paredown_minimizer.packages.rpm_bdb import read_bdb, write_bdb
from paredown_minimizer.packages.rpm_ndb import read_ndb, write_ndb
from paredown_minimizer.packages.rpm_sqlite import read_sqlite, write_sqlite
from paredown_minimizer.packages.texts import LIMIT
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

# Fedora's and SUSE's place, everybody's until then (today often a link to it), rpm-ostree's.
PLACES = ("/usr/lib/sysimage/rpm", "/var/lib/rpm", "/usr/share/rpm")

Headers = Mapping[int, bytes]


@dataclasses.dataclass(frozen=True, slots=True)
class _Form:
    """One of rpm's backends: the database and its write-ahead log to headers, and back."""

    read: Callable[[bytes, bytes], dict[int, bytes]]
    write: Callable[[bytes, bytes, Headers], bytes]
    # Files beside it that are of the old content: rpm makes indexes anew when it next is root's.
    made_from_it: re.Pattern[str]


_FORMS = {
    "rpmdb.sqlite": _Form(read_sqlite, write_sqlite, re.compile(r"rpmdb\.sqlite-(wal|shm)")),
    "Packages.db": _Form(
        lambda data, _: read_ndb(data),
        lambda data, _, headers: write_ndb(data, headers),
        re.compile(r"Index\.db"),
    ),
    "Packages": _Form(
        lambda data, _: read_bdb(data),
        lambda data, _, headers: write_bdb(data, headers),
        re.compile(r"(?!Packages$)[A-Z][a-z0-9]+|__db\.[0-9]+"),
    ),
}


@dataclasses.dataclass(frozen=True)
class Database:
    """A database file of an image."""

    image: Image
    path: str

    def headers(self) -> dict[int, bytes]:
        """Return the headers by their numbers, in order; raises ParedownError."""
        return self._form.read(self._content(self.path), self._content(f"{self.path}-wal"))

    def rewritten(self, headers: Headers) -> dict[str, bytes | None]:
        """Return the files that change so that it holds ``headers`` alone; raises ParedownError."""
        content = self._form.write(
            self._content(self.path), self._content(f"{self.path}-wal"), headers
        )
        return {self.path: content, **dict.fromkeys(self.made_from_it())}

    def made_from_it(self) -> list[str]:
        """Return the indexes and journals beside it."""
        beside = _files(self.image, parent(self.path))
        names = ((path, path.rpartition("/")[2]) for path in beside)
        return [path for path, name in names if self._form.made_from_it.fullmatch(name)]

    @property
    def _form(self) -> _Form:
        return _FORMS[self.path.rpartition("/")[2]]

    def _content(self, path: str) -> bytes:
        entry = self.image.tree.get(path)
        return read(self.image, path, LIMIT) if entry and entry.type == "file" else b""


def find_databases(image: Image) -> list[Database]:
    """Return the databases that an image has, the one that today's rpm would read first."""
    found = [
        Database(image, path)
        for directory in _directories(image)
        for name in _FORMS
        if (path := join(directory, name)) in _files(image, directory)
    ]
    return [database for database in found if image.tree[database.path].size > 0]


def database_paths(image: Image) -> frozenset[str]:
    """Return the files of the databases, their directories, and the links that lead there."""
    directories = {parent(database.path) for database in find_databases(image)}
    files = {path for directory in directories for path in _files(image, directory)}
    ways = {
        path
        for place in PLACES
        if (resolved := image.tree.resolve(place)) is not None and resolved.path in directories
        for path in (resolved.path, *resolved.links)
    }
    return frozenset(files | ways)


def read_headers(image: Image) -> tuple[Database, dict[int, bytes]]:
    """Return the database that holds packages, and its headers.

    What was converted often leaves an empty one behind.

    Raises:
        ParedownError: one is damaged, or two hold packages.
    """
    read = [(database, database.headers()) for database in find_databases(image)]
    full = [found for found in read if found[1]]
    if len(full) > 1:
        paths = " and ".join(escape_name(database.path) for database, _ in full)
        raise ParedownError(
            f"cannot read the rpm database: {paths} both hold packages",
            hint="delete the one that the image's rpm does not use",
        )
    return (full or read)[0]


def _directories(image: Image) -> list[str]:
    resolved = [image.tree.resolve(place) for place in PLACES]
    return list(dict.fromkeys(found.path for found in resolved if found is not None))


def _files(image: Image, directory: str) -> list[str]:
    """SUSE keeps alternatives in a directory below; those are no files of the database."""
    children = image.tree.children.get(directory, [])
    return [path for path in children if image.tree[path].type == "file"]
