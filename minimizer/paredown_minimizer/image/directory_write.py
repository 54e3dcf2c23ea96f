"""Writing an image as a directory: ``dir:PATH``."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from paredown_minimizer.image.beneath import open_beneath
from paredown_minimizer.image.content import copy_content
from paredown_minimizer.image.dirfd import Directories
from paredown_minimizer.image.model import Entry, Image, parent
from paredown_minimizer.image.slim import Provenance
from paredown_minimizer.image.staging import staged_directory
from paredown_schemas.errors import ParedownError, UsageError
from paredown_schemas.names import encode_name, escape_name

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_SPECIAL = {
    "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
}
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


def write_directory(
    image: Image, location: str, _: Provenance, *, force: bool, keep_layers: bool
) -> None:
    """Write ``image`` to the directory that a ``dir:`` DEST names; a tree carries no provenance.

    Raises:
        UsageError: it exists, and not ``force``; or layers are to be kept.
        ParedownError: something cannot be written as it is in the image.
    """
    if keep_layers:
        raise UsageError("cannot keep the layers: a directory has none")
    final = Path(os.path.abspath(location))
    with staged_directory(location, force=force) as new:
        _TreeWriter(image, new, final).write()


class _TreeWriter:
    """Writes the paths in the tree's order: a directory, what it holds, then its attributes."""

    def __init__(self, image: Image, root: Path, final: Path) -> None:
        self._image = image
        self._root = root
        self._final = final
        self._above: list[tuple[Entry, int]] = []
        self._first: dict[int, str] = {}
        self._linked = Directories(root)

    def write(self) -> None:
        path = "/"
        try:
            root = os.open(self._root, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._above.append((self._image.tree["/"], root))
            for path, entry in self._image.tree.items():
                if path != "/":
                    self._leave(parent(path))
                    self._write(entry)
            self._leave("")
        except OSError as error:
            raise self._error(path, error) from error
        finally:
            self._linked.close()
            for _, descriptor in self._above:
                os.close(descriptor)

    def _leave(self, directory: str) -> None:
        """Finish directories until ``directory`` is the last open one."""
        while self._above and self._above[-1][0].path != directory:
            entry, descriptor = self._above[-1]
            _set_attributes(entry, descriptor)
            os.close(descriptor)
            self._above.pop()

    def _write(self, entry: Entry) -> None:
        if entry.type == "socket":  # it has no meaning without the process that bound it
            return
        directory = self._above[-1][1]
        name = encode_name(entry.path.rpartition("/")[2])
        if entry.hardlinks is not None:
            first = self._first.setdefault(entry.hardlinks, entry.path)
            if first != entry.path:
                self._link(first, name, directory)
                return
        if entry.type == "directory":
            os.mkdir(name, 0o700, dir_fd=directory)
            self._above.append((entry, open_beneath(directory, name, _DIRECTORY)))
        elif entry.type == "file":
            self._write_file(entry, name, directory)
        else:
            _write_special(entry, name, directory)

    def _write_file(self, entry: Entry, name: bytes, directory: int) -> None:
        target = open_beneath(directory, name, _NEW, 0o600)
        try:
            with self._image.open(entry.path) as source:
                copy_content(source, entry.size, target)
            _set_attributes(entry, target)
        finally:
            os.close(target)

    def _link(self, first: str, name: bytes, directory: int) -> None:
        os.link(
            encode_name(first.rpartition("/")[2]),
            name,
            src_dir_fd=self._linked.descriptor(parent(first)),
            dst_dir_fd=directory,
            follow_symlinks=False,
        )

    def _error(self, path: str, error: OSError) -> ParedownError:
        hint = ""
        if error.errno == errno.EPERM and os.geteuid() != 0:
            hint = "only root can keep owners, devices and all attributes; or write an archive"
        what = f"{escape_name(path)} to {escape_name(str(self._final))}"
        return ParedownError(f"cannot write {what}: {error.strerror}", hint=hint)


def _set_attributes(entry: Entry, descriptor: int) -> None:
    # chown(2) clears setuid and security.capability, so it goes first; a write to anything
    # changes times, so they go last.
    os.fchown(descriptor, entry.uid, entry.gid)
    os.fchmod(descriptor, entry.mode)
    for name, value in entry.xattrs:
        os.setxattr(descriptor, name, value)
    os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))


def _write_special(entry: Entry, name: bytes, directory: int) -> None:
    """Write a symlink, FIFO or device node, which cannot or must not be opened."""
    kind = _SPECIAL[entry.type]
    if entry.type == "symlink":
        os.symlink(encode_name(entry.target or ""), name, dir_fd=directory)
    else:
        device = os.makedev(*entry.device) if entry.device else 0
        os.mknod(name, kind | 0o600, device, dir_fd=directory)
    # By its descriptor: a call by name might meet what took the name meanwhile, or follow it.
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        status = os.fstat(descriptor)
        if stat.S_IFMT(status.st_mode) != kind or status.st_nlink != 1:
            raise OSError(errno.EIO, "something else took its place")
        made = b"/proc/self/fd/%d" % descriptor  # fchmod(2) and the like take no O_PATH
        os.chown(made, entry.uid, entry.gid)
        if entry.type != "symlink":
            os.chmod(made, entry.mode)
        for attribute, value in entry.xattrs:
            os.setxattr(made, attribute, value)
        os.utime(made, ns=(entry.mtime_ns, entry.mtime_ns))
    finally:
        os.close(descriptor)
