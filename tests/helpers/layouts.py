"""OCI layouts made by hand, so that our writer is no witness for our reader."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import zstandard

OCI = "application/vnd.oci.image."
MANIFEST = f"{OCI}manifest.v1+json"
INDEX = f"{OCI}index.v1+json"
CONFIG = f"{OCI}config.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"

Compress = Callable[[bytes], bytes]
PLAIN = (f"{OCI}layer.v1.tar", bytes)
GZIP = (f"{OCI}layer.v1.tar+gzip", gzip.compress)
ZSTD = (f"{OCI}layer.v1.tar+zstd", zstandard.compress)
DOCKER_GZIP = ("application/vnd.docker.image.rootfs.diff.tar.gzip", gzip.compress)
FOREIGN = (f"{OCI}layer.nondistributable.v1.tar+gzip", gzip.compress)


def sha256(data: bytes) -> str:
    """Return a digest as OCI writes it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layout:
    """A layout in a directory; ``index`` is written last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob_path(self, descriptor: Mapping[str, Any]) -> Path:
        """Return the file of a blob."""
        return self.path / "blobs" / str(descriptor["digest"]).replace(":", "/")

    def blob(self, data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        """Add a blob and return its descriptor."""
        descriptor = {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}
        self.blob_path(descriptor).write_bytes(data)
        return descriptor

    def document(self, value: Any, media_type: str, **more: Any) -> dict[str, Any]:
        """Add a JSON document and return its descriptor."""
        return self.blob(json.dumps(value).encode(), media_type, **more)

    def manifest(
        self,
        layers: Sequence[bytes],
        kind: tuple[str, Compress] = GZIP,
        *,
        machine: str = "linux/amd64",
        config: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Add an image with its layers and return its descriptor."""
        system, architecture, *variant = machine.split("/")
        document = {
            "os": system,
            "architecture": architecture,
            **({"variant": variant[0]} if variant else {}),
            "rootfs": {"type": "layers", "diff_ids": [sha256(data) for data in layers]},
            **(config or {}),
        }
        media_type, compress = kind
        blobs = [self.blob(compress(data), media_type) for data in layers]
        manifest = {
            "schemaVersion": 2,
            "config": self.document(document, CONFIG),
            "layers": blobs,
        }
        return self.document(manifest, MANIFEST, **more)

    def index(self, *descriptors: Mapping[str, Any]) -> Path:
        """Write index.json and return the layout's path."""
        value = {"schemaVersion": 2, "manifests": descriptors}
        (self.path / "index.json").write_text(json.dumps(value))
        return self.path

    def nested(self, *descriptors: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Add an index and return its descriptor."""
        return self.document({"schemaVersion": 2, "manifests": descriptors}, INDEX, **more)


def named(name: str) -> dict[str, Any]:
    """Return what names a descriptor."""
    return {"annotations": {REF_NAME: name}}


def on(platform: str) -> dict[str, Any]:
    """Return what says for which platform a descriptor is."""
    system, architecture, *variant = platform.split("/")
    more = {"variant": variant[0]} if variant else {}
    return {"platform": {"os": system, "architecture": architecture, **more}}
