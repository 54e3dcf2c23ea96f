"""OCI layouts: which image of one is taken, and that its layers are what they should be."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

import layouts
from archives import archive, layer
from fixture_types import MakeTrace, Require
from layouts import DOCKER_GZIP, FOREIGN, GZIP, PLAIN, ZSTD, Compress, Layout, named, on
from paredown_minimizer.cli import main
from paredown_minimizer.image.model import Image, read
from paredown_minimizer.image.source import open_image
from paredown_schemas.errors import ParedownError, UsageError

LAYERS = [layer("d/", ("d/f", "one"), ("g", "x" * 5000)), layer(("d/f", "two"), ".wh.g")]


@contextlib.contextmanager
def opened(source: str, platform: str | None = None) -> Iterator[Image]:
    with contextlib.closing(open_image(source, platform)) as image:
        yield image


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def in_pieces(data: bytes) -> bytes:
    """Return gzip of several members, as pigz -i and estargz make it, and zeros behind."""
    return b"".join(gzip.compress(data[at : at + 700]) for at in range(0, len(data), 700)) + bytes(
        9
    )


def in_frames(data: bytes) -> bytes:
    """Return zstd of several frames with skippable ones, as zstd:chunked makes it."""
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"table"
    frames = [zstandard.compress(data[at : at + 700]) for at in range(0, len(data), 700)]
    return skippable.join([*frames, b""])


@pytest.mark.parametrize(
    "kind",
    [
        PLAIN,
        GZIP,
        ZSTD,
        DOCKER_GZIP,
        FOREIGN,
        (GZIP[0], in_pieces),
        (ZSTD[0], in_frames),
        (PLAIN[0], gzip.compress),  # a media type that lies: runtimes look at the content
    ],
)
@pytest.mark.parametrize("form", ["oci-dir", "oci-archive"])
def test_layers_of_every_kind_are_the_same_image(
    tmp_path: Path, layout: Layout, kind: tuple[str, Compress], form: str
) -> None:
    place = layout.index(layout.manifest(LAYERS, kind))
    if form == "oci-archive":
        subprocess.run(["tar", "-C", str(place), "-cf", f"{tmp_path}/oci.tar", "."], check=True)
        place = tmp_path / "oci.tar"
    expected = f"docker-archive:{archive(tmp_path / 'docker.tar', LAYERS)}"
    with opened(f"{form}:{place}") as image, opened(expected) as same:
        assert image.identity == same.identity
        assert dict(image.tree) == dict(same.tree)
        assert read(image, "/d/f", 9) == b"two"


def test_empty_layers_and_their_history(layout: Layout) -> None:
    history = [{"created_by": "ADD"}, {"created_by": "ENV", "empty_layer": True}, {}]
    config = {"history": history}
    place = layout.index(layout.manifest([LAYERS[0], bytes(1024)], config=config))
    with opened(f"oci-dir:{place}") as image:
        assert [item.created_by for item in image.layers] == ["ADD", None]
        assert image.directories(1) == {}


def test_image_without_layers(layout: Layout) -> None:
    with opened(f"oci-dir:{layout.index(layout.manifest([]))}") as image:
        assert list(image.tree) == ["/"]


def test_reference_chooses(layout: Layout) -> None:
    first = layout.manifest(LAYERS[:1])
    place = layout.index({**first, **named("one")}, layout.manifest(LAYERS, **named("two")))
    with opened(f"oci-dir:{place}:two") as image:
        assert len(image.layers) == 2
    with pytest.raises(ParedownError, match="it holds 2 images; there is one, two"):
        open_image(f"oci-dir:{place}")
    with pytest.raises(ParedownError, match="it holds no images named x; there is one, two"):
        open_image(f"oci-dir:{place}:x")


def test_two_names_of_one_image_are_no_choice(layout: Layout) -> None:
    manifest = layout.manifest(LAYERS)
    place = layout.index({**manifest, **named("one")}, {**manifest, **named("two")})
    with opened(f"oci-dir:{place}") as image:
        assert len(image.layers) == 2


@pytest.fixture
def several(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> str:
    """An index of three platforms with an attestation, as buildkit writes it; amd64 is here."""
    monkeypatch.setattr("paredown_minimizer.image.platforms.host_platform", lambda: "linux/amd64")
    platforms = ["linux/amd64", "linux/arm64/v8", "linux/arm/v6", "linux/arm/v7"]
    images = [
        layout.manifest([layer((name.replace("/", "-"), ""))], machine=name, **on(name))
        for name in platforms
    ]
    attestation = layout.manifest([layer("statement")], **on("unknown/unknown"))
    return f"oci-dir:{layout.index(layout.nested(attestation, *images, **named('latest')))}"


@pytest.mark.parametrize(
    ("platform", "file"),
    [
        (None, "/linux-amd64"),
        ("linux/amd64", "/linux-amd64"),
        ("linux/amd64/v1", "/linux-amd64"),
        ("linux/arm64", "/linux-arm64-v8"),
        ("linux/arm64/v8", "/linux-arm64-v8"),
        ("linux/arm/v6", "/linux-arm-v6"),
    ],
)
def test_platform_chooses(several: str, platform: str | None, file: str) -> None:
    with opened(several, platform) as image:
        assert file in image.tree
        assert image.platform == file[1:].replace("-", "/")


@pytest.mark.parametrize(
    ("platform", "cause"),
    [
        ("linux/riscv64", "it holds no image for linux/riscv64"),
        ("linux/amd64/v3", "it holds no image for linux/amd64/v3"),
        ("linux/arm", "it holds several images for linux/arm"),
    ],
)
def test_platform_that_is_not_there_is_told_with_those_that_are(
    several: str, platform: str, cause: str
) -> None:
    there = "; there is linux/amd64, linux/arm/v6, linux/arm/v7, linux/arm64/v8$"
    with pytest.raises(ParedownError, match=cause + there):
        open_image(several, platform)


def test_trace_of_another_platform_is_refused(
    several: str, make_trace: MakeTrace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(several, "linux/arm64") as image:
        identity = image.identity
    here = make_trace([], name="here.trace", identity=identity, platform="linux/arm64/v8")
    other = make_trace([], name="other.trace", identity=identity, platform="linux/amd64")
    plan = tmp_path / "plan.json"
    options = ["--platform", "linux/arm64", "-o", str(plan), "--accept-partial"]
    assert main(["plan", several, "--trace", str(other), *options]) == 4
    assert "it was recorded on linux/amd64, the image is for linux/arm64/v8" in (
        capsys.readouterr().err
    )
    assert main(["plan", several, "--trace", str(here), *options]) == 0
    destination = f"dir:{tmp_path}/slim"
    assert main(["apply", str(plan), several, "-o", destination]) == 0
    assert (tmp_path / "slim/linux-arm64-v8").is_file()


def test_only_image_need_not_be_the_hosts_unless_asked(layout: Layout, tmp_path: Path) -> None:
    place = layout.index(layout.manifest(LAYERS, machine="linux/s390x"))
    sources = [
        f"oci-dir:{place}",
        f"docker-archive:{archive(tmp_path / 'a', LAYERS, config={'architecture': 's390x'})}",
    ]
    for source in sources:
        with opened(source) as image:
            assert image.platform == "linux/s390x"
        with pytest.raises(ParedownError, match="no image for linux/amd64; there is linux/s390x"):
            open_image(source, "linux/amd64")


def test_directory_is_the_hosts(tmp_path: Path) -> None:
    with pytest.raises(ParedownError, match="it is for linux/.* and not for linux/none"):
        open_image(f"dir:{tmp_path}", "linux/none")


@pytest.mark.parametrize("platform", ["amd64", "linux/", "linux/amd64/v1/x", "\x1b[2J/x"])
def test_malformed_platform_is_a_usage_error(tmp_path: Path, platform: str) -> None:
    with pytest.raises(UsageError, match="cannot tell what platform"):
        open_image(f"dir:{tmp_path}", platform)


def test_platforms_that_were_not_fetched_are_passed_over(layout: Layout) -> None:
    here = layout.manifest(LAYERS, machine="linux/s390x", **on("linux/s390x"))
    gone = layout.manifest(LAYERS[:1], **on("linux/amd64"))
    layout.blob_path(gone).unlink()
    with opened(f"oci-dir:{layout.index(here, gone)}") as image:
        assert image.platform == "linux/s390x"
    with pytest.raises(ParedownError, match=f"its manifest {gone['digest']} is missing"):
        open_image(f"oci-dir:{layout.index(gone)}")


def test_artifacts_beside_an_image_are_passed_over(layout: Layout) -> None:
    document = {"schemaVersion": 2, "config": layout.blob(b"{}", "application/x"), "layers": []}
    signature = layout.document(document, layouts.MANIFEST)
    with opened(f"oci-dir:{layout.index(layout.manifest(LAYERS), signature)}") as image:
        assert "/d/f" in image.tree


def test_index_that_lies_about_a_platform(layout: Layout) -> None:
    place = layout.index(layout.manifest(LAYERS, machine="linux/arm64", **on("linux/amd64")))
    with pytest.raises(ParedownError, match="its index says linux/amd64, its configuration linux"):
        open_image(f"oci-dir:{place}")


def edited(layout: Layout, **changes: Any) -> dict[str, Any]:
    """Return the descriptor of a manifest whose first layer's descriptor was changed."""
    path = layout.blob_path(layout.manifest(LAYERS[:1]))
    manifest = json.loads(path.read_bytes())
    manifest["layers"][0] |= changes
    return layout.document(manifest, layouts.MANIFEST)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"size": 7}, "has not the size that its descriptor says"),
        ({"digest": "sha256:" + "0" * 64}, "is missing"),
        ({"digest": "sha256:../../x"}, "malformed descriptor"),
        ({"digest": "sha512:" + "0" * 128}, "without a SHA-256"),
        ({"size": -1}, "malformed descriptor"),
        ({"size": True}, "malformed descriptor"),
        ({"mediaType": None}, "malformed descriptor"),
        ({"mediaType": f"{layouts.OCI}layer.v1.tar+gzip+encrypted"}, "is of application/vnd.oci"),
        (
            {"mediaType": FOREIGN[0], "digest": "sha256:" + "0" * 64},
            "is foreign and not here",
        ),
    ],
)
def test_descriptor_that_lies(layout: Layout, changes: dict[str, Any], cause: str) -> None:
    with pytest.raises(ParedownError, match=cause):
        open_image(f"oci-dir:{layout.index(edited(layout, **changes))}")


