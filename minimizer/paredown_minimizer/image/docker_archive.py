"""Reading what ``docker save`` writes: ``docker-archive:FILE[:REF]``.

An outer tar holds manifest.json, one configuration and the layers (Docker image specification
v1.2); newer docker adds an OCI layout whose blobs the manifest then names. Links among members,
by which older docker and skopeo share layers, are followed.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import stat
from typing import Any, BinaryIO

from paredown_minimizer.image.blobs import Expander, digest_of, file_region
from paredown_minimizer.image.config import (
    MAX_JSON,
    Configuration,
    parse_configuration,
    parse_json,
    refuse_other_layers,
)
from paredown_minimizer.image.layered import LayeredImage
from paredown_minimizer.image.model import MAX_LINKS
from paredown_minimizer.image.tar import Member, Region, read_members
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import encode_name, escape_name

_DIGEST_NAME = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?")


def open_archive(location: str) -> LayeredImage:
    """Open what a ``docker-archive:`` SOURCE names, ``FILE`` or ``FILE:REF``.

    Raises:
        ParedownError: there is no such file, or see ``read_archive``.
    """
    path, _, reference = location.partition(":")
    try:
        descriptor = os.open(encode_name(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ParedownError(f"cannot read archive {escape_name(path)}: {error.strerror}") from error
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise ParedownError(f"cannot read archive {escape_name(path)}: not a regular file")
    return read_archive(file, path, reference)


def read_archive(file: BinaryIO, name: str, reference: str = "") -> LayeredImage:
    """Read the image in an archive, which is closed with it.

    ``name`` is for messages; ``reference`` chooses where there are several images.

    Raises:
        ParedownError: it is no such archive, damaged, or hostile.
    """
    name = escape_name(name)
    with contextlib.ExitStack() as resources:
        resources.enter_context(file)
        expander = resources.enter_context(contextlib.closing(Expander()))
        region = expander.expand(file_region(file.fileno()), f"archive {name}")
        archive = _Archive(name, region)
        manifest = archive.manifest(reference)
        configuration = archive.configuration(manifest["Config"])
        refuse_other_layers(configuration, manifest["Layers"], f"archive {name}")
        layers = archive.layers(manifest["Layers"])
        return LayeredImage(f"archive {name}", configuration, layers, expander, resources)


class _Archive:
    """The members of a docker archive."""

    def __init__(self, name: str, region: Region) -> None:
        self._name = name
        self._region = region
        members = read_members(region, f"archive {name}")
        self._members = {posixpath.normpath(member.name): member for member in members}

    def manifest(self, reference: str) -> dict[str, Any]:
        """Return the one image's entry in manifest.json, or the one that has the name."""
        text = self._content("manifest.json")
        images = parse_json(text, f"archive {self._name}", "manifest")
        if not isinstance(images, list) or not all(map(_is_manifest, images)):
            raise self._error("its manifest is malformed")
        if reference:
            images = [image for image in images if reference in (image.get("RepoTags") or ())]
        if len(images) != 1:
            which = f" named {escape_name(reference)}" if reference else ""
            raise self._error(
                f"it holds {len(images)} images{which}", hint="choose by docker-archive:FILE:REF"
            )
        manifest: dict[str, Any] = images[0]
        return manifest

    def configuration(self, name: str) -> Configuration:
        """Return the configuration in the member ``name``, checked against it if it is a digest."""
        match = _DIGEST_NAME.fullmatch(name)
        if match and digest_of(self._member(name)) != f"sha256:{match[1]}":
            raise self._error("its configuration's content is not that of its digest")
        return parse_configuration(self._content(name), f"archive {self._name}")

    def layers(self, names: list[str]) -> list[tuple[str, Region]]:
        """Return where the layers are, each with what messages call it."""
        layers = [f"layer {escape_name(name)} of {self._name}" for name in names]
        return list(zip(layers, map(self._member, names), strict=True))

    def _content(self, name: str) -> bytes:
        region = self._member(name)
        return region.read(0, min(region.length, MAX_JSON + 1))

    def _member(self, name: str) -> Region:
        """Return where a member's content lies, links followed."""
        member: Member | None = None
        for _ in range(MAX_LINKS):
            member = self._members.get(posixpath.normpath(name))
            if member is None or member.type == "file":
                break
            above = posixpath.dirname(name) if member.type == "symlink" else ""
            name = posixpath.join(above, member.link)
        if member is None or member.type != "file":
            raise self._error(f"{escape_name(name)} is missing")
        start = member.extents[0][1] if member.extents else 0
        if member.size and member.extents != ((0, start, member.size),):
            raise self._error(f"{escape_name(name)} is a sparse file")
        return Region(self._region.descriptor, self._region.start + start, member.size)

    def _error(self, cause: str, hint: str = "") -> ParedownError:
        return ParedownError(f"cannot read archive {self._name}: {cause}", hint=hint)


def _is_manifest(image: Any) -> bool:
    return (
        isinstance(image, dict)
        and isinstance(image.get("Config"), str)
        and isinstance(image.get("RepoTags") or [], list)
        and isinstance(image.get("Layers"), list)
        and all(isinstance(layer, str) for layer in image["Layers"])
    )
