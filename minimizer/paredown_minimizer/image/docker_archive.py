"""Reading what ``docker save`` writes: ``docker-archive:FILE[:REF]``.

An outer tar holds manifest.json, one configuration and the layers (Docker image specification
v1.2); newer docker adds an OCI layout whose blobs the manifest then names.
"""

from __future__ import annotations

import re
from typing import Any

from paredown_minimizer.image.blobs import digest_of
from paredown_minimizer.image.config import (
    Configuration,
    parse_configuration,
    refuse_other_layers,
)
from paredown_minimizer.image.layered import LayerBlob, LayeredImage
from paredown_minimizer.image.platforms import choose
from paredown_minimizer.image.store import Store, closed_on_error, open_archive_store
from paredown_schemas.names import escape_name

_DIGEST_NAME = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?")
_MAX_PLATFORMS = 100  # the largest official images have some ten


def open_archive(location: str, platform: str | None = None) -> LayeredImage:
    """Open what a ``docker-archive:`` SOURCE names, ``FILE`` or ``FILE:REF``.

    Raises:
        ParedownError: there is no such file, or see ``read_image``.
    """
    path, _, reference = location.partition(":")
    store = open_archive_store(path)
    with closed_on_error(store):
        return read_image(store, reference, platform)


def read_image(store: Store, reference: str, platform: str | None) -> LayeredImage:
    """Read the image in an archive, which is closed with it.

    ``reference`` and ``platform`` choose where there are several.

    Raises:
        ParedownError: it is no such archive, damaged, or hostile, or there is no such image.
    """
    manifest, configuration = _choose(store, _manifests(store, reference), reference, platform)
    names = manifest["Layers"]
    refuse_other_layers(configuration, names, store.name)
    return LayeredImage(store, configuration, [_layer(store, name) for name in names])


def _manifests(store: Store, reference: str) -> list[dict[str, Any]]:
    if store.find("manifest.json") is None and store.find("index.json") is not None:
        raise store.error("manifest.json is missing", hint="read it as oci-archive:")
    images = store.document("manifest.json")
    if not isinstance(images, list) or not all(map(_is_manifest, images)):
        raise store.error("its manifest is malformed")
    if reference:
        images = [image for image in images if reference in (image.get("RepoTags") or ())]
    return images


def _choose(
    store: Store, images: list[dict[str, Any]], reference: str, platform: str | None
) -> tuple[dict[str, Any], Configuration]:
    """Return the one image, or of one for several platforms the one for ``platform``."""
    names = {tuple(map(str, image.get("RepoTags") or ())) for image in images}
    if len(names) != 1 or len(images) > _MAX_PLATFORMS:
        which = f" named {escape_name(reference)}" if reference else ""
        raise store.error(
            f"it holds {len(images)} images{which}", hint="choose by docker-archive:FILE:REF"
        )
    found = [(image, _configuration(store, image["Config"])) for image in images]
    return choose([(item[1].platform, item) for item in found], platform, store.name)


def _configuration(store: Store, name: str) -> Configuration:
    text = store.read(name)
    match = _DIGEST_NAME.fullmatch(name)
    if match and digest_of(text) != f"sha256:{match[1]}":
        raise store.error("its configuration's content is not that of its digest")
    return parse_configuration(text, store.name)


def _layer(store: Store, name: str) -> LayerBlob:
    region = store.find(name)
    if region is None:
        raise store.error(f"{escape_name(name)} is missing")
    return LayerBlob(f"layer {escape_name(name)} of {store.name}", region)


def _is_manifest(image: Any) -> bool:
    return (
        isinstance(image, dict)
        and isinstance(image.get("Config"), str)
        and isinstance(image.get("RepoTags") or [], list)
        and isinstance(image.get("Layers"), list)
        and all(isinstance(layer, str) for layer in image["Layers"])
    )