@pytest.mark.parametrize("kind", [PLAIN, GZIP, ZSTD])
@pytest.mark.parametrize("damage", ["changed", "other"])
def test_blob_that_is_not_its_digest(
    layout: Layout, kind: tuple[str, Compress], damage: str
) -> None:
    manifest = layout.manifest(LAYERS[:1], kind)
    (entry,) = json.loads(layout.blob_path(manifest).read_bytes())["layers"]
    blob = layout.blob_path(entry)
    data = bytearray(blob.read_bytes())
    if damage == "changed":
        data[len(data) // 2] ^= 0x40
    elif kind is GZIP:
        data[4:8] = b"time"  # the same content: only the blob's own digest tells
    else:
        data[-1] ^= 1
    blob.write_bytes(data)
    with pytest.raises(ParedownError, match=r"not that of its digest|damaged|cannot read layer"):
        open_image(f"oci-dir:{layout.index(manifest)}")


def test_manifest_that_is_not_its_digest(layout: Layout) -> None:
    manifest = layout.manifest(LAYERS)
    path = layout.blob_path(manifest)
    path.write_bytes(path.read_bytes().replace(b'"schemaVersion": 2', b'"schemaVersion": 3'))
    with pytest.raises(ParedownError, match="not that of its digest"):
        open_image(f"oci-dir:{layout.index(manifest)}")


@pytest.mark.parametrize("what", ["fifo", "link", "directory", "linked directory"])
def test_blob_that_is_no_file_is_neither_followed_nor_waited_for(
    tmp_path: Path, layout: Layout, what: str
) -> None:
    manifest = layout.manifest(LAYERS)
    (blob, _) = json.loads(layout.blob_path(manifest).read_bytes())["layers"]
    path = layout.blob_path(blob)
    path.rename(tmp_path / "outside")
    if what == "fifo":
        os.mkfifo(path)
    elif what == "link":
        path.symlink_to(tmp_path / "outside")
    elif what == "directory":
        path.mkdir()
    else:
        (tmp_path / "outside").rename(path)
        blobs = layout.path / "blobs"
        blobs.rename(tmp_path / "elsewhere")
        blobs.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ParedownError, match=r"no regular file|symbolic links|Not a directory"):
        open_image(f"oci-dir:{layout.index(manifest)}")


