"""Layers of an image, applied in order in memory (OCI image specification, "Layer").

What is odd is handled as container runtimes do: parents are implied, absolute names are relative to
the root, the last of several members of one name counts. Each layer is unpacked by itself and laid
over the others (docker, podman and containerd on overlayfs): a parent that the layer has no member
of is a directory, and hides a link or file that lower layers have there; only links of the same
layer are followed, inside the root. What would leave the tree is refused.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from paredown_minimizer.image.model import MAX_LINKS, Entry, Tree, join
from paredown_minimizer.image.regions import FileRegion, Region
from paredown_minimizer.image.tar import MAX_MEMBERS, Content, Member
from paredown_minimizer.image.workers import MAX_EXPANDED
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import encode_name, escape_name

WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_META = ".wh..wh."  # of aufs, as old docker wrote it: nothing of the image
# limits.h
_MAX_NAME = 255
_MAX_PATH = 4096
# Some hundred bytes for each of the most paths that any image has. A member's parents are implied,
# and its path costs nothing in an archive that is compressed.
_MAX_PATHS = 1 << 28
_NOWHERE = FileRegion(-1, 0, 0)


# Where content begins, of a file that lies in one piece; else its extents.
_Place = int | tuple[tuple[int, int, int], ...]


@dataclasses.dataclass(eq=False, slots=True)
class _Node:
    """A name, with its entry in the layer that brought it.

    Only directories have ``children``, by path. A directory that several layers have is as the last
    of them has it; ``before`` is how the others had it.
    """

    entry: Entry
    layer: int  # that brought the name
    source: int  # that has the content
    place: _Place = 0
    children: dict[str, _Node] | None = None
    before: tuple[tuple[int, Entry], ...] = ()
    implied: bool = False
    group: int | None = None  # of hardlinks, as many were made


class Applied:
    """What the layers make together."""

    def __init__(self, nodes: Mapping[str, _Node], regions: Sequence[Region]) -> None:
        """Take all names, and what each layer's places mean."""
        self._nodes = nodes
        self._regions = regions
        self.tree = Tree({path: node.entry for path, node in nodes.items()})
        # By layer, the directories that it has a member of, as it has them.
        self.directories: list[dict[str, Entry]] = [{} for _ in regions]
        for path, node in nodes.items():
            for layer, entry in node.before:
                self.directories[layer][path] = entry
            if node.entry.type == "directory" and not node.implied:
                self.directories[node.layer][path] = node.entry

    def layer_of(self, path: str) -> int:
        """Return the number of the layer that brought a path."""
        return self._nodes[path].layer

    def position(self, path: str) -> tuple[int, int]:
        """Return where a file's content begins: a layer's number, and a place in it."""
        node = self._nodes[path]
        if isinstance(node.place, int):
            return node.source, node.place
        return node.source, node.place[0][1] if node.place else 0

    def content(self, path: str) -> Content:
        """Return a regular file's content; raises KeyError if that is none."""
        node = self._nodes[path]
        if node.entry.type != "file":
            raise KeyError(path)
        size = node.entry.size
        extents = ((0, node.place, size),) if isinstance(node.place, int) else node.place
        return Content(self._regions[node.source], size, extents if size else ())


