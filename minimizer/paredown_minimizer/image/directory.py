"""Reading a directory as an image: ``dir:PATH``."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from paredown_minimizer.image.dirfd import Directories
from paredown_minimizer.image.model import Entry, EntryType, Layer, Tree, parent, path_key
from paredown_minimizer.image.platforms import refuse_other
from paredown_schemas.errors import ParedownError
from paredown_schemas.identity import TreeEntry, directory_identity, host_platform, scan_tree
from paredown_schemas.names import decode_name, encode_name, escape_name

# O_NONBLOCK: should a FIFO have taken a file's place, opening it must not wait for a writer.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_TYPES: dict[int, EntryType] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


class DirectoryImage:
    """The tree below a directory, which nothing else may change meanwhile.

    Other filesystems mounted below it are not part of the image, only their mount points are.
    """

    config: Mapping[str, Any] = {}
    annotations: Mapping[str, str] = {}
    layers: Sequence[Layer] = ()

    def __init__(self, root: Path) -> None:
        """Read the metadata of everything below ``root``.

        Raises:
            ParedownError: it is no directory, or a part of it cannot be read.
        """
        try:
            scanned = list(scan_tree(root))
            self._directories = Directories(root)
            self.tree = Tree(_entries(scanned, os.fsencode(root)))
        except OSError as error:
            raise ParedownError(_message(root, error)) from error
        self.identity = directory_identity(scanned)
        self.platform = host_platform()
        self._root = root

    def layer_of(self, path: str) -> int:
        """Refuse: there are no layers; see ``Image.layer_of``."""
        raise LookupError(path)

    def directories(self, layer: int) -> Mapping[str, Entry]:
        """Refuse: there are no layers; see ``Image.directories``."""
        raise LookupError(layer)

    def reading_order(self, paths: Iterable[str]) -> list[str]:
        """Return files by directory; see ``Image.reading_order``."""
        return sorted(paths, key=path_key)

    def open(self, path: str) -> BinaryIO:
        """Open a file's content; see ``Image.open``."""
        what = f"{escape_name(path)} in {escape_name(str(self._root))}"
        entry = self.tree.get(path)
        if entry is None or entry.type != "file":
            raise ParedownError(f"cannot read {what}: not a regular file of the image")
        try:
            descriptor = self._open(path)
        except OSError as error:
            raise ParedownError(f"cannot read {what}: {error.strerror}") from error
        status = os.fstat(descriptor)
        now = (stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime_ns)
        if now != (stat.S_IFREG, entry.size, entry.mtime_ns):
            os.close(descriptor)
            raise ParedownError(f"cannot read {what}: it changed since the tree was read")
        return os.fdopen(descriptor, "rb")

    def close(self) -> None:
        """Let go of the directory."""
        self._directories.close()

    def _open(self, path: str) -> int:
        directory = self._directories.descriptor(parent(path))
        name = encode_name(path.rpartition("/")[2])
        try:
            return os.open(name, _READ | os.O_NOATIME, dir_fd=directory)
        except PermissionError:  # open(2): O_NOATIME is for the file's owner and CAP_FOWNER
            return os.open(name, _READ, dir_fd=directory)


def open_directory(location: str, platform: str | None = None) -> DirectoryImage:
    """Open the directory that a ``dir:`` SOURCE names, for the host's platform.

    Raises:
        ParedownError: another one is wanted; see also ``DirectoryImage``.
    """
    refuse_other(host_platform(), platform, f"directory {escape_name(location)}")
    return DirectoryImage(Path(location))


def _message(root: Path, error: OSError) -> str:
    where = error.filename if error.filename is not None else root
    return f"cannot read directory {escape_name(decode_name(os.fsencode(where)))}: {error.strerror}"


def _entries(scanned: list[TreeEntry], root: bytes) -> dict[str, Entry]:
    groups: dict[tuple[int, int], int] = {}
    seen = _shared_inodes(scanned)
    entries = {}
    for path, status, target in scanned:
        inode = (status.st_dev, status.st_ino)
        shared = inode in seen
        entries[path] = Entry(
            path=path,
            type=_TYPES[stat.S_IFMT(status.st_mode)],
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            size=status.st_size if stat.S_ISREG(status.st_mode) else 0,
            mtime_ns=status.st_mtime_ns,
            target=target,
            hardlinks=groups.setdefault(inode, len(groups)) if shared else None,
            device=_device(status),
            xattrs=_xattrs(root + encode_name(path)),
        )
    return entries


def _shared_inodes(scanned: list[TreeEntry]) -> set[tuple[int, int]]:
    """Return the inodes with several names in the tree; names outside of it do not count."""
    once: set[tuple[int, int]] = set()
    shared: set[tuple[int, int]] = set()
    for _, status, _ in scanned:
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            inode = (status.st_dev, status.st_ino)
            (shared if inode in once else once).add(inode)
    return shared


def _device(status: os.stat_result) -> tuple[int, int] | None:
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return os.major(status.st_rdev), os.minor(status.st_rdev)
    return None


def _xattrs(path: bytes) -> tuple[tuple[str, bytes], ...]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:  # a filesystem without extended attributes (ENOTSUP)
        return ()
    if not names:
        return ()
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names))