@pytest.mark.parametrize(
    ("file", "text", "cause"),
    [
        ("oci-layout", "{}", "names no version 1"),
        ("oci-layout", '{"imageLayoutVersion": "2.0"}', "names no version 1"),
        ("index.json", "[]", "its manifests are malformed"),
        ("index.json", '{"manifests": [1]}', "malformed descriptor"),
        ("index.json", "[" * 100_000, "is not JSON"),
        ("index.json", '{"manifests": []}', "it holds no images"),
    ],
)
def test_malformed_layout(layout: Layout, file: str, text: str, cause: str) -> None:
    layout.index(layout.manifest(LAYERS))
    (layout.path / file).write_text(text)
    with pytest.raises(ParedownError, match=cause):
        open_image(f"oci-dir:{layout.path}")


def test_what_is_no_layout(tmp_path: Path) -> None:
    for source in (f"oci-dir:{tmp_path}", f"oci-archive:{archive(tmp_path / 'a', LAYERS)}"):
        with pytest.raises(ParedownError, match="(oci-layout is missing|manifests are malformed)"):
            open_image(source)
    with pytest.raises(ParedownError, match="No such file"):
        open_image(f"oci-dir:{tmp_path}/none")


def test_docker_archive_without_its_manifest_is_told(tmp_path: Path, layout: Layout) -> None:
    place = layout.index(layout.manifest(LAYERS))
    subprocess.run(["tar", "-C", place, "-cf", tmp_path / "a.tar", "."], check=True)
    with pytest.raises(ParedownError, match=r"manifest.json is missing") as caught:
        open_image(f"docker-archive:{tmp_path}/a.tar")
    assert "oci-archive" in caught.value.hint


