"""What the layers of a written image hold, and their tar streams.

One squashed layer, or of each of the original's layers what is left of it. Either way nothing is
written that is not in the tree: what an earlier layer held and a later one deleted is nowhere, and
no whiteout is needed. The same image gives the same bytes: a fixed order, no clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from paredown_minimizer.image.layers import WHITEOUT
from paredown_minimizer.image.model import Entry, Image, parent, path_key
from paredown_minimizer.image.slim import with_parents
from paredown_minimizer.image.tar_write import END, member_header, member_size, padding
from paredown_schemas.errors import ParedownError, UsageError
from paredown_schemas.names import escape_name

# Also what is compressed at a time: the compressed bytes depend on it.
BLOCK_SIZE = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class NewLayer:
    """One layer to be written."""

    image: Image
    source: int | None  # the number of the original's layer that it is of; None if of all
    members: Sequence[tuple[Entry, str | None]]  # with the first name of a further hardlink

    def size(self) -> int:
        """Return how many bytes the tar stream has, known before any content is read."""
        return sum(member_size(entry, first) for entry, first in self.members) + len(END)

    def blocks(self) -> Iterator[bytes]:
        """Yield the tar stream in blocks of 1 MiB, the last one shorter.

        Raises:
            ParedownError: content cannot be read.
        """
        pending: list[bytes] = []
        length = 0
        for chunk in self._chunks():
            pending.append(chunk)
            length += len(chunk)
            while length >= BLOCK_SIZE:
                data = b"".join(pending)
                yield data[:BLOCK_SIZE]
                pending = [data[BLOCK_SIZE:]]
                length -= BLOCK_SIZE
        yield b"".join(pending)

    def _chunks(self) -> Iterator[bytes]:
        for entry, first in self.members:
            yield member_header(entry, first)
            if entry.type == "file" and first is None:
                yield from self._content(entry)
        yield END

    def _content(self, entry: Entry) -> Iterator[bytes]:
        left = entry.size
        with self.image.open(entry.path) as file:
            while left:
                chunk = file.read(min(left, BLOCK_SIZE))
                if not chunk:
                    raise ParedownError(f"cannot read {escape_name(entry.path)}: it ends early")
                left -= len(chunk)
                yield chunk
        yield padding(entry.size)


def new_layers(image: Image, *, keep_layers: bool) -> list[NewLayer]:
    """Return the layers to write ``image`` in, oldest first; at least one.

    Raises:
        UsageError: layers are to be kept, and the image has none.
        ParedownError: a name in the tree means something else in a layer.
    """
    for path in image.tree:
        if path.rpartition("/")[2].startswith(WHITEOUT):
            raise ParedownError(
                f"cannot write {escape_name(path)}: in a layer its name means a deletion"
            )
    if keep_layers and not image.layers:
        raise UsageError("cannot keep the layers: SOURCE has none")
    return list(_kept(image)) if keep_layers else [_squashed(image)]


def _squashed(image: Image) -> NewLayer:
    entries = image.tree.values()
    directories = [entry for entry in entries if entry.type == "directory"]
    others = [entry for entry in entries if entry.type != "directory"]
    return NewLayer(image, None, _members(image, directories, others))


def _kept(image: Image) -> Iterator[NewLayer]:
    """Yield what is left of each layer, but for layers of which nothing is left.

    A layer brings along the directories above what it holds, as they were by then: runtimes differ
    in what they make of a parent that the layer does not have.
    """
    known: dict[str, Entry] = {}
    for number, own in enumerate(_by_layer(image)):
        known.update(image.directories(number))
        if own:
            above = with_parents({parent(path) for path in own})
            paths = above | {path for path in own if own[path].type == "directory"}
            directories = [
                known.get(path) or _implied(path) for path in sorted(paths, key=path_key)
            ]
            others = [entry for entry in own.values() if entry.type != "directory"]
            yield NewLayer(image, number, _members(image, directories, others))


def _by_layer(image: Image) -> list[dict[str, Entry]]:
    """Return by layer the paths that it has of the tree.

    A hardlink group lies wholly in the layer of its newest name: no runtime links across layers.
    """
    newest: dict[int, int] = {}
    for number, paths in image.tree.hardlink_groups.items():
        newest[number] = max(image.layer_of(path) for path in paths)
    own: list[dict[str, Entry]] = [dict(image.directories(n)) for n in range(len(image.layers))]
    for path, entry in image.tree.items():
        group = entry.hardlinks
        own[image.layer_of(path) if group is None else newest[group]][path] = entry
    return own


def _implied(path: str) -> Entry:
    """Return a directory that no layer has up to here: as readers imply it."""
    return Entry(path, "directory", 0o755, 0, 0, 0, 0)


def _members(
    image: Image, directories: Iterable[Entry], others: Sequence[Entry]
) -> list[tuple[Entry, str | None]]:
    """Return directories, then special files, then regular ones as they are read fastest.

    The further names of a hardlink group come right after the first, the parents of all being
    there already. Sockets are left out: they have no meaning without the process that bound them.
    """
    groups: dict[int, list[Entry]] = {}
    for entry in others:
        if entry.hardlinks is not None:
            groups.setdefault(entry.hardlinks, []).append(entry)
    heads = {e.path: e for e in others if e.hardlinks is None or groups[e.hardlinks][0] is e}
    special = [path for path, entry in heads.items() if entry.type not in ("file", "socket")]
    files = image.reading_order(path for path, entry in heads.items() if entry.type == "file")
    members: list[tuple[Entry, str | None]] = [(entry, None) for entry in directories]
    for path in (*special, *files):
        members.append((heads[path], None))
        if (group := heads[path].hardlinks) is not None:
            members += [(entry, path) for entry in groups[group][1:]]
    return members
