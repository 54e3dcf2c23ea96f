"""Tar archives: only members that hang together come out, and they survive our own writer."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterator
from typing import Any

from archives import layer, link
from fuzzing import check_tree, refusing, region
from paredown_minimizer.image.layers import WHITEOUT, LayerStack
from paredown_minimizer.image.model import Tree
from paredown_minimizer.image.regions import FileRegion
from paredown_minimizer.image.tar import BLOCK, Content, Member, read_members
from paredown_minimizer.image.tar_write import END, member_header, padding

_SOME = 1 << 16
_TEXT: Any = {"encoding": "utf-8", "errors": "surrogateescape"}
_TARFILE_TYPES = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.LNKTYPE: "hardlink",
    tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
    tarfile.DIRTYPE: "directory",
    tarfile.FIFOTYPE: "fifo",
}
DICTIONARY = [
    *(b"ustar\x0000", b"ustar  \0", b"././@LongLink", b"SCHILY.xattr.user.x=", b"path=", b"size="),
    *(b"linkpath=", b"mtime=", b"uid=", b"gid=", b"GNU.sparse.major=1", b"GNU.sparse.minor=0"),
    *(b"GNU.sparse.map=", b"GNU.sparse.size=", b"GNU.sparse.realsize=", b"GNU.sparse.name="),
    *(b"GNU.sparse.offset=", b"GNU.sparse.numbytes=", b"GNU.sparse.numblocks="),
    *(b"../", b"/", b".wh.", b".wh..wh..opq", b"\x80" + bytes(10) + b"\1", b"\xff" * 12),
]


def one_input(data: bytes) -> None:
    """Read an archive as it is, or with checksums made right: behind them lies the reader."""
    with refusing():
        _check(data[1:] if data[:1] != b"c" else _with_checksums(data[1:]))


def _check(data: bytes) -> None:
    place = region(data)
    members = list(read_members(place, "fuzz"))
    for member in members:
        _check_member(place, member)
    _check_against_tarfile(data, members)
    stack = LayerStack()
    stack.apply(place, members, "fuzz")
    tree = stack.finish().tree
    check_tree(tree)
    if not any(WHITEOUT in path for path in tree):
        assert dict(_written_and_read(tree)) == dict(tree)


def _check_member(place: FileRegion, member: Member) -> None:
    assert "\0" not in member.name + member.link
    end = 0
    for offset, start, length in member.extents:
        assert end <= offset
        assert 0 < length
        assert 0 <= start <= start + length <= place.length
        end = offset + length
    assert end <= member.size
    content = Content(place, member.size, member.extents).read(_SOME) or b""
    assert len(content) <= min(member.size, _SOME)
    assert content or not member.size
    whole = io.BufferedReader(Content(place, member.size, member.extents)).read(_SOME)
    assert len(whole) == min(member.size, _SOME)
    assert whole.startswith(content)


def _check_against_tarfile(data: bytes, members: list[Member]) -> None:
    """Compare members whose headers are to the byte what tarfile writes: so they have one meaning.

    Of others it reads what runtimes refuse, and stops in silence where they do.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", **_TEXT) as archive:
            theirs = list(archive)
    except (tarfile.TarError, ValueError, OverflowError, IndexError):
        return
    for ours, info in zip(members, theirs, strict=False):
        if not _well_formed(data, info):
            return  # it may have stepped over something, so that what follows is another member
        assert ours.name.rstrip("/") == info.name
        assert _TARFILE_TYPES[info.type] == ours.type
        # A link may claim a size, which tarfile repeats; nobody takes data of it.
        size = info.size if info.isreg() else 0
        assert (ours.size, ours.link) == (size, info.linkname)
        assert (ours.mode, ours.uid, ours.gid) == (info.mode & 0o7777, info.uid, info.gid)


def _well_formed(data: bytes, info: tarfile.TarInfo) -> bool:
    raw = data[info.offset : info.offset_data]
    forms: Any = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    for form in forms:
        with contextlib.suppress(ValueError, OverflowError):
            if info.tobuf(form, _TEXT["encoding"], _TEXT["errors"]) == raw:
                return True
    return False


def _written_and_read(tree: Tree) -> Tree:
    """Write a tree as a layer without its content, and read it again."""
    first: dict[int, str] = {}
    parts = []
    for entry in tree.values():
        before = first.get(entry.hardlinks) if entry.hardlinks is not None else None
        if entry.hardlinks is not None:
            first.setdefault(entry.hardlinks, entry.path)
        if _SOME < entry.size:
            return tree
        parts.append(member_header(entry, before))
        if entry.type == "file" and before is None:
            parts += [bytes(entry.size), padding(entry.size)]
    place = region(b"".join(parts) + END)
    stack = LayerStack()
    stack.apply(place, read_members(place, "again"), "again")
    return stack.finish().tree


def _with_checksums(data: bytes) -> bytes:
    """Return the archive with right checksums where a header seems to be."""
    blocks = []
    for start in range(0, len(data), BLOCK):
        block = data[start : start + BLOCK]
        if block[148:156].strip(b"\0") and block[257:262] in (b"ustar", bytes(5)):
            total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
            block = block[:148] + b"%06o\0 " % total + block[156:]
        blocks.append(block)
    return b"".join(blocks)


def seeds() -> Iterator[bytes]:
    """Yield archives in every form that tarfile writes, sparse files and small things."""
    for data in _archives():
        yield b"c" + data
        yield b"r" + data


def _archives() -> Iterator[bytes]:
    yield layer("d/", ("d/f", "data"), link("s", "d/f"), link("h", "d/f", hard=True))
    yield layer(("f", {"mtime": -1.5, "uid": 3_000_000, "pax_headers": {"SCHILY.xattr.a.b": "c"}}))
    yield layer(("null", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}), "é" * 60)
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=form) as archive:
            for name in ("a", "d/" * 40 + "f", "n" * 99):
                info = tarfile.TarInfo(name)
                info.size = 3
                archive.addfile(info, io.BytesIO(b"abc"))
        yield file.getvalue()
    for headers in (
        {"GNU.sparse.size": "2000", "GNU.sparse.map": "0,2,1000,2"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "2000"},
        {"path": "x", "size": "4", "mtime": "1.5"},
    ):
        data = b"2\n0\n2\n1000\n2\n".ljust(BLOCK, b"\0") if "GNU.sparse.major" in headers else b""
        yield layer(("f", {"data": data + b"abcd", "pax_headers": headers}))
    yield _gnu_sparse()
    yield bytes(2 * BLOCK)


def _gnu_sparse() -> bytes:
    info = tarfile.TarInfo("sparse")
    info.size, info.type = 4, b"S"
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:434] = b"%011o\0%011o\0%011o\0%011o\0" % (0, 2, 1000, 2)
    block[482:495] = b"\0%011o\0" % 2000
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + b"abcd" + bytes(508 + 2 * BLOCK)
