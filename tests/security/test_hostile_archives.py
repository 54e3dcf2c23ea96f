"""Archives made to harm: each is refused with one clear line, and nothing lands outside."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import archives
from archives import archive, layer, link
from paredown_minimizer.image import layers, streams
from paredown_minimizer.image.directory import DirectoryImage
from paredown_minimizer.image.docker_archive import open_archive
from paredown_minimizer.image.slim import Provenance
from paredown_minimizer.image.source import write_image
from paredown_schemas.errors import ParedownError

PROVENANCE = Provenance("", "", "")


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    """Change a header of the layer's first member, checksum included."""
    block = bytearray(data[:512])
    block[offset : offset + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data[512:]


def pax(records: bytes) -> bytes:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    return header.tobuf(tarfile.USTAR_FORMAT) + records.ljust(-(-len(records) // 512) * 512, b"\0")


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    while length != len(b"%d %s=%s\n" % (length, key, value)):
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


FILE = layer(("f", "data"))
LAYERS: dict[str, tuple[bytes, str]] = {
    "climbs": (layer(("../etc/passwd", "x")), "climbs out"),
    "climbs inside": (layer("a/", ("a/../../x", "x")), "climbs out"),
    "climbs by hardlink": (layer(link("a", "../../etc/shadow", hard=True)), "climbs out"),
    "climbs by whiteout": (layer("../.wh.x"), "climbs out"),
    "hardlink to nothing": (layer(link("a", "/etc/shadow", hard=True)), "a hardlink to"),
    "hardlink to a directory": (layer("d/", link("a", "d", hard=True)), "a hardlink to"),
    "hardlink to itself": (layer(link("a", "a", hard=True)), "a hardlink to"),
    "below a file": (layer("f", "f/x"), "below what is no directory"),
    "below a link loop": (layer(link("a", "b"), link("b", "a"), "a/x"), "no directory"),
    "NUL in a name": (pax(record(b"path", b"a\0b")) + FILE, "NUL"),
    "name too long": (layer("n" * 256), "too long"),
    "link too long": (layer(link("a", "x" * 4096)), "the link is too long"),
    "path too long": (layer("d/" * 2050 + "f"), "too long"),
    "negative size": (patched(FILE, 124, b"\xff" * 12), "negative size"),
    "size beyond the end": (patched(FILE, 124, b"77777777777\0"), "more bytes than there are"),
    "size by pax beyond the end": (pax(record(b"size", b"9" * 18)) + FILE, "more bytes than"),
    "malformed size": (patched(FILE, 124, b"12x45678901\0"), "malformed size"),
    "negative owner": (patched(FILE, 108, b"\xff" * 8), "negative uid"),
    "unknown type": (patched(FILE, 156, b"M"), "unknown type"),
    "wrong checksum": (FILE[:148] + b"000000\0 " + FILE[156:], "checksum"),
    "cut short": (FILE[:300], "cut short"),
    "giant extended header": (patched(pax(b"x") + FILE, 124, b"00100000001\0"), "extended header"),
    "extended header alone": (pax(record(b"path", b"x")), "behind an extended header"),
    "malformed extended header": (pax(b"99 path=x\n") + FILE, "malformed extended header"),
    "negative length in it": (pax(b"-9 path=x\n") + FILE, "malformed extended header"),
    "malformed time": (pax(record(b"mtime", b"1e9")) + FILE, "malformed time"),
    "device that Linux lacks": (
        layer(("d", {"type": tarfile.CHRTYPE, "devmajor": 99999, "devminor": 0})),
        "device number",
    ),
    "sparse file of lies": (
        pax(
            record(b"GNU.sparse.major", b"0")
            + record(b"GNU.sparse.size", b"10")
            + record(b"GNU.sparse.map", b"0,4,2,4")
        )
        + FILE,
        "sparse file",
    ),
    "sparse file without measure": (
        pax(record(b"GNU.sparse.size", b"9" * 18) + record(b"GNU.sparse.map", b"0,4")) + FILE,
        "without measure",
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_hostile_layer_is_refused(tmp_path: Path, name: str) -> None:
    data, cause = LAYERS[name]
    with pytest.raises(ParedownError, match=cause) as caught:
        open_archive(str(archive(tmp_path / "a.tar", [data])))
    message = str(caught.value)
    assert message.startswith("cannot read ")
    assert message.isprintable()


def test_wrong_digest_of_a_layer(tmp_path: Path) -> None:
    with pytest.raises(ParedownError, match="not that of its digest"):
        open_archive(str(archive(tmp_path / "a.tar", [FILE], diff_ids=["sha256:" + "0" * 64])))


def test_wrong_digest_of_the_configuration(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", [FILE])
    path.write_bytes(path.read_bytes().replace(b'"amd64"', b'"arm64"'))
    with pytest.raises(ParedownError, match="not that of its digest"):
        open_archive(str(path))


@pytest.mark.parametrize(
    ("manifest", "cause"),
    [
        (b"not JSON", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"{}", "manifest is malformed"),
        (b'[{"Config": 1, "Layers": []}]', "manifest is malformed"),
        (b"[]", "it holds 0 images"),
        (b'[{"Config": "none.json", "Layers": []}]', "none.json is missing"),
        (b'[{"Config": "loop", "Layers": []}]', "is missing"),
        (b'[{"Config": "c", "Layers": ["x", "y"]}]', "differ in layers"),
        (b'[{"Config": "list", "Layers": []}]', "configuration is malformed"),
        (b'[{"Config": "bad", "Layers": []}]', "names no layers"),
    ],
)
def test_malformed_manifest(tmp_path: Path, manifest: bytes, cause: str) -> None:
    content = layer(
        ("manifest.json", manifest),
        ("c", '{"architecture": "amd64", "rootfs": {"diff_ids": []}}'),
        ("list", "[]"),
        ("bad", '{"rootfs": {"diff_ids": ["sha256:../../x"]}}'),
        link("loop", "loop"),
    )
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(ParedownError, match=cause):
        open_archive(f"{tmp_path}/a.tar")


def test_missing_layer(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", [FILE])
    with tarfile.open(path) as old, tarfile.open(tmp_path / "b.tar", "w") as new:
        for info in old:
            if not info.name.endswith("layer.tar"):
                new.addfile(info, old.extractfile(info))
    with pytest.raises(ParedownError, match=r"layer\.tar is missing"):
        open_archive(f"{tmp_path}/b.tar")


@pytest.mark.parametrize(
    ("bound", "value", "cause"),
    [("MAX_MEMBERS", 100, "too many members"), ("_MAX_PATHS", 1000, "long without measure")],
)
def test_implied_parents_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int, cause: str
) -> None:
    twenty = archive(tmp_path / "a.tar", [layer(*((f"{n}" + "/d" * 9, "") for n in range(20)))])
    assert len(open_archive(str(twenty)).tree) == 1 + 20 * 10
    monkeypatch.setattr(layers, bound, value)
    with pytest.raises(ParedownError, match=cause):
        open_archive(str(twenty))


def test_bomb_is_stopped_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_FREE_EXPANSION", 1 << 24)
    (tmp_path / "a.tar").write_bytes(gzip.compress(bytes(1 << 26), mtime=0))
    with pytest.raises(ParedownError, match="expands without measure"):
        open_archive(f"{tmp_path}/a.tar")


@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda data: data[:40] + b"\0" * 99])
def test_damaged_gzip(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    (tmp_path / "a.tar").write_bytes(damage(gzip.compress(FILE)))
    with pytest.raises(ParedownError, match="damaged gzip"):
        open_archive(f"{tmp_path}/a.tar")


def test_truncated_archive_never_passes(tmp_path: Path) -> None:
    data = archive(tmp_path / "a.tar", [layer(("f", "x" * 3000))]).read_bytes()
    for length in range(0, data.rindex(b"manifest.json") + 600, 512):
        (tmp_path / "cut.tar").write_bytes(data[:length])
        with pytest.raises(ParedownError):
            open_archive(f"{tmp_path}/cut.tar")


def test_links_that_lead_out_write_nothing_outside(tmp_path: Path) -> None:
    """Link, then write through it: what a runtime resolves inside the root, and so do we."""
    outside = tmp_path / "outside"
    outside.mkdir()
    hostile = layer(
        link("a", str(outside)), ("a/f", "x"), link("b", "../../.."), ("b/g", "y"), link("a", "/")
    )
    with contextlib.closing(open_archive(str(archive(tmp_path / "a.tar", [hostile])))) as image:
        write_image(image, f"dir:{tmp_path}/tree", PROVENANCE, force=False)
    assert list(outside.iterdir()) == []
    assert (tmp_path / "tree" / "g").read_text() == "y"
    assert (tmp_path / f"tree{outside}/f").read_text() == "x"


def test_names_cannot_move_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(ParedownError) as caught:
        open_archive(str(archive(tmp_path / "a.tar", [layer(("\x1b[2J\n../x", ""), "\x1b\n/../")])))
    assert str(caught.value).isprintable()


def test_file_that_is_a_whiteout_cannot_be_written_as_a_layer(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / ".wh.etc").touch()
    with pytest.raises(ParedownError, match="means a deletion"):
        write_image(
            DirectoryImage(tree), f"docker-archive:{tmp_path}/a.tar", PROVENANCE, force=False
        )
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_fifo_as_archive_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar")
    with pytest.raises(ParedownError, match="not a regular file"):
        open_archive(f"{tmp_path}/a.tar")


def test_manifest_with_many_references_to_one_bomb(tmp_path: Path) -> None:
    data = layer(("zeros", bytes(1 << 20)))
    path = archive(tmp_path / "a.tar", [data], compress=True)
    name = f"{0:064x}/layer.tar"
    with tarfile.open(path) as tar:
        blob = tar.extractfile(name)
        assert blob is not None
        packed = blob.read()
    diff_id = f"sha256:{archives.digest(data)}"
    config = json.dumps({"rootfs": {"diff_ids": [diff_id] * 2000}})
    manifest = json.dumps([{"Config": "c", "Layers": [name] * 2000}])
    (tmp_path / "b.tar").write_bytes(
        layer((name, packed), ("c", config), ("manifest.json", manifest))
    )
    with pytest.raises(ParedownError, match="more than 1000 layers"):
        open_archive(f"{tmp_path}/b.tar")