class LayerStack:
    """The tree of an image while its layers are applied."""

    def __init__(self) -> None:
        """Begin with an empty root directory."""
        self._regions: list[Region] = []
        self._root = self._implied("/")
        self._entries = self._bytes = self._length = self._groups = 0
        self._known: dict[str, _Node] = {}  # directories that the layer's names led to

    def apply(self, region: Region, members: Iterable[Member], layer: str) -> None:
        """Apply one layer's members; ``layer`` is for messages.

        Raises:
            ParedownError: a member would leave the tree, or can be nothing on Linux.
        """
        placed = []
        for member in members:
            self._count(member.name, layer)
            self._bytes += member.size
            if self._bytes > MAX_EXPANDED:  # a sparse file claims any size for free
                raise ParedownError(f"cannot read {layer}: it expands without measure")
            if member.type == "symlink" and len(encode_name(member.link)) >= _MAX_PATH:
                raise _error(layer, member.name, "the link is too long")
            components = _components(member.name, layer) if WHITEOUT in member.name else []
            if components and components[-1].startswith(WHITEOUT):
                # A whiteout is about the layers below alone, wherever it stands in its own.
                self._white_out(components, layer)
            else:
                placed.append(member)
        self._known.clear()
        for member in placed:
            self._place(member, layer)
        self._regions.append(region)

    @property
    def _layer(self) -> int:
        return len(self._regions)

    def finish(self) -> Applied:
        """Return what the layers made; nothing more can be applied then."""
        nodes = dict(self._walk())
        linked = [node for node in nodes.values() if node.group is not None]
        names = collections.Counter(node.group for node in linked)
        for node in linked:
            if names[node.group] > 1:
                node.entry = dataclasses.replace(node.entry, hardlinks=node.group)
        for node in nodes.values():
            node.children = None  # the tree has them
        return Applied(nodes, self._regions or [_NOWHERE])

    def _walk(self) -> Iterable[tuple[str, _Node]]:
        pending = [("/", self._root)]
        while pending:
            path, node = pending.pop()
            yield path, node
            if node.children:
                pending += node.children.items()

    def _white_out(self, components: list[str], layer: str) -> None:
        *above, name = components
        directory = self._directory(above, layer, create=True)
        assert directory is not None  # noqa: S101 - what is missing was created
        assert directory.children is not None  # noqa: S101
        if name == _OPAQUE:
            directory.children.clear()
        elif not name.startswith(_META):
            directory.children.pop(join(directory.entry.path, name[len(WHITEOUT) :]), None)

    def _count(self, path: str, layer: str) -> None:
        self._entries += 1
        if self._entries > MAX_MEMBERS:
            raise ParedownError(f"cannot read {layer}: too many members")
        self._length += len(path)
        if self._length > _MAX_PATHS:
            raise ParedownError(f"cannot read {layer}: its paths are long without measure")

    def _place(self, member: Member, layer: str) -> None:
        directory, path = self._named(member.name, layer)
        if directory is None:
            if member.type == "directory":
                self._again(self._root, _entry("/", member))
            return
        assert directory.children is not None  # noqa: S101 - directories have them
        there = directory.children.get(path)
        if member.type == "directory" and there is not None and there.children is not None:
            self._again(there, _entry(path, member))
            return
        if there is not None and (there.children is not None or there.entry.type == "symlink"):
            self._known.clear()  # names may lead elsewhere now
        directory.children[path] = self._node(path, member, layer)

    def _named(self, name: str, layer: str) -> tuple[_Node | None, str]:
        """Return the directory that a member is in and the member's path; None of the root."""
        above, _, last = name.rstrip("/").rpartition("/")
        # Bytes are counted where the characters could be too many.
        if last in ("", ".", "..") or len(last) * 4 > _MAX_NAME or len(name) * 4 > _MAX_PATH:
            components = _components(name, layer)
            if not components:
                return None, "/"
            above, last = "/".join(components[:-1]), components[-1]
        directory = self._known.get(above)
        if directory is None:
            directory = self._below_known(above) or self._directory(
                _components(above, layer), layer, create=True
            )
            assert directory is not None  # noqa: S101 - what is missing was created
            self._known[above] = directory
        return directory, join(directory.entry.path, last)

    def _below_known(self, name: str) -> _Node | None:
        """Return the directory of a name whose parent is known: walks would take long in depth."""
        above, _, last = name.rpartition("/")
        parent = self._known.get(above)
        if parent is None or parent.children is None:
            return None
        node = parent.children.get(join(parent.entry.path, last))
        return node if node is not None and node.children is not None else None

    def _node(self, path: str, member: Member, layer: str) -> _Node:
        if member.type == "hardlink":
            return self._linked(path, member, layer)
        children: dict[str, _Node] | None = {} if member.type == "directory" else None
        place: _Place = member.extents
        if len(member.extents) == 1 and member.extents[0][2] == member.size:
            place = member.extents[0][1]
        elif not member.extents and not member.size:
            place = 0
        return _Node(_entry(path, member), self._layer, self._layer, place, children)

    def _again(self, there: _Node, entry: Entry) -> None:
        """Let a directory that was there, and keeps what it holds, be as the layer has it."""
        if not there.implied and there.layer != self._layer:
            there.before += ((there.layer, there.entry),)
        there.entry, there.layer, there.implied = entry, self._layer, False

    def _linked(self, path: str, member: Member, layer: str) -> _Node:
        components = _components(member.link, layer)
        directory = self._directory(components[:-1], layer, create=False)
        node = None
        if components and directory is not None and directory.children is not None:
            node = directory.children.get(join(directory.entry.path, components[-1]))
        if node is None or node.children is not None:
            raise _error(layer, member.name, f"a hardlink to {escape_name(member.link)}, no file")
        if node.group is None:
            node.group = self._groups
            self._groups += 1
        entry = dataclasses.replace(node.entry, path=path)
        return _Node(entry, self._layer, node.source, node.place, group=node.group)

    def _directory(self, components: list[str], layer: str, *, create: bool) -> _Node | None:
        """Return the directory, links followed inside the root; None if it is not there."""
        path = [self._root]
        pending = components[::-1]
        links = 0
        while pending:
            name = pending.pop()
            if name in ("", "."):
                continue
            if name == "..":  # of a link's text
                path = path[:-1] or path
                continue
            children = path[-1].children
            assert children is not None  # noqa: S101 - only directories are put on the path
            step = join(path[-1].entry.path, name)
            node = children.get(step)
            if create and (node is None or (node.children is None and node.layer != self._layer)):
                self._count(step, layer)
                node = children[step] = self._implied(step)
            if node is None:
                return None
            if node.children is not None:
                path.append(node)
                continue
            links += 1
            if node.entry.type != "symlink" or links > MAX_LINKS:
                raise _error(layer, "/".join(components), "it lies below what is no directory")
            target = node.entry.target or ""
            if target.startswith("/"):
                path = path[:1]
            pending += target.split("/")[::-1]
        return path[-1]

    def _implied(self, path: str) -> _Node:
        entry = Entry(path, "directory", 0o755, 0, 0, 0, 0)
        return _Node(entry, self._layer, self._layer, children={}, implied=True)


def _components(name: str, layer: str) -> list[str]:
    components = [component for component in name.split("/") if component not in ("", ".")]
    if ".." in components:
        raise _error(layer, name, "it climbs out by '..'")
    # A name's bytes are counted where the characters could be too many.
    if len(name) * 4 > _MAX_NAME:
        if len(encode_name(name)) > _MAX_PATH:
            raise _error(layer, name[:40] + "…", "the path is too long")
        if any(len(encode_name(component)) > _MAX_NAME for component in components):
            raise _error(layer, name[:40] + "…", "the name is too long")
    return components


def _entry(path: str, member: Member) -> Entry:
    assert member.type != "hardlink"  # noqa: S101 - they become their targets
    return Entry(
        path,
        member.type,
        0o777 if member.type == "symlink" else member.mode,
        member.uid,
        member.gid,
        member.size,
        member.mtime_ns,
        member.link if member.type == "symlink" else None,
        None,
        member.device,
        member.xattrs,
    )


def _error(layer: str, name: str, cause: str) -> ParedownError:
    return ParedownError(f"cannot read {layer}: member {escape_name(name)}: {cause}")
