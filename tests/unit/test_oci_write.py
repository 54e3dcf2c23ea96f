"""OCI layouts that are written; gzip(1), tar(1) and sha256sum(1) are the witnesses."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archives import archive, layer
from fixture_types import Require
from paredown_minimizer.image.compress import compress
from paredown_minimizer.image.docker_archive import open_archive
from paredown_minimizer.image.docker_archive_write import write_archive
from paredown_minimizer.image.oci import open_oci_directory
from paredown_minimizer.image.oci_write import write_oci_archive, write_oci_directory
from paredown_minimizer.image.slim import Provenance, SlimImage

PROVENANCE = Provenance("image-sha256:0", "plan-sha256:0", "7")
Write = Callable[..., None]


def write(
    how: Write, source: Path, location: str, *, force: bool = False, keep_layers: bool = False
) -> None:
    with contextlib.closing(open_archive(str(source))) as image:
        how(image, location, PROVENANCE, force=force, keep_layers=keep_layers)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    layers = [layer("d/", ("d/f", os.urandom(3_000_000))), layer(("d/g", "x" * 2_500_000))]
    config = {"variant": "v8", "architecture": "arm64", "config": {"Labels": {"who": "me"}}}
    return archive(tmp_path / "in.tar", layers, config=config)


def unpack(path: Path) -> Path:
    tree = path.with_name(f"{path.name}.d")
    tree.mkdir()
    subprocess.run(["tar", "-xf", path, "-C", tree], check=True)
    return tree


def parse(layout: Path) -> tuple[dict[str, Any], dict[str, Any], list[bytes]]:
    """Return index, manifest and the layers' tars; sizes and digests are checked on the way."""

    def blob(descriptor: dict[str, Any]) -> bytes:
        path: Path = layout / "blobs" / descriptor["digest"].replace(":", "/")
        assert path.stat().st_size == descriptor["size"]
        shown = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True)
        assert shown.stdout.split()[0] == path.name
        return path.read_bytes()

    assert json.loads((layout / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout / "index.json").read_text())
    (entry,) = index["manifests"]
    manifest = json.loads(blob(entry))
    config = json.loads(blob(manifest["config"]))
    tars = [gunzip(blob(item)) for item in manifest["layers"]]
    diff_ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
    assert config["rootfs"]["diff_ids"] == diff_ids
    assert len(list((layout / "blobs/sha256").iterdir())) == len(tars) + 2
    return index, manifest, tars


def gunzip(data: bytes) -> bytes:
    unpacked: bytes
    unpacked = subprocess.run(["gzip", "-dc"], input=data, check=True, capture_output=True).stdout
    return unpacked


@pytest.mark.parametrize("keep_layers", [False, True])
def test_directory_and_archive_hold_the_same(
    source: Path, tmp_path: Path, keep_layers: bool
) -> None:
    write(write_oci_directory, source, f"{tmp_path}/dir:shop:1", keep_layers=keep_layers)
    write(write_oci_archive, source, f"{tmp_path}/file:shop:1", keep_layers=keep_layers)
    unpacked = unpack(tmp_path / "file")
    subprocess.run(["diff", "-r", tmp_path / "dir", unpacked], check=True)
    index, manifest, tars = parse(unpacked)
    assert len(tars) == 1 + keep_layers
    (entry,) = index["manifests"]
    assert entry["platform"] == {"os": "linux", "architecture": "arm64", "variant": "v8"}
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "shop:1"
    assert manifest["annotations"] == {
        "dev.paredown.original": "image-sha256:0",
        "dev.paredown.plan": "plan-sha256:0",
        "dev.paredown.version": "7",
    }


@pytest.mark.parametrize("keep_layers", [False, True])
def test_layers_and_configuration_are_those_of_a_docker_archive(
    source: Path, tmp_path: Path, keep_layers: bool
) -> None:
    write(write_oci_directory, source, f"{tmp_path}/dir", keep_layers=keep_layers)
    write(write_archive, source, f"{tmp_path}/docker.tar", keep_layers=keep_layers)
    _, manifest, tars = parse(tmp_path / "dir")
    with tarfile.open(tmp_path / "docker.tar") as docker:
        names = docker.getnames()
        assert [content(docker, name) for name in names if name.startswith("layer-")] == tars
        assert f"{manifest['config']['digest'].partition(':')[2]}.json" in names


