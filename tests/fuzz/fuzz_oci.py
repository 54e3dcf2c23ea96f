"""OCI layouts and compressed blobs: an image whose parts hang together, or a refusal.

In a layout's documents ``{a}`` stands for the digest of the file ``/a`` and ``{a#}`` for its size,
so that what is mutated still refers to what there is.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from unittest import mock

import zstandard

from archives import layer, link
from fuzzing import check_tree, image_of, refusing, region, text_of
from paredown_minimizer.image import streams
from paredown_minimizer.image.blobs import open_blob
from paredown_minimizer.image.oci import read_layout
from paredown_minimizer.image.regions import Extent
from paredown_minimizer.image.store import Store
from paredown_minimizer.image.workers import Workers

_MARK = re.compile(rb"\{([a-z])(#?)\}")
_OCI = "application/vnd.oci.image."
DICTIONARY = [
    *(b"{m}", b"{c}", b"{l}", b"{i}", b"{m#}", b'"platform":', b'"os":"linux"', b'"variant":"v8"'),
    *(f"{_OCI}{kind}.v1+json".encode() for kind in ("index", "manifest", "config")),
    *(b"layer.v1.tar+gzip", b"layer.v1.tar+zstd", b"nondistributable.", b"unknown/unknown"),
    *(b'"architecture":"amd64"', b'"diff_ids":[', b'"rootfs":{', b'"history":[', b"empty_layer"),
    *(b'"mediaType":', b'"digest":', b'"size":', b"1e999", b"-1", b"[[[[", b"\\ud800", b"null"),
    *(
        b"\x1f\x8b\x08\0",
        b"\x28\xb5\x2f\xfd",
        b"\x50\x2a\x4d\x18",
        b"org.opencontainers.image.ref.name",
    ),
]


class _MemoryStore(Store):
    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__("fuzz")
        whole = b"".join(files.values())
        self._files: dict[str, Extent] = {}
        start = 0
        place = region(whole)
        for path, data in files.items():
            self._files[path] = place.part(start, len(data))
            start += len(data)

    def find(self, path: str) -> Extent | None:
        return self._files.get(path)


def one_input(data: bytes) -> None:
    """Read a blob, or a layout."""
    # Of what expands freely there is little time to look at in a minute.
    with mock.patch.object(streams, "_FREE_EXPANSION", 1 << 22), refusing():
        if data[:1] in (b"g", b"z"):
            _check_blob(data[1:])
        else:
            _check_layout(data)


def _check_blob(data: bytes) -> None:
    """Expand it, here and there again, and as Python's gzip and zstandard do."""
    workers = Workers()
    try:
        place = region(data)
        blob = open_blob(place, "fuzz", workers)
        digests = blob.finish()
        content = b""
        while more := blob.region.read(len(content), 1 << 20):
            content += more
        middle = len(content) // 2
        assert blob.region.read(middle, 5) == content[middle : middle + 5]
        assert blob.region.reaches(len(content))
        assert not blob.region.reaches(len(content) + 1)
        assert digests.blob == _digest(data)
        assert digests.content == _digest(content)
        assert content == _expanded(data)
    finally:
        workers.close()


def _expanded(data: bytes) -> bytes:
    if data.startswith(b"\x1f\x8b"):
        try:
            return gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise AssertionError("gzip refuses it") from error
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
            return reader.read()
    return data


def _check_layout(data: bytes) -> None:
    files = {path[1:]: text for path, text in image_of(data).files.items()}
    done: dict[str, bytes] = {}
    layout: dict[str, bytes] = {}
    for name in files:
        text = _filled(name, files, done, 9)
        layout[name] = text
        layout[f"blobs/{_digest(text).replace(':', '/')}"] = text
    image = read_layout(_MemoryStore(layout), "", "linux/amd64")
    try:
        check_tree(image.tree)
        assert image.platform == "linux/amd64"
        for path, entry in image.tree.items():
            assert 0 <= image.layer_of(path) <= len(image.layers)
            if entry.type == "file":
                with image.open(path) as file:
                    assert len(file.read(1 << 16)) == min(entry.size, 1 << 16)
    finally:
        image.close()


def _filled(name: str, files: Mapping[str, bytes], done: dict[str, bytes], depth: int) -> bytes:
    """Return a file with the digests and sizes of others in it."""

    def fill(match: re.Match[bytes]) -> bytes:
        other = match[1].decode()
        if other not in files or depth == 0:
            return match[0]
        text = _filled(other, files, done, depth - 1)
        return b"%d" % len(text) if match[2] else _digest(text).encode()

    if name not in done:
        done[name] = _MARK.sub(fill, files[name])
    return done[name]


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _descriptor(name: str, kind: str, **more: object) -> dict[str, object]:
    return {"mediaType": _OCI + kind, "digest": f"{{{name}}}", "size": f"{{{name}#}}", **more}


def _document(value: object) -> str:
    return re.sub(r'"(\{[a-z]#\})"', r"\1", json.dumps(value))


def seeds() -> Iterator[bytes]:
    """Yield layouts with plain and compressed layers and nested indexes, and blobs."""
    content = layer("d/", ("d/f", "x" * 600), link("s", "d/f"))
    packed = gzip.compress(content, mtime=0)
    frames = zstandard.ZstdCompressor().compress(content)
    amd64 = {"os": "linux", "architecture": "amd64"}
    config = {**amd64, "rootfs": {"type": "layers", "diff_ids": ["{l}"]}, "config": {"Cmd": ["x"]}}
    manifest = {"schemaVersion": 2, "config": _descriptor("c", "config.v1+json")}
    index = {"manifests": [_descriptor("m", "manifest.v1+json", platform=amd64)]}
    files: dict[str, str | bytes] = {
        "/oci-layout": '{"imageLayoutVersion":"1.0.0"}',
        "/index.json": _document(index),
        "/m": _document({**manifest, "layers": [_descriptor("l", "layer.v1.tar")]}),
        "/c": _document(config),
        "/l": content,
    }
    yield text_of(files)
    for form, data in (("gzip", packed), ("zstd", frames)):
        layers = [_descriptor("p", f"layer.v1.tar+{form}")]
        yield text_of({**files, "/m": _document({**manifest, "layers": layers}), "/p": data})
    nested = {"manifests": [_descriptor("i", "index.v1+json")]}
    yield text_of({**files, "/index.json": _document(nested), "/i": _document(index)})
    yield b"g" + packed
    yield b"g" + packed + bytes(9) + gzip.compress(b"more", mtime=0)
    yield b"z" + frames
    yield b"z" + frames + b"\x50\x2a\x4d\x18\2\0\0\0ab" + frames
