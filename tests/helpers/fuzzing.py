"""What the fuzzers' targets share: bytes as files, images in memory, and the oracle's frame.

A target is a module of tests/fuzz with ``one_input(data)``, which raises whatever must not be,
``seeds()``, and ``DICTIONARY``. tests/fuzz/run.py runs it under atheris; without atheris it is
plain code.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from paredown_minimizer.image.model import Entry, Layer, Tree, parent
from paredown_minimizer.image.regions import FileRegion
from paredown_minimizer.packages.base import Inventory, PackageManager
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name, encode_name, escape_name

# Seconds of processor time: what an input of some kilobytes takes is milliseconds.
_PATIENCE = 10
_PART = re.compile(rb"^@(/[^\n]*)\n", re.MULTILINE)


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Let an input be refused as users are told, and by nothing else; and fail if it takes long."""
    before = time.process_time()
    try:
        yield
    except ParedownError as error:
        assert str(error).isprintable(), f"shown unescaped: {error!r}"
    spent = time.process_time() - before
    assert spent < _PATIENCE, f"{spent:.1f} s for one input"


class _Place:
    """An anonymous file that holds one input after another."""

    def __init__(self) -> None:
        self._descriptor = -1

    def region(self, data: bytes) -> FileRegion:
        """Return the bytes as a region of an open file, valid until the next call."""
        if self._descriptor < 0:
            self._descriptor = os.memfd_create("input", os.MFD_CLOEXEC)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, data, 0)
        return FileRegion(self._descriptor, 0, len(data))


class MemoryImage:
    """An image of a few small files, directories implied."""

    config: Mapping[str, Any] = {}
    annotations: Mapping[str, str] = {}
    identity = "sha256:" + "0" * 64
    platform = "linux/amd64"
    layers: Sequence[Layer] = ()

    def __init__(
        self,
        files: Mapping[str, bytes],
        links: Mapping[str, str],
        directories: Iterable[str] = (),
    ) -> None:
        self.files = dict(files)
        self.links = dict(links)
        entries = {"/": Entry("/", "directory", 0o755, 0, 0, 0, 0)}
        for path in [*directories, *(parent(path) for path in [*files, *links])]:
            _add_directories(entries, path)
        for path, target in links.items():
            entries.setdefault(path, Entry(path, "symlink", 0o777, 0, 0, 0, 0, target=target))
        for path, data in files.items():
            entries.setdefault(path, Entry(path, "file", 0o644, 0, 0, len(data), 0))
        self.tree = Tree({path: entry for path, entry in entries.items() if _fits(entries, path)})

    def open(self, path: str) -> BinaryIO:
        """Open a file's content."""
        return io.BytesIO(self.files[path])

    def layer_of(self, path: str) -> int:
        """Have none."""
        raise NotImplementedError(path)

    def directories(self, layer: int) -> Mapping[str, Entry]:
        """Have none."""
        raise NotImplementedError(layer)

    def reading_order(self, paths: Iterable[str]) -> list[str]:
        """Return the paths in order."""
        return sorted(paths)

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def changed(self, files: Mapping[str, bytes | None]) -> MemoryImage:
        """Return the image with other files, None for those that go."""
        new = {**self.files, **files}
        links = {path: target for path, target in self.links.items() if path not in files}
        left = {path: data for path, data in new.items() if data is not None}
        there = [path for path, entry in self.tree.items() if entry.type == "directory"]
        return MemoryImage(left, links, there)


def image_of(data: bytes) -> MemoryImage:
    """Read an image from text: ``@/path`` and ``@/path -> target`` lines, each with its content."""
    _, *parts = _PART.split(data)
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    for head, content in zip(parts[::2], parts[1::2], strict=True):
        name, arrow, target = head.partition(b" -> ")
        path = _normal(decode_name(name.replace(b"\0", b"")))
        if path == "/":
            continue
        if arrow and target and b"\0" not in target:
            links[path] = decode_name(target)
        else:
            files[path] = content[:-1]
    return MemoryImage(files, links)


