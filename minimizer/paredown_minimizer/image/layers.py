"""Layers of an image, applied in order in memory (OCI image specification, "Layer").

What is odd is handled as container runtimes do: parents are implied, absolute names are relative to
the root, the last of several members of one name counts. Each layer is unpacked by itself and laid
over the others (docker, podman and containerd on overlayfs): a parent that the layer has no member
of is a directory, and hides a link or file that lower layers have there; only links of the same
layer are followed, inside the root. What would leave the tree is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from paredown_minimizer.image.model import MAX_LINKS, Entry, Tree, join
from paredown_minimizer.image.regions import FileRegion, Region
from paredown_minimizer.image.tar import MAX_MEMBERS, Member
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


@dataclasses.dataclass(frozen=True, slots=True)
class FileContent:
    """Where a regular file's content lies: the layer by its number, and the member there."""

    layer: int
    region: Region
    member: Member

    @property
    def start(self) -> int:
        """Return where in the layer the content begins."""
        return self.member.extents[0][1] if self.member.extents else 0


@dataclasses.dataclass(frozen=True, slots=True)
class Applied:
    """What the layers make together."""

    tree: Tree
    contents: Mapping[str, FileContent]  # of each regular file
    layer_of: Mapping[str, int]  # the layer that brought each path
    directories: Sequence[Mapping[str, Entry]]  # by layer, those it has a member of, as it has them


@dataclasses.dataclass(eq=False, slots=True)
class _Node:
    """A name. Hardlinked names share the member; ``children`` is None but for directories.

    A directory that several layers have is as the last of them says, and ``before`` as the others.
    """

    member: Member
    region: Region
    source: int  # the layer that has the content
    layer: int  # the layer that brought the name
    children: dict[str, _Node] | None = None
    before: tuple[tuple[int, Member], ...] = ()


