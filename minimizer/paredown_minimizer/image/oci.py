"""Reading OCI image layouts: ``oci-dir:DIR[:REF]`` and ``oci-archive:FILE[:REF]``.

OCI image specification 1.1, "Image Layout", "Image Index", "Image Manifest" and "Descriptor", with
the media types of Docker's manifests beside OCI's, as registries and tools mix them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from paredown_minimizer.image.blobs import digest_of
from paredown_minimizer.image.config import (
    MAX_JSON,
    Configuration,
    parse_configuration,
    parse_json,
    refuse_other_layers,
)
from paredown_minimizer.image.layered import LayerBlob, LayeredImage
from paredown_minimizer.image.platforms import PLATFORM, choose, same_machine
from paredown_minimizer.image.regions import Extent
from paredown_minimizer.image.store import (
    Store,
    closed_on_error,
    open_archive_store,
    open_directory_store,
)
from paredown_schemas.names import escape_name

_OCI = "application/vnd.oci.image."
_DOCKER = "application/vnd.docker."
_INDEXES = (f"{_OCI}index.v1+json", f"{_DOCKER}distribution.manifest.list.v2+json")
_MANIFESTS = (f"{_OCI}manifest.v1+json", f"{_DOCKER}distribution.manifest.v2+json")
_CONFIGS = (f"{_OCI}config.v1+json", f"{_DOCKER}container.image.v1+json")
_LAYER = re.compile(
    r"application/vnd\.oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+gzip|\+zstd)?"
    r"|application/vnd\.docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd)?"
)
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
# Both are used for names: the specification's, and containerd's for the whole of it.
_NAMES = ("org.opencontainers.image.ref.name", "io.containerd.image.name")
_UNKNOWN = "unknown/unknown"  # buildkit's, for attestations beside the images
_MAX_DEPTH = 4
_MAX_MANIFESTS = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Descriptor:
    """What refers to a blob."""

    media_type: str
    digest: str
    size: int
    platform: str | None
    names: tuple[str, ...]

    @property
    def path(self) -> str:
        """Return where in a layout the blob is."""
        return "blobs/" + self.digest.replace(":", "/")


def open_oci_directory(location: str, platform: str | None = None) -> LayeredImage:
    """Open what an ``oci-dir:`` SOURCE names, ``DIR[:REF]``; raises ParedownError."""
    path, _, reference = location.partition(":")
    return read_layout(open_directory_store(path), reference, platform)


def open_oci_archive(location: str, platform: str | None = None) -> LayeredImage:
    """Open what an ``oci-archive:`` SOURCE names, ``FILE[:REF]``; raises ParedownError."""
    path, _, reference = location.partition(":")
    return read_layout(open_archive_store(path), reference, platform)


def read_layout(store: Store, reference: str, platform: str | None) -> LayeredImage:
    """Read the image in a layout, which is closed with it.

    ``reference`` and ``platform`` choose where there are several.

    Raises:
        ParedownError: it is no layout, damaged, or hostile, or there is no such image.
    """
    with closed_on_error(store):
        return _Layout(store).image(reference, platform)


class _Layout:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen = 0
        layout = store.document("oci-layout")
        version = layout.get("imageLayoutVersion") if isinstance(layout, dict) else None
        if not isinstance(version, str) or not version.startswith("1."):
            raise store.error("its oci-layout names no version 1")

    def image(self, reference: str, platform: str | None) -> LayeredImage:
        named = self._named(reference)
        found = {each.digest: each for each in self._manifests(named, _MAX_DEPTH)}
        # Of an image for several platforms, often only some were fetched.
        here = [each for each in found.values() if self._store.find(each.path) is not None]
        if found and not here:
            raise self._store.error(f"its manifest {next(iter(found))} is missing")
        images = [(each.platform or self._platform(each), each) for each in here]
        chosen = choose([(name, each) for name, each in images if name], platform, self._store.name)
        configuration, layers = self._parts(chosen)
        if not same_machine(configuration.platform, chosen.platform or configuration.platform):
            raise self._store.error(
                f"its index says {chosen.platform}, its configuration {configuration.platform}"
            )
        refuse_other_layers(configuration, layers, self._store.name)
        return LayeredImage(self._store, configuration, [self._layer(layer) for layer in layers])

    def _named(self, reference: str) -> list[Descriptor]:
        """Return what index.json has of one name."""
        index = self._descriptors(self._store.document("index.json"), "manifests")
        wanted = [each for each in index if not reference or reference in each.names]
        names = {each.names for each in {each.digest: each for each in wanted}.values()}
        if len(names) == 1:
            return wanted
        there = sorted({name for each in index for name in each.names})[:10]
        raise self._store.error(
            f"it holds {len(names) or 'no'} images"
            + (f" named {escape_name(reference)}" if reference else "")
            + (f"; there is {', '.join(map(escape_name, there))}" if there else ""),
            hint="name one as FILE:REF or DIR:REF" if there else "",
        )

    def _manifests(self, descriptors: Iterable[Descriptor], depth: int) -> Iterator[Descriptor]:
        """Yield what may be images, those in nested indexes too."""
        for each in descriptors:
            self._seen += 1
            if self._seen > _MAX_MANIFESTS or depth == 0:
                raise self._store.error("its indexes name too much")
            if each.platform == _UNKNOWN:
                continue
            if each.media_type in _MANIFESTS:
                yield each
            elif each.media_type in _INDEXES and self._store.find(each.path) is not None:
                nested = self._descriptors(self._json(each), "manifests")
                yield from self._manifests(nested, depth - 1)

    def _platform(self, manifest: Descriptor) -> str | None:
        """Return the platform that a manifest's configuration names, None if it is no image's."""
        if self._config(manifest)[0].media_type not in _CONFIGS:
            return None
        return self._parts(manifest)[0].platform

    def _parts(self, manifest: Descriptor) -> tuple[Configuration, list[Descriptor]]:
        descriptor, document = self._config(manifest)
        if descriptor.media_type not in _CONFIGS:
            raise self._store.error(f"its manifest is of {escape_name(descriptor.media_type)}")
        configuration = parse_configuration(self._blob(descriptor), self._store.name)
        found = document.get("annotations")
        notes = found if isinstance(found, dict) else {}
        texts = {key: value for key, value in notes.items() if isinstance(value, str)}
        configuration = dataclasses.replace(configuration, annotations=texts)
        return configuration, self._descriptors(document, "layers")

    def _config(self, manifest: Descriptor) -> tuple[Descriptor, Mapping[str, Any]]:
        document = self._json(manifest)
        config = document.get("config") if isinstance(document, dict) else None
        return self._descriptor(config), document

    def _layer(self, descriptor: Descriptor) -> LayerBlob:
        what = f"layer {descriptor.digest} of {self._store.name}"
        match = _LAYER.fullmatch(descriptor.media_type)
        if match is None:
            raise self._store.error(
                f"its layer {descriptor.digest} is of {escape_name(descriptor.media_type)}"
            )
        region = self._store.find(descriptor.path)
        if region is None and (match[1] or match[3]):
            raise self._store.error(
                f"its layer {descriptor.digest} is foreign and not here",
                hint="put the blob into the layout: its manifest names the URLs",
            )
        if region is None or region.length != descriptor.size:
            raise self._store.error(f"its layer {descriptor.digest} {_lack(region)}")
        return LayerBlob(what, region, descriptor.digest)

    def _json(self, descriptor: Descriptor) -> Any:
        return parse_json(self._blob(descriptor), self._store.name, descriptor.path)

    def _blob(self, descriptor: Descriptor) -> bytes:
        """Return a document, verified."""
        if descriptor.size > MAX_JSON:
            raise self._store.error(f"{descriptor.path} is too long")
        region = self._store.find(descriptor.path)
        if region is None or region.length != descriptor.size:
            raise self._store.error(f"{descriptor.path} {_lack(region)}")
        text = region.read(0, region.length)
        if digest_of(text) != descriptor.digest:
            raise self._store.error(f"{descriptor.path}: its content is not that of its digest")
        return text

    def _descriptors(self, document: Any, key: str) -> list[Descriptor]:
        values = document.get(key) if isinstance(document, dict) else None
        if not isinstance(values, list):
            raise self._store.error(f"its {key} are malformed")
        return [self._descriptor(value) for value in values]

    def _descriptor(self, value: Any) -> Descriptor:
        descriptor = _parse_descriptor(value)
        if descriptor is None:
            raise self._store.error("a malformed descriptor, or one without a SHA-256")
        return descriptor


def _parse_descriptor(value: Any) -> Descriptor | None:
    if not isinstance(value, dict):
        return None
    media_type, digest, size = (value.get(key) for key in ("mediaType", "digest", "size"))
    if not isinstance(media_type, str) or type(size) is not int or size < 0:
        return None
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        return None
    platform, annotations = value.get("platform"), value.get("annotations")
    names = annotations if isinstance(annotations, dict) else {}
    found = [names[key] for key in _NAMES if isinstance(names.get(key), str)]
    return Descriptor(media_type, digest, size, _platform_of(platform), tuple(found))


def _platform_of(value: Any) -> str | None:
    """Return a platform as OCI writes it; None if there is none that could be chosen."""
    parts = (
        [value.get(key) for key in ("os", "architecture", "variant")]
        if isinstance(value, dict)
        else []
    )
    text = "/".join(str(part) for part in parts if part)
    return text if PLATFORM.fullmatch(text) else None


def _lack(region: Extent | None) -> str:
    return "is missing" if region is None else "has not the size that its descriptor says"
