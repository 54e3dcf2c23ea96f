"""Writing image layouts: ``oci-dir:DIR[:REF]`` and ``oci-archive:FILE[:REF]``.

The form is the OCI image specification's, version 1.0 ("Image Layout", "Image Manifest"). As docker
does since its version 25, a ``manifest.json`` beside ``index.json`` names the same blobs: without
the containerd store, ``docker load`` reads nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from paredown_minimizer.image.compress import compress
from paredown_minimizer.image.config_write import configuration, dump, notes
from paredown_minimizer.image.docker_archive_write import manifest, with_tag
from paredown_minimizer.image.layer_write import BLOCK_SIZE, NewLayer, new_layers
from paredown_minimizer.image.model import Image
from paredown_minimizer.image.slim import Provenance
from paredown_minimizer.image.staging import staged_directory, staged_file
from paredown_minimizer.image.tar import BLOCK
from paredown_minimizer.image.tar_write import END, file_header, padding

_TYPE = "application/vnd.oci.image."
_MANIFEST = f"{_TYPE}manifest.v1+json"
_BLOBS = "blobs/sha256"


def write_oci_directory(
    image: Image, location: str, provenance: Provenance, *, force: bool, keep_layers: bool
) -> None:
    """Write ``image`` to what an ``oci-dir:`` DEST names, ``DIR`` or ``DIR:REF``.

    Raises:
        UsageError: the directory exists, and not ``force``; or see ``new_layers``.
        ParedownError: it cannot be written, or a name in the tree means something else in a layer.
    """
    path, _, reference = location.partition(":")
    with staged_directory(path, force=force) as new:
        (new / _BLOBS).mkdir(parents=True)
        layers = new_layers(image, keep_layers=keep_layers)
        _write(image, layers, _DirectoryLayout(new), reference, provenance)


def write_oci_archive(
    image: Image, location: str, provenance: Provenance, *, force: bool, keep_layers: bool
) -> None:
    """Write ``image`` to what an ``oci-archive:`` DEST names, ``FILE`` or ``FILE:REF``.

    Raises:
        UsageError: the file exists, and not ``force``; or see ``new_layers``.
        ParedownError: it cannot be written, or a name in the tree means something else in a layer.
    """
    path, _, reference = location.partition(":")
    with staged_file(path, force=force) as file:
        layers = new_layers(image, keep_layers=keep_layers)
        _write(image, layers, _ArchiveLayout(file), reference, provenance)
        file.write(END)


class _Blob:
    """A blob while it is written: its digest and size are those of what came so far."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def write(self, data: bytes, /) -> int:
        self._digest.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Leave it to the file."""


class _Layout(Protocol):
    def blob(self) -> contextlib.AbstractContextManager[_Blob]:
        """Yield a new blob, which has its name afterwards."""

    def file(self, name: str, content: bytes) -> None:
        """Write a file beside the blobs."""


class _DirectoryLayout:
    def __init__(self, root: Path) -> None:
        self._root = root

    @contextlib.contextmanager
    def blob(self) -> Iterator[_Blob]:
        directory = self._root / _BLOBS
        with (directory / "new").open("xb") as file:
            blob = _Blob(file)
            yield blob
        (directory / "new").rename(directory / blob.digest)

    def file(self, name: str, content: bytes) -> None:
        (self._root / name).write_bytes(content)


class _ArchiveLayout:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    @contextlib.contextmanager
    def blob(self) -> Iterator[_Blob]:
        # Name and size are known in the end.
        start = self._file.seek(BLOCK, os.SEEK_CUR) - BLOCK
        blob = _Blob(self._file)
        yield blob
        self._file.write(padding(blob.size))
        end = self._file.tell()
        self._file.seek(start)
        self._file.write(file_header(f"{_BLOBS}/{blob.digest}", blob.size))
        self._file.seek(end)

    def file(self, name: str, content: bytes) -> None:
        self._file.write(file_header(name, len(content)) + content + padding(len(content)))


def _write(
    image: Image,
    layers: list[NewLayer],
    layout: _Layout,
    reference: str,
    provenance: Provenance,
) -> None:
    diff_ids, blobs = [], []
    for layer in layers:
        diff_id, descriptor = _layer(layer, layout)
        diff_ids.append(diff_id)
        blobs.append(descriptor)
    sources = [layer.source for layer in layers]
    text = configuration(image, diff_ids, sources, provenance)
    config = _blob(layout, text, f"{_TYPE}config.v1+json")
    document = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": config,
        "layers": blobs,
        "annotations": {**image.annotations, **notes(provenance)},
    }
    entry = _blob(layout, dump(document), _MANIFEST) | {"platform": _platform(image)}
    if reference:
        # The second is the one that containerd and docker with its store take as the name.
        entry["annotations"] = {
            "org.opencontainers.image.ref.name": reference,
            "io.containerd.image.name": _full_name(reference),
        }
    index = {"schemaVersion": 2, "mediaType": f"{_TYPE}index.v1+json", "manifests": [entry]}
    layout.file("index.json", dump(index))
    layout.file("oci-layout", dump({"imageLayoutVersion": "1.0.0"}))
    paths = [_path(blob) for blob in blobs]
    layout.file("manifest.json", manifest(_path(config), paths, reference))


def _layer(layer: NewLayer, layout: _Layout) -> tuple[str, dict[str, Any]]:
    """Write a layer; return its diff_id and descriptor. All is computed as the bytes go by."""
    content = hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        for block in layer.blocks():
            content.update(block)
            yield block

    with layout.blob() as blob:
        compress(blocks(), blob, BLOCK_SIZE)
    return f"sha256:{content.hexdigest()}", _descriptor(blob, f"{_TYPE}layer.v1.tar+gzip")


def _blob(layout: _Layout, text: bytes, media_type: str) -> dict[str, Any]:
    with layout.blob() as blob:
        blob.write(text)
    return _descriptor(blob, media_type)


def _descriptor(blob: _Blob, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{blob.digest}", "size": blob.size}


def _path(descriptor: dict[str, Any]) -> str:
    return f"{_BLOBS}/{descriptor['digest'].removeprefix('sha256:')}"


def _full_name(reference: str) -> str:
    """Return a reference as containerd keeps it, docker's defaults filled in."""
    name = with_tag(reference)
    first, slash, _ = name.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def _platform(image: Image) -> dict[str, str]:
    keys = ("os", "architecture", "variant")
    return dict(zip(keys, image.platform.split("/"), strict=False))
