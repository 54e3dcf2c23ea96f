"""Where the documents and blobs of an image lie: in an archive, or in files below a directory."""

from __future__ import annotations

import abc
import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from paredown_minimizer.image.blobs import Blob, file_region, open_blob
from paredown_minimizer.image.config import MAX_JSON, parse_json
from paredown_minimizer.image.dirfd import Directories
from paredown_minimizer.image.model import MAX_LINKS
from paredown_minimizer.image.regions import Extent, Region, part_of
from paredown_minimizer.image.streams import Stored
from paredown_minimizer.image.tar import Member, read_members
from paredown_minimizer.image.workers import Workers
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import encode_name, escape_name

# O_NONBLOCK: opening what turns out to be a FIFO must not wait for a writer.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class Store(abc.ABC):
    """Documents and blobs by their paths; ``name`` is what messages call it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.workers = Workers()
        self.resources = contextlib.ExitStack()  # closed once no thread reads them any more
        self.interrupt: Callable[[], object] = lambda: None  # what ends a thread's waiting

    @abc.abstractmethod
    def find(self, path: str) -> Extent | None:
        """Return where a file's content lies, None if it is missing; raises ParedownError."""

    def read(self, path: str) -> bytes:
        """Return a document; raises ParedownError if it is missing or too long."""
        region = self.find(path)
        if region is None:
            raise self.error(f"{escape_name(path)} is missing")
        if region.length > MAX_JSON:
            raise self.error(f"{escape_name(path)} is too long")
        return region.read(0, region.length)

    def document(self, path: str) -> Any:
        """Return what a JSON document says; raises ParedownError."""
        return parse_json(self.read(path), self.name, escape_name(path))

    def error(self, cause: str, hint: str = "") -> ParedownError:
        """Return an error that names the store."""
        return ParedownError(f"cannot read {self.name}: {cause}", hint=hint)

    def close(self) -> None:
        """Let go of files, threads and memory."""
        self.interrupt()
        self.workers.close()
        self.resources.close()


@contextlib.contextmanager
def closed_on_error(store: Store) -> Iterator[None]:
    """Close the store if what is done with it fails."""
    try:
        yield
    except BaseException:
        store.close()
        raise


class ArchiveStore(Store):
    """The members of a tar archive.

    Links among them are followed: by these, older docker and skopeo share layers.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._region: Region
        self._members: dict[str, Member] = {}

    def read_file(self, descriptor: int) -> None:
        """Read the members of an open file, compressed or not; raises ParedownError."""
        region = file_region(descriptor)
        blob = open_blob(region, self.name, self.workers, digested=False)
        self._read(blob)

    def read_chunks(self, chunks: Iterator[bytes]) -> None:
        """Read the members of what comes once; raises ParedownError."""
        self._read(Stored(chunks, self.name, self.workers))

    def find(self, path: str) -> Extent | None:
        """Return where a member's content lies; see ``Store.find``."""
        member: Member | None = None
        for _ in range(MAX_LINKS):
            member = self._members.get(posixpath.normpath(path))
            if member is None or member.type == "file":
                break
            above = posixpath.dirname(path) if member.type == "symlink" else ""
            path = posixpath.join(above, member.link)
        if member is None or member.type != "file":
            return None
        start = member.extents[0][1] if member.extents else 0
        if member.size and member.extents != ((0, start, member.size),):
            raise self.error(f"{escape_name(path)} is a sparse file")
        return part_of(self._region, start, member.size)

    def _read(self, blob: Blob) -> None:
        self._region = blob.region
        members = read_members(blob.region, self.name)
        self._members = {posixpath.normpath(member.name): member for member in members}
        blob.finish()


class DirectoryStore(Store):
    """The files below a directory; no link is followed to them, and only regular files are read."""

    def __init__(self, name: str, root: Path) -> None:
        """Open the directory; raises OSError."""
        super().__init__(name)
        self._directories = Directories(root)
        self.resources.callback(self._directories.close)

    def find(self, path: str) -> Extent | None:
        """Return where a file's content lies; see ``Store.find``."""
        directory, _, name = f"/{path}".rpartition("/")
        try:
            above = self._directories.descriptor(directory or "/")
            descriptor = os.open(encode_name(name), _READ | os.O_NOFOLLOW, dir_fd=above)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise self.error(f"{escape_name(path)}: {error.strerror}") from error
        self.resources.callback(os.close, descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise self.error(f"{escape_name(path)} is no regular file")
        return file_region(descriptor)


def open_archive_store(path: str) -> ArchiveStore:
    """Open an archive by its path.

    Raises:
        ParedownError: there is no such file, or it is no archive, or a damaged one.
    """
    store = ArchiveStore(f"archive {escape_name(path)}")
    with closed_on_error(store):
        try:
            descriptor = os.open(encode_name(path), _READ)
        except OSError as error:
            raise store.error(error.strerror or "") from error
        store.resources.callback(os.close, descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise store.error("not a regular file")
        store.read_file(descriptor)
    return store


def open_directory_store(path: str) -> DirectoryStore:
    """Open a directory by its path; raises ParedownError."""
    name = f"directory {escape_name(path)}"
    try:
        return DirectoryStore(name, Path(path))
    except OSError as error:
        raise ParedownError(f"cannot read {name}: {error.strerror}") from error