def text_of(files: Mapping[str, bytes | str]) -> bytes:
    """Return the input from which ``image_of`` makes these files; a text "-> x" is a link."""
    parts = []
    for path, content in files.items():
        if isinstance(content, str) and content.startswith("-> "):
            parts.append(b"@%s %s\n" % (encode_name(path), encode_name(content)))
        else:
            raw = encode_name(content) if isinstance(content, str) else content
            parts.append(b"@%s\n%s\n" % (encode_name(path), raw))
    return b"".join(parts)


def check_tree(tree: Tree) -> None:
    """Raise AssertionError unless a tree is what image/model.py promises."""
    groups: dict[int, list[Entry]] = {}
    for path, entry in tree.items():
        assert entry.path == path
        assert path == _normal(path), f"no canonical path: {escape_name(path)}"
        assert "\0" not in path + (entry.target or "")
        assert tree[parent(path)].type == "directory", f"nothing holds {escape_name(path)}"
        assert (entry.target is not None) == (entry.type == "symlink")
        assert entry.size >= 0
        assert entry.size == 0 or entry.type == "file"
        assert 0 <= entry.mode <= 0o7777
        if entry.hardlinks is not None:
            groups.setdefault(entry.hardlinks, []).append(entry)
        resolved = tree.resolve(path)
        assert resolved is None or resolved.path in tree
        assert tree.canonical(path) in tree
    for group in groups.values():
        assert len(group) > 1
        assert (
            len({(e.type, e.mode, e.uid, e.gid, e.size, e.mtime_ns, e.target) for e in group}) == 1
        )
        assert group[0].type != "directory"


def check_manager(manager: PackageManager, image: MemoryImage) -> None:
    """Read a database, slim the image to half of its files, and read what is left.

    Raises:
        ParedownError: the database is refused.
        AssertionError: it names what is not in the tree, or what was rewritten is refused, names
            what went, or changes when it is rewritten once more.
    """
    if not manager.detect(image):
        return
    inventory = manager.read(image)
    check_inventory(image.tree, inventory)
    files = {path for path in image.tree if image.tree[path].type != "directory"}
    gone = {p for p in files - inventory.database if zlib.crc32(encode_name(p)) % 2}
    kept = image.tree.keys() - inventory.database - gone
    changes = manager.rewrite(image, inventory, kept)
    assert changes.keys() <= inventory.database | kept
    slim = image.changed({**dict.fromkeys(gone), **changes})
    if not manager.detect(slim):
        return
    try:
        left = manager.read(slim)
        check_inventory(slim.tree, left)
        again = manager.rewrite(slim, left, kept)
    except ParedownError as error:
        raise AssertionError("what was written cannot be read") from error
    assert len(left.packages) <= len(inventory.packages)
    names = [package.name for package in inventory.packages.values()]
    # Dependencies are names: which of two packages of one name is meant, none can tell.
    assert not again or len(set(names)) < len(names), f"rewriting it again changes {sorted(again)}"


def check_inventory(tree: Tree, inventory: Inventory) -> None:
    """Raise AssertionError unless an inventory is what packages/base.py promises."""
    assert inventory.packages.keys() == inventory.owned.keys()
    assert inventory.conffiles.keys() <= inventory.packages.keys()
    assert inventory.database <= tree.keys()
    for key, paths in inventory.owned.items():
        assert paths <= tree.keys()
        assert inventory.conffiles.get(key, frozenset()) <= paths
        for path in paths:
            assert key in inventory.owners[path]
            assert tree.canonical(path) == path
    for path, sources in inventory.derived.items():
        assert path in tree
        assert sources <= tree.keys() | inventory.packages.keys()


def _add_directories(entries: dict[str, Entry], path: str) -> None:
    while path not in entries:
        entries[path] = Entry(path, "directory", 0o755, 0, 0, 0, 0)
        path = parent(path)


def _fits(entries: Mapping[str, Entry], path: str) -> bool:
    """Leave out what would lie below a file or link."""
    while path != "/":
        path = parent(path)
        if entries[path].type != "directory":
            return False
    return True


def _normal(path: str) -> str:
    names = [name for name in path.split("/") if name not in ("", ".", "..")]
    return "/" + "/".join(names)


region = _Place().region
