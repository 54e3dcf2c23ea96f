"""Writing what ``docker load`` reads: ``docker-archive:FILE[:REF]``.

The form is the Docker image specification's, version 1.2. Sizes are known before content is read,
and what needs the digests comes last: the archive can go through a pipe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from paredown_minimizer.image.config_write import configuration, dump
from paredown_minimizer.image.layer_write import new_layers
from paredown_minimizer.image.model import Image
from paredown_minimizer.image.slim import Provenance
from paredown_minimizer.image.staging import staged_file
from paredown_minimizer.image.tar_write import END, file_header, padding


def write_archive(
    image: Image, location: str, provenance: Provenance, *, force: bool, keep_layers: bool
) -> None:
    """Write ``image`` to what a ``docker-archive:`` DEST names, ``FILE`` or ``FILE:REF``.

    Raises:
        UsageError: the file exists, and not ``force``; or see ``new_layers``.
        ParedownError: it cannot be written, or a name in the tree means something else in a layer.
    """
    path, _, reference = location.partition(":")
    with staged_file(path, force=force) as file:
        stream_archive(image, file.write, reference, provenance, keep_layers=keep_layers)


def stream_archive(
    image: Image,
    write: Callable[[bytes], object],
    reference: str,
    provenance: Provenance,
    *,
    keep_layers: bool,
) -> None:
    """Hand the archive to ``write``, bytes after bytes; raises what that does, ParedownError."""
    layers = new_layers(image, keep_layers=keep_layers)
    names = [f"layer-{number}.tar" for number in range(len(layers))]
    diff_ids = []
    for name, layer in zip(names, layers, strict=True):
        size = layer.size()
        write(file_header(name, size))
        digest = hashlib.sha256()
        for block in layer.blocks():
            write(block)
            digest.update(block)
        write(padding(size))
        diff_ids.append(f"sha256:{digest.hexdigest()}")
    config = configuration(image, diff_ids, [layer.source for layer in layers], provenance)
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    files = {config_name: config, "manifest.json": manifest(config_name, names, reference)}
    for name, content in files.items():
        write(file_header(name, len(content)) + content + padding(len(content)))
    write(END)


def manifest(config: str, layers: list[str], reference: str) -> bytes:
    """Return ``manifest.json`` of an archive with one image, by its members' names."""
    tags = [with_tag(reference)] if reference else None
    return dump([{"Config": config, "Layers": layers, "RepoTags": tags}])


def with_tag(reference: str) -> str:
    """Return the reference with the tag that docker implies: RepoTags are complete."""
    return reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"
