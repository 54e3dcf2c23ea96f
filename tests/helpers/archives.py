"""Docker archives made by Python's tarfile, so that our writer is no witness for our reader."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Item = tuple[str, "str | bytes | dict[str, Any]"]


def member(name: str, content: str | bytes | dict[str, Any] = b"") -> tuple[tarfile.TarInfo, bytes]:
    """Return a member: a directory if the name ends in "/", a file, or what the fields say."""
    info = tarfile.TarInfo(name)
    if isinstance(content, dict):
        data = content.pop("data", b"")
        for key, value in content.items():
            setattr(info, key, value)
    else:
        data = content.encode() if isinstance(content, str) else content
    if name.endswith("/"):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    info.size = len(data)
    return info, data


def link(name: str, target: str, *, hard: bool = False) -> Item:
    """Return a symlink or hardlink for ``layer``."""
    return name, {"type": tarfile.LNKTYPE if hard else tarfile.SYMTYPE, "linkname": target}


def layer(*items: Item | str) -> bytes:
    """Return a layer's tar; a plain string is an empty file or, ending in "/", a directory."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for item in items:
            info, data = member(item) if isinstance(item, str) else member(*item)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def digest(data: bytes) -> str:
    """Return the hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def archive(
    path: Path,
    layers: Sequence[bytes],
    *,
    config: dict[str, Any] | None = None,
    diff_ids: Sequence[str] | None = None,
    oci: bool = False,
    compress: bool = False,
    tags: Sequence[str] = ("test:latest",),
    extra: Iterable[Item] = (),
) -> Path:
    """Write a docker archive as docker 20.10 lays it out, or with ``oci`` as docker 25 does."""
    config = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {
            "type": "layers",
            "diff_ids": diff_ids or [f"sha256:{digest(data)}" for data in layers],
        },
        **(config or {}),
    }
    text = json.dumps(config).encode()
    blobs = [gzip.compress(data) if compress else data for data in layers]
    config_name = f"blobs/sha256/{digest(text)}" if oci else f"{digest(text)}.json"
    names = [
        f"blobs/sha256/{digest(blob)}" if oci else f"{index:064x}/layer.tar"
        for index, blob in enumerate(blobs)
    ]
    manifest = [{"Config": config_name, "RepoTags": list(tags), "Layers": names}]
    items: list[Item] = [(config_name, text), *zip(names, blobs, strict=True)]
    if oci:
        items += [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", b"{}")]
    path.write_bytes(layer(*items, ("manifest.json", json.dumps(manifest)), *extra))
    return path