class LayerStack:
    """The tree of an image while its layers are applied."""

    def __init__(self) -> None:
        """Begin with an empty root directory."""
        self._layer = 0
        self._nowhere = FileRegion(-1, 0, 0)
        self._root = self._implied()
        self._entries = self._bytes = 0

    def apply(self, region: Region, members: Iterable[Member], layer: str) -> None:
        """Apply one layer's members; ``layer`` is for messages.

        Raises:
            ParedownError: a member would leave the tree, or can be nothing on Linux.
        """
        placed = []
        for member in members:
            self._count(layer)
            self._bytes += member.size
            if self._bytes > MAX_EXPANDED:  # a sparse file claims any size for free
                raise ParedownError(f"cannot read {layer}: it expands without measure")
            components = _components(member.name, layer)
            if member.type == "symlink" and len(encode_name(member.link)) >= _MAX_PATH:
                raise _error(layer, member.name, "the link is too long")
            if components and components[-1].startswith(WHITEOUT):
                # A whiteout is about the layers below alone, wherever it stands in its own.
                self._white_out(components, layer)
            else:
                placed.append((components, member))
        for components, member in placed:
            self._place(components, member, region, layer)
        self._layer += 1

    def finish(self) -> Applied:
        """Return what the layers made.

        Raises:
            ParedownError: the paths together are longer than memory should have to bear.
        """
        nodes = dict(self._walk())
        names: dict[int, int] = {}
        for node in nodes.values():
            names[id(node.member)] = names.get(id(node.member), 0) + 1
        groups: dict[int, int] = {}
        entries: dict[str, Entry] = {}
        contents: dict[str, FileContent] = {}
        directories: list[dict[str, Entry]] = [{} for _ in range(self._layer)]
        for path, node in nodes.items():
            key = id(node.member)
            group = groups.setdefault(key, len(groups)) if names[key] > 1 else None
            entries[path] = _entry(path, node.member, group)
            if node.member.type == "file":
                contents[path] = FileContent(node.source, node.region, node.member)
            for layer, member in node.before:
                directories[layer][path] = _entry(path, member, None)
            if node.children is not None and node.member.name:
                directories[node.layer][path] = entries[path]
        layer_of = {path: node.layer for path, node in nodes.items()}
        return Applied(Tree(entries), contents, layer_of, directories)

    def _walk(self) -> Iterable[tuple[str, _Node]]:
        pending = [("/", self._root)]
        length = 0
        while pending:
            path, node = pending.pop()
            length += len(path)
            if length > _MAX_PATHS:
                raise ParedownError("cannot read the layers: their paths are long without measure")
            yield path, node
            if node.children:
                pending += [(join(path, name), child) for name, child in node.children.items()]

    def _white_out(self, components: list[str], layer: str) -> None:
        *above, name = components
        directory = self._directory(above, layer, create=True)
        assert directory is not None  # noqa: S101 - what is missing was created
        assert directory.children is not None  # noqa: S101
        if name == _OPAQUE:
            directory.children.clear()
        elif not name.startswith(_META):
            directory.children.pop(name[len(WHITEOUT) :], None)

    def _count(self, layer: str) -> None:
        self._entries += 1
        if self._entries > MAX_MEMBERS:
            raise ParedownError(f"cannot read {layer}: too many members")

    def _place(self, components: list[str], member: Member, region: Region, layer: str) -> None:
        if not components:
            if member.type == "directory":
                self._root = self._again(self._root, member, region)
            return
        *above, name = components
        directory = self._directory(above, layer, create=True)
        assert directory is not None  # noqa: S101 - what is missing was created
        assert directory.children is not None  # noqa: S101
        there = directory.children.get(name)
        if member.type == "hardlink":
            directory.children[name] = self._linked(member, layer)
        elif member.type == "directory":
            directory.children[name] = self._again(there, member, region)
        else:
            directory.children[name] = _Node(member, region, self._layer, self._layer)

    def _again(self, there: _Node | None, member: Member, region: Region) -> _Node:
        """Return a directory that is new, or was there and keeps what it holds."""
        node = _Node(member, region, self._layer, self._layer, {})
        if there is not None and there.children is not None:
            node.children = there.children
            node.before = there.before
            if there.member.name and there.layer != self._layer:
                node.before += ((there.layer, there.member),)
        return node

    def _linked(self, member: Member, layer: str) -> _Node:
        components = _components(member.link, layer)
        directory = self._directory(components[:-1], layer, create=False)
        children = directory.children if directory is not None else None
        node = children.get(components[-1]) if children and components else None
        if node is None or node.children is not None:
            raise _error(layer, member.name, f"a hardlink to {escape_name(member.link)}, no file")
        return _Node(node.member, node.region, node.source, self._layer)

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
            node = children.get(name)
            if create and (node is None or (node.children is None and node.layer != self._layer)):
                self._count(layer)
                node = children[name] = self._implied()
            if node is None:
                return None
            if node.children is not None:
                path.append(node)
                continue
            links += 1
            if node.member.type != "symlink" or links > MAX_LINKS:
                raise _error(layer, "/".join(components), "it lies below what is no directory")
            if node.member.link.startswith("/"):
                path = path[:1]
            pending += node.member.link.split("/")[::-1]
        return path[-1]

    def _implied(self) -> _Node:
        member = Member("", "directory", 0o755, 0, 0, 0, 0, "", None, (), ())
        return _Node(member, self._nowhere, self._layer, self._layer, {})


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


def _entry(path: str, member: Member, group: int | None) -> Entry:
    assert member.type != "hardlink"  # noqa: S101 - they became their targets
    return Entry(
        path=path,
        type=member.type,
        mode=0o777 if member.type == "symlink" else member.mode,
        uid=member.uid,
        gid=member.gid,
        size=member.size,
        mtime_ns=member.mtime_ns,
        target=member.link if member.type == "symlink" else None,
        hardlinks=group,
        device=member.device,
        xattrs=member.xattrs,
    )


def _error(layer: str, name: str, cause: str) -> ParedownError:
    return ParedownError(f"cannot read {layer}: member {escape_name(name)}: {cause}")