def test_indexes_without_end(layout: Layout) -> None:
    nested = layout.manifest(LAYERS)
    for _ in range(6):
        nested = layout.nested(nested)
    with pytest.raises(ParedownError, match="its indexes name too much"):
        open_image(f"oci-dir:{layout.index(nested)}")
    wide = layout.nested(*[layout.nested(*[nested] * 50)] * 50)
    with pytest.raises(ParedownError, match="its indexes name too much"):
        open_image(f"oci-dir:{layout.index(wide)}")


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_what_skopeo_makes_of_an_image_of_a_hundred_layers(
    tmp_path: Path, require: Require, compression: str
) -> None:
    require(shutil.which("skopeo") is not None, "skopeo is not installed")
    layers = [layer(f"dir/{number}", ("last", str(number))) for number in range(100)]
    source = f"docker-archive:{archive(tmp_path / 'in.tar', layers)}"
    options = ["--quiet", "--dest-compress-format", compression]
    copy = ["skopeo", "copy", *options, source, f"oci:{tmp_path}/out:name"]
    subprocess.run(copy, check=True)
    with opened(f"oci-dir:{tmp_path}/out:name") as image, opened(source) as same:
        assert image.identity == same.identity
        assert dict(image.tree) == dict(same.tree)
        assert image.layer_of("/dir/42") == 42
        assert read(image, "/last", 9) == b"99"
    blobs = [path.read_bytes() for path in (tmp_path / "out/blobs/sha256").iterdir()]
    magic = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}[compression]
    assert sum(blob.startswith(magic) for blob in blobs) == 100
