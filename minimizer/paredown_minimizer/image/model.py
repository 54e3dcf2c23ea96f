"""An image as the rest of the minimizer sees it, whatever format it came in.

The model is metadata only: paths, attributes, hardlink groups, whiteouts applied. Content is read
through the image it came from, one file at a time. Paths are absolute, as text in the memory form
of ``paredown_schemas.names``, with no ``.``, ``..`` or doubled slash; the root is "/". An entry's
parents are directories of the same image; a symlink is never followed to find an entry.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import (
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from typing import Any, BinaryIO, Literal, Protocol

from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

EntryType = Literal["file", "directory", "symlink", "char", "block", "fifo", "socket"]

# path_resolution(7): the kernel gives up with ELOOP after 40 links.
MAX_LINKS = 40
# limits.h: no system call takes more, and longer names cost more than they tell.
_PATH_MAX = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One path of an image."""

    path: str
    type: EntryType
    mode: int  # permission bits with setuid, setgid and sticky
    uid: int
    gid: int
    size: int  # of a regular file, else 0
    mtime_ns: int
    target: str | None = None  # a symlink's text
    hardlinks: int | None = None  # number of the group, where several paths share one inode
    device: tuple[int, int] | None = None  # major and minor, of char and block
    xattrs: tuple[tuple[str, bytes], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Resolved:
    """Where a path leads: the entry, and the symlinks that were followed on the way, in order."""

    path: str
    links: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an image."""

    diff_id: str
    created_by: str | None  # what the image's history says made it


class Image(Protocol):
    """A readable image."""

    @property
    def identity(self) -> str:
        """Return the identity as paredown_schemas.identity makes it."""

    @property
    def platform(self) -> str:
        """Return the platform as OCI writes it."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the OCI image configuration (entrypoint under ``config``); empty for a dir."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """Return the annotations of an OCI manifest; none in other formats."""

    @property
    def tree(self) -> Tree:
        """Return the paths."""

    @property
    def layers(self) -> Sequence[Layer]:
        """Return the layers, oldest first; none for a dir."""

    def layer_of(self, path: str) -> int:
        """Return the number of the layer that brought a path as it is in the tree.

        Each name of a hardlink group has its own. Not for a dir, which has no layers.
        """

    def directories(self, layer: int) -> Mapping[str, Entry]:
        """Return the directories that a layer has, as that layer has them.

        Left out is what a later layer removed or replaced, and what is only implied by what lies
        below: of that ``layer_of`` alone tells.
        """

    def reading_order(self, paths: Iterable[str]) -> list[str]:
        """Return regular files' paths in the order in which their content is read fastest."""

    def open(self, path: str) -> BinaryIO:
        """Open a regular file's content for reading; the reader can seek.

        Raises:
            ParedownError: it is not a regular file of the image, or cannot be read.
        """

    def close(self) -> None:
        """Let go of files and memory."""


class Tree(Mapping[str, Entry]):
    """All entries by path, in the order of their names' components."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = dict(sorted(entries.items(), key=lambda item: path_key(item[0])))

    def __getitem__(self, path: str) -> Entry:
        return self._entries[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    # What Mapping makes of the methods above asks for each entry by its path.
    def __contains__(self, path: object) -> bool:
        return path in self._entries

    def keys(self) -> KeysView[str]:
        """Return the paths."""
        return self._entries.keys()

    def values(self) -> ValuesView[Entry]:
        """Return the entries."""
        return self._entries.values()

    def items(self) -> ItemsView[str, Entry]:
        """Return the paths with their entries."""
        return self._entries.items()

    @functools.cached_property
    def children(self) -> dict[str, list[str]]:
        """Return the paths directly below each directory that has any."""
        children: dict[str, list[str]] = {}
        for path in self._entries:
            if path != "/":
                children.setdefault(parent(path), []).append(path)
        return children

    @functools.cached_property
    def hardlink_groups(self) -> dict[int, list[str]]:
        """Return the paths of each hardlink group."""
        groups: dict[int, list[str]] = {}
        for path, entry in self._entries.items():
            if entry.hardlinks is not None:
                groups.setdefault(entry.hardlinks, []).append(path)
        return groups

    def resolve(self, path: str, *, follow_last: bool = True) -> Resolved | None:
        """Walk ``path`` as the kernel would with this tree as its root; None if it leads nowhere.

        "..", relative and absolute link targets stay inside the root (path_resolution(7)); with
        ``follow_last`` false the last component is not followed, as by lstat.
        """
        entry = self._entries.get(path)
        if entry is None:
            here, components = "/", path.split("/")[::-1]
        elif entry.type == "symlink" and follow_last:
            here, components = parent(path), [path.rpartition("/")[2]]
        else:  # its parents are directories: no link is on the way
            return Resolved(path, ())
        links: list[str] = []
        while components:
            name = components.pop()
            if name in ("", ".", ".."):
                if here != "/" and self._entries[here].type != "directory":
                    return None
                here = parent(here) if name == ".." else here
                continue
            step = join(here, name)
            entry = self._entries.get(step)
            if entry is None or self._entries[here].type != "directory":
                return None
            if entry.type == "symlink" and (components or follow_last):
                links.append(step)
                if len(links) > MAX_LINKS:
                    return None
                target = entry.target or ""
                if target.startswith("/"):
                    here = "/"
                components.extend(reversed(target.split("/")))
            else:
                here = step
        return Resolved(here, tuple(links))

    def leads_to_directory(self, path: str) -> bool:
        """Say whether an entry is a directory, or a link that ends at one."""
        if self._entries[path].type == "symlink":
            resolved = self.resolve(path)
            return resolved is not None and self._entries[resolved.path].type == "directory"
        return self._entries[path].type == "directory"

    def canonical(self, path: str) -> str:
        """Return ``path`` with the symlinks of its directories resolved, existing or not.

        The last component is kept as it is. Where a directory does not exist the rest is joined
        on unchanged, so that a path that is only named still has one form. One that is longer than
        any program could name is returned as it is: of an entry it is the canonical one.
        """
        if len(path) > _PATH_MAX:
            return path
        here = "/"
        components = [name for name in path.split("/") if name not in ("", ".")]
        for index, name in enumerate(components):
            if name == "..":
                here = parent(here)
                continue
            step = join(here, name)
            last = index == len(components) - 1
            entry = self._entries.get(step)
            if not last and entry is not None and entry.type == "symlink":
                resolved = self.resolve(step)
                if resolved is not None:
                    step = resolved.path
            here = step
        return here


def parent(path: str) -> str:
    """Return the directory of ``path``; the root's is the root."""
    return path.rpartition("/")[0] or "/"


def parents(path: str) -> Iterator[str]:
    """Yield the directories above ``path``, the nearest first, the root last."""
    while path != "/":
        path = parent(path)
        yield path


def join(directory: str, name: str) -> str:
    """Return ``name`` below ``directory``."""
    return directory + name if directory == "/" else f"{directory}/{name}"


def is_below(path: str, directory: str) -> bool:
    """Say whether ``path`` is ``directory`` or lies in it, by components and not by prefix."""
    return directory in ("/", path) or path.startswith(directory + "/")


def path_key(path: str) -> str:
    """Return the sort key that puts a directory right before what it holds.

    As by the list of its components, in the memory of one text: no name holds a NUL.
    """
    return path.replace("/", "\0")


def read(image: Image, path: str, limit: int) -> bytes:
    """Return a file's content.

    Raises:
        ParedownError: it is longer than ``limit`` bytes, or cannot be read.
    """
    if image.tree[path].size > limit:
        raise ParedownError(
            f"cannot read {escape_name(path)} of the image: longer than {limit} bytes"
        )
    with image.open(path) as file:
        return file.read()