def content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def test_what_docker_loads_stands_beside(source: Path, tmp_path: Path) -> None:
    write(write_oci_archive, source, f"{tmp_path}/named:shop", keep_layers=True)
    write(write_oci_archive, source, f"{tmp_path}/nameless")
    (named,) = json.loads((unpack(tmp_path / "named") / "manifest.json").read_text())
    assert named["RepoTags"] == ["shop:latest"]
    with contextlib.closing(open_archive(f"{tmp_path}/named:shop:latest")) as image:
        assert len(image.layers) == 2
    nameless = unpack(tmp_path / "nameless")
    assert json.loads((nameless / "manifest.json").read_text())[0]["RepoTags"] is None
    assert "annotations" not in parse(nameless)[0]["manifests"][0]


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("shop", "docker.io/library/shop:latest"),
        ("shop:1", "docker.io/library/shop:1"),
        ("team/shop", "docker.io/team/shop:latest"),
        ("localhost/shop:1", "localhost/shop:1"),
        ("localhost:5000/shop", "localhost:5000/shop:latest"),
        ("registry.example/team/shop:1", "registry.example/team/shop:1"),
    ],
)
def test_containerd_finds_its_own_name(
    source: Path, tmp_path: Path, reference: str, name: str
) -> None:
    write(write_oci_directory, source, f"{tmp_path}/dir:{reference}")
    (entry,) = json.loads((tmp_path / "dir/index.json").read_text())["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == name


def test_annotations_are_carried_over(source: Path, tmp_path: Path, require: Require) -> None:
    require(shutil.which("umoci") is not None, "umoci is not installed")
    write(write_oci_directory, source, f"{tmp_path}/dir:shop")
    subprocess.run(
        ["umoci", "config", "--image", f"{tmp_path}/dir:shop", "--manifest.annotation", "a.b=c"],
        check=True,
    )
    with contextlib.closing(open_oci_directory(f"{tmp_path}/dir:shop")) as image:
        assert image.annotations["a.b"] == "c"
        slim = SlimImage(image, image.tree.keys(), {})
        arguments = {"force": False, "keep_layers": False}
        write_oci_directory(slim, f"{tmp_path}/again", Provenance("o", "p", "v"), **arguments)
    _, manifest, _ = parse(tmp_path / "again")
    assert manifest["annotations"] == {
        "a.b": "c",
        "dev.paredown.original": "o",
        "dev.paredown.plan": "p",
        "dev.paredown.version": "v",
    }


def test_modes_are_those_that_others_may_read(source: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(write_oci_directory, source, f"{tmp_path}/dir")
        write(write_oci_archive, source, f"{tmp_path}/file")
    finally:
        os.umask(before)
    modes = {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "dir").rglob("*")}
    assert modes == {"0o750", "0o640"}
    assert (tmp_path / "dir").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_compressed_bytes_depend_on_the_content_alone() -> None:
    """Blocks are cut at 1 MiB, whatever the threads do; the last may be empty."""
    data = os.urandom(1 << 20) + b"text " * 1_000_000
    blocks = [data[start : start + (1 << 20)] for start in range(0, len(data), 1 << 20)]
    found = set()
    for end in ([], [b""]) * 5:
        sink = io.BytesIO()
        compress([*blocks, *end], sink, 1 << 20)
        found.add(sink.getvalue())
    (compressed,) = found
    assert gzip.decompress(compressed) == data
    assert compressed[4:8] == bytes(4)  # no time


def test_a_failing_sink_is_told_of() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            if self.tell() + len(data) > 1_500_000:
                raise OSError(28, "No space left on device")
            return super().write(data)

    with pytest.raises(OSError, match="No space left"):
        compress([os.urandom(1 << 20)] * 20, Full(), 1 << 20)
