"""Layers on one another: the same tree as by a flat table of paths, the plainest way to do it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from fuzzing import check_tree, refusing
from paredown_minimizer.image.layers import LayerStack
from paredown_minimizer.image.model import MAX_LINKS, Entry
from paredown_minimizer.image.regions import FileRegion
from paredown_minimizer.image.tar import Member, MemberType

# Few names, so that they meet; composed and decomposed é must not.
_NAMES = (
    *("a", "b", "c", "d", ".", "..", "", ".wh.a", ".wh.b", ".wh.c", ".wh..wh..opq", ".wh."),
    *(".wh..wh.x", "é", "e\u0301", "\udcff"),
)
_TYPES: tuple[MemberType, ...] = (
    *("file", "directory", "symlink", "hardlink", "directory", "symlink", "hardlink", "fifo"),
)
_NEXT = 0xFF  # where a type is expected: the layer ends
DICTIONARY = [bytes([_NEXT]), b"\1\0", b"\x81\0", b"\2\0\1", b"\1\x0a", b"\1\7"]

Path = tuple[str, ...]


def one_input(data: bytes) -> None:
    """Apply the layers both ways; both refuse, or make the same."""
    layers = list(_layers(data))
    stack = LayerStack()
    table = _Table()
    try:
        for members in layers:
            table.apply(members)
    except _RefusedError:
        table.refused = True
    refused = True
    with refusing():
        for members in layers:
            stack.apply(FileRegion(-1, 0, 0), members, "fuzz")
        refused = False
    assert refused == table.refused
    if refused:
        return
    applied = stack.finish()
    check_tree(applied.tree)
    found = {path: (_kind(entry), applied.layer_of(path)) for path, entry in applied.tree.items()}
    assert found == {path: (node.kind, node.layer) for path, node in table.nodes()}
    groups = {frozenset(paths) for paths in applied.tree.hardlink_groups.values()}
    assert groups == table.groups()
    for layer, directories in enumerate(applied.directories):
        for path, entry in directories.items():
            assert entry.type == applied.tree[path].type == "directory"
            assert layer <= applied.layer_of(path)


def _kind(entry: Entry) -> str:
    return f"-> {entry.target}" if entry.type == "symlink" else entry.type


class _RefusedError(Exception):
    """No runtime could unpack it."""


@dataclasses.dataclass(frozen=True)
class _Row:
    kind: str  # a type, or "-> " and the text of a symlink
    layer: int
    inode: int


class _Table:
    """Every path there is, with what it is."""

    def __init__(self) -> None:
        self.refused = False
        self._layer = 0
        self._rows: dict[Path, _Row] = {(): _Row("directory", 0, 0)}
        self._inodes = 0

    def nodes(self) -> Iterator[tuple[str, _Row]]:
        """Yield the rows by path."""
        return (("/" + "/".join(path), row) for path, row in self._rows.items())

    def groups(self) -> set[frozenset[str]]:
        """Return which paths share an inode."""
        groups: dict[int, set[str]] = {}
        for path, row in self.nodes():
            groups.setdefault(row.inode, set()).add(path)
        return {frozenset(group) for group in groups.values() if len(group) > 1}

    def apply(self, members: list[Member]) -> None:
        """Apply a layer."""
        named = [(_components(member.name), member) for member in members]
        for path, _ in named:
            if path and path[-1].startswith(".wh."):
                self._white_out(path)
        for path, member in named:
            if not path or not path[-1].startswith(".wh."):
                self._place(path, member)
        self._layer += 1

    def _white_out(self, path: Path) -> None:
        name = path[-1]
        above = self._parent(path[:-1], make=True)
        if name == ".wh..wh..opq":
            self._remove(above, itself=False)
        elif not name.startswith(".wh..wh."):
            self._remove((*above, name[4:]), itself=True)

    def _remove(self, path: Path, *, itself: bool) -> None:
        for other in list(self._rows):
            if other[: len(path)] == path and (itself or other != path) and other:
                del self._rows[other]

    def _place(self, path: Path, member: Member) -> None:
        if not path:
            if member.type == "directory":
                self._rows[()] = self._row("directory")
            return
        place = (*self._parent(path[:-1], make=True), path[-1])
        there = self._rows.get(place)
        if member.type == "hardlink":
            linked = self._rows.get(self._target(member))
            if linked is None or linked.kind == "directory":
                raise _RefusedError
            row = dataclasses.replace(linked, layer=self._layer)
        else:
            row = self._row(f"-> {member.link}" if member.type == "symlink" else member.type)
        if there is None or not there.kind == row.kind == "directory":
            self._remove(place, itself=True)
        self._rows[place] = row

    def _target(self, member: Member) -> Path:
        path = _components(member.link)
        return (*self._parent(path[:-1], make=False), path[-1]) if path else ()

    def _parent(self, path: Path, *, make: bool) -> Path:
        here: Path = ()
        pending = list(path)
        links = 0
        while pending:
            name = pending.pop(0)
            if name == "..":
                here = here[:-1]
            if name in ("", ".", ".."):
                continue
            step = (*here, name)
            row = self._rows.get(step)
            if make and (row is None or (row.kind != "directory" and row.layer != self._layer)):
                self._remove(step, itself=True)
                row = self._rows[step] = self._row("directory")
            if row is None:
                raise _RefusedError
            if row.kind == "directory":
                here = step
                continue
            links += 1
            if not row.kind.startswith("-> ") or links > MAX_LINKS:
                raise _RefusedError
            target = row.kind[3:]
            here = () if target.startswith("/") else here
            pending = target.split("/") + pending
        return here

    def _row(self, kind: str) -> _Row:
        self._inodes += 1
        return _Row(kind, self._layer, self._inodes)


def _components(name: str) -> Path:
    path = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in path:
        raise _RefusedError
    return path


def _layers(data: bytes) -> Iterator[list[Member]]:
    """Yield layers: of each member a byte of type and lengths, then its names' numbers."""
    members: list[Member] = []
    rest = iter(data[:400])
    for head in rest:
        if head == _NEXT:
            yield members
            members = []
            continue
        kind = _TYPES[head & 7]
        name = _name(rest, head >> 3 & 3)
        link = _name(rest, head >> 5 & 3) if kind in ("symlink", "hardlink") else ""
        link = ("/" if head & 0x80 else "") + link if kind in ("symlink", "hardlink") else ""
        members.append(Member(name, kind, 0o755, 0, 0, 0, 0, link, None, (), ()))
    yield members


def _name(rest: Iterator[int], more: int) -> str:
    return "/".join(_NAMES[next(rest, 0) & 15] for _ in range(more + 1))


def seeds() -> Iterator[bytes]:
    """Yield layers of replaced, linked, whited out and opaque things."""
    directory, file, link, hard = 1, 0, 2, 3
    below = bytes([directory, 0, file | 8, 0, 1, file, 1])
    yield below
    yield below + bytes([_NEXT, file, 7, file | 8, 0, 2])
    yield below + bytes([_NEXT, file | 8, 0, 10, file | 8, 0, 2])
    yield below + bytes([_NEXT, link, 0, 1, file | 8, 0, 2])
    yield below + bytes([link, 2, 0, _NEXT, file | 8, 2, 3, hard, 3, 1])
    yield below + bytes([hard | 0x20, 3, 0, 1, _NEXT, file, 1, hard, 2, 3])
    yield bytes([link | 0x20, 0, 0, 0, file | 8, 0, 1])
