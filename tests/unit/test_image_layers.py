"""Layers applied in memory, as a container runtime applies them on disk."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import archives
from archives import archive, layer, link
from paredown_minimizer.image.docker_archive import open_archive
from paredown_minimizer.image.model import Image, read
from paredown_minimizer.image.slim import SlimImage
from paredown_schemas.errors import ParedownError
from paredown_schemas.identity import image_identity


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image]:
    with contextlib.closing(open_archive(str(path))) as image:
        yield image


def tree(tmp_path: Path, *layers: bytes) -> dict[str, str]:
    """Return each path with its content, "/" for a directory, "-> text" for a link."""
    with opened(archive(tmp_path / "a.tar", layers)) as image:
        return {path: describe(image, path) for path in image.tree if path != "/"}


def describe(image: Image, path: str) -> str:
    entry = image.tree[path]
    if entry.type == "file":
        return read(image, path, 1 << 20).decode()
    return f"-> {entry.target}" if entry.type == "symlink" else "/"


def test_later_layers_replace(tmp_path: Path) -> None:
    below = layer("d/", ("d/f", "old"), ("d/g", "kept"), ("to-dir", "x"), "to-file/", "to-file/in")
    above = layer(("d/f", "new"), "to-dir/", ("to-dir/in", "y"), ("to-file", "z"), ("d/f", "last"))
    assert tree(tmp_path, below, above) == {
        "/d": "/",
        "/d/f": "last",
        "/d/g": "kept",
        "/to-dir": "/",
        "/to-dir/in": "y",
        "/to-file": "z",
    }


def test_directory_again_changes_attributes_alone(tmp_path: Path) -> None:
    above = layer(("d/", {"mtime": 9}))
    with opened(archive(tmp_path / "a.tar", [layer("d/", "d/f"), above])) as image:
        assert "/d/f" in image.tree
        assert image.tree["/d"].mtime_ns == 9_000_000_000


def test_whiteouts(tmp_path: Path) -> None:
    below = layer("a/", "a/x", "a/y", "b/", "b/x", "b/sub/", "b/sub/z", "c", "d/", "d/e")
    above = layer("a/.wh.x", "b/", "b/new", "b/.wh..wh..opq", ".wh.c", ".wh.d", ".wh.none")
    assert set(tree(tmp_path, below, above)) == {"/a", "/a/y", "/b", "/b/new"}


def test_whiteout_is_about_lower_layers_alone(tmp_path: Path) -> None:
    below = layer("f", "d/", "d/old")
    above = layer(("f", "new"), ".wh.f", "d/", "d/new", "d/.wh..wh..opq")
    assert tree(tmp_path, below, above) == {"/f": "new", "/d": "/", "/d/new": ""}


def test_metadata_of_aufs_is_nothing(tmp_path: Path) -> None:
    assert tree(tmp_path, layer(".wh..wh.plnk", ".wh..wh.aufs", "f")) == {"/f": ""}


def test_secret_of_a_deleted_file_is_gone(tmp_path: Path) -> None:
    assert tree(tmp_path, layer(("key", "secret")), layer(".wh.key")) == {}


def test_hardlinks_across_layers(tmp_path: Path) -> None:
    below = layer(("a", "one"), link("b", "a", hard=True))
    above = layer(link("c", "/b", hard=True), ("a", "two"))
    with opened(archive(tmp_path / "a.tar", [below, above])) as image:
        assert read(image, "/a", 9) == b"two"
        assert read(image, "/b", 9) == read(image, "/c", 9) == b"one"
        assert list(image.tree.hardlink_groups.values()) == [["/b", "/c"]]


def test_hardlink_to_a_symlink_links_the_link(tmp_path: Path) -> None:
    contents = tree(tmp_path, layer(link("s", "x"), link("t", "s", hard=True)))
    assert contents == {"/s": "-> x", "/t": "-> x"}


def test_parents_are_implied_and_links_among_them_followed_inside(tmp_path: Path) -> None:
    links = (link("lib", "usr/lib"), link("out", "/../../usr"), "usr/lib/x")
    assert tree(tmp_path, layer(*links, ("lib/y", "1"), ("out/z", "2"))) == {
        "/lib": "-> usr/lib",
        "/out": "-> /../../usr",
        "/usr": "/",
        "/usr/lib": "/",
        "/usr/lib/x": "",
        "/usr/lib/y": "1",
        "/usr/z": "2",
    }


def test_a_parent_that_the_layer_lacks_is_a_directory(tmp_path: Path) -> None:
    """Each layer is unpacked by itself, so that links below are hidden and not followed.

    So docker 20.10, podman 4.3 and containerd 1.6 do on overlayfs (tried).
    """
    below = layer("usr/lib/x", link("lib", "usr/lib"), ("file", "x"))
    assert tree(tmp_path, below, layer(("lib/y", "1"), ("file/z", "2"), "lib/.wh.x")) == {
        "/file": "/",
        "/file/z": "2",
        "/lib": "/",
        "/lib/y": "1",
        "/usr": "/",
        "/usr/lib": "/",
        "/usr/lib/x": "",
    }
    above = layer("lib/.wh.x", "file/.wh.y")
    assert tree(tmp_path, below, above) == {
        "/file": "/",
        "/lib": "/",
        "/usr": "/",
        "/usr/lib": "/",
        "/usr/lib/x": "",
    }


def test_absolute_names_are_the_roots(tmp_path: Path) -> None:
    assert tree(tmp_path, layer(("/etc/x", "1"), (".//etc/./y", "2"))).keys() == {
        "/etc",
        "/etc/x",
        "/etc/y",
    }


def test_attributes(tmp_path: Path) -> None:
    xattr = {"SCHILY.xattr.user.x": "\x01=\n", "mtime": "-1.000000007"}
    fields = {"mode": 0o4711, "uid": 3_000_000, "gid": 7, "pax_headers": xattr}
    device = {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}
    content = layer(("f", fields), ("d" * 200 + "/" + "e" * 200, ""), ("null", device))
    with opened(archive(tmp_path / "a.tar", [content])) as image:
        entry = image.tree["/f"]
        assert (entry.mode, entry.uid, entry.gid) == (0o4711, 3_000_000, 7)
        assert entry.mtime_ns == -1_000_000_007
        assert entry.xattrs == (("user.x", b"\x01=\n"),)
        assert f"/{'d' * 200}/{'e' * 200}" in image.tree
        assert image.tree["/null"].device == (1, 3)


@pytest.mark.parametrize("oci", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_layouts(tmp_path: Path, oci: bool, compress: bool) -> None:
    layers = [layer(("f", "one")), layer(("g", "two"))]
    config = {"config": {"Cmd": ["x"]}, "variant": "v8"}
    path = archive(tmp_path / "a.tar", layers, oci=oci, compress=compress, config=config)
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for name in (path, packed):
        with opened(name) as image:
            assert image.platform == "linux/amd64/v8"
            diff_ids = [f"sha256:{archives.digest(data)}" for data in layers]
            assert image.identity == image_identity(diff_ids, "linux/amd64/v8")
            assert image.config["config"] == {"Cmd": ["x"]}
            assert read(image, "/g", 9) == b"two"


def test_layer_shared_by_a_link(tmp_path: Path) -> None:
    """Docker 20.10 stores one of two equal layers, and a symlink for the other."""
    data = layer(("f", "x"))
    path = archive(tmp_path / "a.tar", [data, data])
    with tarfile.open(path) as old, tarfile.open(tmp_path / "b.tar", "w") as new:
        for info in old:
            if info.name == f"{1:064x}/layer.tar":
                info.type, info.linkname, info.size = tarfile.SYMTYPE, f"../{0:064x}/layer.tar", 0
            new.addfile(info, old.extractfile(info) if info.isreg() else None)
    with opened(tmp_path / "b.tar") as image:
        assert read(image, "/f", 9) == b"x"


def test_one_of_several_images_is_chosen_by_name(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", [layer("f")])
    with tarfile.open(path) as old, tarfile.open(tmp_path / "b.tar", "w") as new:
        for info in old:
            file = old.extractfile(info)
            assert file is not None
            if info.name == "manifest.json":
                (image,) = json.loads(file.read())
                other = {**image, "RepoTags": ["other:1"]}
                archive_info, data = archives.member(info.name, json.dumps([image, other]))
                new.addfile(archive_info, io.BytesIO(data))
            else:
                new.addfile(info, file)
    with pytest.raises(ParedownError, match="it holds 2 images"):
        open_archive(f"{tmp_path}/b.tar")
    with contextlib.closing(open_archive(f"{tmp_path}/b.tar:other:1")) as chosen:
        assert "/f" in chosen.tree


def test_what_each_layer_brought(tmp_path: Path) -> None:
    below = layer(("d/", {"mtime": 1}), "d/a", ("x/b", "one"), "d/gone/", "was/", "was/in")
    middle = layer(("d/", {"mtime": 2}), link("d/link", "x/b", hard=True), "d/.wh.gone", "was")
    above = layer(("d/c", ""), ("d/a", "new"), ("was/", {"mtime": 3}), ".wh.none")
    history = [
        {"created_by": "one"},
        {"created_by": "nothing", "empty_layer": True},
        {"created_by": "two"},
        {"created_by": ""},
    ]
    path = archive(tmp_path / "a.tar", [below, middle, above], config={"history": history})
    with opened(path) as image:
        assert [item.created_by for item in image.layers] == ["one", "two", None]
        assert [item.diff_id for item in image.layers] == [
            f"sha256:{archives.digest(data)}" for data in (below, middle, above)
        ]
        brought = {name: image.layer_of(name) for name in image.tree}
        assert brought == {
            "/": 0,
            "/d": 1,
            "/d/a": 2,
            "/d/c": 2,
            "/d/link": 1,
            "/was": 2,
            "/x": 0,
            "/x/b": 0,
        }
        directories = [image.directories(number) for number in range(3)]
        assert [
            {name: entry.mtime_ns // 10**9 for name, entry in found.items()}
            for found in directories
        ] == [{"/d": 1}, {"/d": 2}, {"/was": 3}]
        assert list(image.tree.hardlink_groups.values()) == [["/d/link", "/x/b"]]


def test_history_that_does_not_fit_the_layers_is_left_out(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", [layer("f")], config={"history": [{}, {}]})
    with opened(path) as image:
        assert [item.created_by for item in image.layers] == [None]


def test_reading_order_is_that_of_the_layers_bytes(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", [layer(("z", "1"), ("b", "2")), layer(("a", "3"))])
    with opened(path) as image:
        assert image.reading_order(["/a", "/b", "/z"]) == ["/z", "/b", "/a"]
        slim = SlimImage(image, {"/a", "/z"}, {"/z": b"new"})
        assert slim.reading_order(["/a", "/z"]) == ["/z", "/a"]
        assert (slim.layer_of("/z"), slim.layers) == (0, image.layers)


def test_directories_that_are_left_of_a_layer(tmp_path: Path) -> None:
    with opened(archive(tmp_path / "a.tar", [layer("d/", "d/f", "e/", "e/f")])) as image:
        assert set(SlimImage(image, {"/d/f"}, {}).directories(0)) == {"/d"}


def test_one_of_several_platforms_in_an_archive_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docker saves an image of several platforms from containerd's store."""
    monkeypatch.setattr("paredown_minimizer.image.platforms.host_platform", lambda: "linux/amd64")
    items: list[archives.Item] = []
    manifests = []
    for name in ("amd64", "arm64"):
        path = archive(tmp_path / name, [layer(name)], config={"architecture": name}, oci=True)
        with tarfile.open(path) as tar:
            for info in tar:
                file = tar.extractfile(info)
                assert file is not None
                if info.name == "manifest.json":
                    manifests += json.loads(file.read())
                else:
                    items.append((info.name, file.read()))
    (tmp_path / "both").write_bytes(layer(*items, ("manifest.json", json.dumps(manifests))))
    for platform, name in ((None, "amd64"), ("linux/arm64", "arm64")):
        with contextlib.closing(open_archive(f"{tmp_path}/both", platform)) as image:
            assert f"/{name}" in image.tree
    with pytest.raises(ParedownError, match="there is linux/amd64, linux/arm64$"):
        open_archive(f"{tmp_path}/both", "linux/s390x")
