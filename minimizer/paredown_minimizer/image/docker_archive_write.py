"""Writing what ``docker load`` reads: ``docker-archive:FILE[:REF]``.

One squashed layer, so that what an earlier layer held and a later one deleted is nowhere. The same
image and plan give the same bytes: members sorted, no clock, fixed formats.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paredown_minimizer.image.layers import WHITEOUT
from paredown_minimizer.image.model import Entry, Image
from paredown_minimizer.image.slim import Provenance
from paredown_minimizer.image.staging import refuse_existing, staged_file
from paredown_minimizer.image.tar import BLOCK
from paredown_minimizer.image.tar_write import END, file_header, member_header, padding
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

_CHUNK = 1 << 20
_EPOCH = "1970-01-01T00:00:00Z"


def write_archive(image: Image, location: str, provenance: Provenance, *, force: bool) -> None:
    """Write ``image`` to what a ``docker-archive:`` DEST names, ``FILE`` or ``FILE:REF``.

    Raises:
        UsageError: the file exists, and not ``force``.
        ParedownError: it cannot be written, or a name in the tree means something else in a layer.
    """
    path, _, reference = location.partition(":")
    final = Path(os.path.abspath(path))
    refuse_existing(final, force=force)
    with staged_file(final) as descriptor:
        write_archive_file(image, descriptor, reference, provenance)


def write_archive_file(
    image: Image, descriptor: int, reference: str, provenance: Provenance
) -> None:
    """Write the archive to an empty file; raises OSError, ParedownError."""
    with os.fdopen(os.dup(descriptor), "wb", buffering=_CHUNK) as file:
        # The layer's name is its digest: its header is filled in when that is known.
        file.seek(BLOCK)
        digest = hashlib.sha256()
        size = 0
        for chunk in _layer(image):
            digest.update(chunk)
            file.write(chunk)
            size += len(chunk)
        layer = digest.hexdigest()
        file.write(padding(size))
        config = _dump(_config(image, f"sha256:{layer}", provenance))
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        manifest = {"Config": config_name, "Layers": [f"{layer}.tar"]}
        tags = [_with_tag(reference)] if reference else None
        manifest_text = _dump([{**manifest, "RepoTags": tags}])
        for name, content in ((config_name, config), ("manifest.json", manifest_text)):
            file.write(file_header(name, len(content)) + content + padding(len(content)))
        file.write(END)
        file.seek(0)
        file.write(file_header(f"{layer}.tar", size))


def _layer(image: Image) -> Iterator[bytes]:
    first: dict[int, str] = {}
    for path, entry in image.tree.items():
        if entry.type == "socket":  # it has no meaning without the process that bound it
            continue
        if path.rpartition("/")[2].startswith(WHITEOUT):
            raise ParedownError(
                f"cannot write {escape_name(path)}: in a layer its name means a deletion"
            )
        target = None
        if entry.hardlinks is not None:
            target = first.setdefault(entry.hardlinks, path)
        if target not in (None, path):
            yield member_header(entry, target)
            continue
        yield member_header(entry)
        if entry.type == "file":
            yield from _content(image, entry)


def _content(image: Image, entry: Entry) -> Iterator[bytes]:
    left = entry.size
    with image.open(entry.path) as file:
        while left:
            chunk = file.read(min(left, _CHUNK))
            if not chunk:
                raise ParedownError(f"cannot read {escape_name(entry.path)}: it ends early")
            left -= len(chunk)
            yield chunk
    yield padding(entry.size)


def _config(image: Image, diff_id: str, provenance: Provenance) -> dict[str, Any]:
    """Return the image's configuration with what is no longer true of it replaced."""
    config: dict[str, Any] = copy.deepcopy(dict(image.config))
    system, architecture, *variant = image.platform.split("/")
    config |= {"os": system, "architecture": architecture}
    if variant:
        config["variant"] = variant[0]
    created = config.setdefault("created", _EPOCH)
    config["rootfs"] = {"type": "layers", "diff_ids": [diff_id]}
    config["history"] = [{"created": created, "created_by": f"paredown {provenance.version} apply"}]
    inner = config["config"] = config.get("config") or {}
    inner["Labels"] = {
        **(inner.get("Labels") or {}),
        "dev.paredown.original": provenance.original,
        "dev.paredown.plan": provenance.plan,
        "dev.paredown.version": provenance.version,
    }
    return config


def _dump(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _with_tag(reference: str) -> str:
    """Return the reference with the tag that docker implies: RepoTags are complete."""
    return reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"
