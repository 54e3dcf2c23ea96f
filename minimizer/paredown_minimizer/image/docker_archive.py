"""Reading what ``docker save`` writes: ``docker-archive:FILE[:REF]``.

An outer tar holds manifest.json, one configuration and the layers (Docker image specification
v1.2); newer docker adds an OCI layout whose blobs the manifest then names. Links among members,
by which older docker and skopeo share layers, are followed.
"""

from __future__ import annotations

import io
import json
import os
import posixpath
import re
import stat
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from paredown_minimizer.image.blobs import Expander, digest_of, file_region, verify
from paredown_minimizer.image.layers import LayerStack
from paredown_minimizer.image.model import MAX_LINKS
from paredown_minimizer.image.tar import Content, Member, Region, read_members
from paredown_schemas.errors import ParedownError
from paredown_schemas.identity import image_identity
from paredown_schemas.names import encode_name, escape_name

_MAX_JSON = 1 << 24
_MAX_LAYERS = 1000  # docker stops at 127
_DIGEST_NAME = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# As plans have it (plan-1.schema.json).
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?")


class ArchiveImage:
    """An image in a docker archive."""

    def __init__(self, file: BinaryIO, name: str, reference: str = "") -> None:
        """Read the metadata of all layers and verify their digests.

        ``name`` is for messages; ``reference`` chooses where there are several images. ``file``
        is closed with the image.

        Raises:
            ParedownError: it is no such archive, damaged, or hostile.
        """
        self._file = file
        self._name = escape_name(name)
        self._expander = Expander()
        try:
            self._read(reference)
        except BaseException:
            self.close()
            raise

    def _read(self, reference: str) -> None:
        what = f"archive {self._name}"
        region = self._expander.expand(file_region(self._file.fileno()), what)
        self._outer = region
        self._members = {posixpath.normpath(m.name): m for m in read_members(region, what)}
        manifest = self._manifest(reference)
        self.config: Mapping[str, Any] = self._config(manifest["Config"])
        diff_ids = self._diff_ids()
        if len(diff_ids) > _MAX_LAYERS:
            raise self._error(f"it has more than {_MAX_LAYERS} layers")
        if len(diff_ids) != len(manifest["Layers"]):
            raise self._error("its configuration and manifest differ in layers")
        self.platform = self._platform()
        stack = LayerStack()
        for name, diff_id in zip(manifest["Layers"], diff_ids, strict=True):
            layer = f"layer {escape_name(name)} of {self._name}"
            content = self._expander.expand(self._member(name), layer)
            verify(content, diff_id, layer)
            stack.apply(content, read_members(content, layer), layer)
        self.identity = image_identity(diff_ids, self.platform)
        self.tree, self._contents = stack.finish()

    def open(self, path: str) -> BinaryIO:
        """Open a file's content; see ``Image.open``."""
        if path not in self._contents:
            raise ParedownError(
                f"cannot read {escape_name(path)} in {self._name}: not a regular file of the image"
            )
        return io.BufferedReader(Content(*self._contents[path]))

    def close(self) -> None:
        """Let go of the archive and of temporary files."""
        self._expander.close()
        self._file.close()

    def _manifest(self, reference: str) -> dict[str, Any]:
        images = self._json("manifest.json")
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

    def _config(self, name: str) -> dict[str, Any]:
        match = _DIGEST_NAME.fullmatch(name)
        if match and digest_of(self._member(name)) != f"sha256:{match[1]}":
            raise self._error("its configuration's content is not that of its digest")
        config = self._json(name)
        if not isinstance(config, dict):
            raise self._error("its configuration is malformed")
        for key, fits in _SETTINGS.items():
            settings = config.get("config") or {}
            if not isinstance(settings, dict) or not fits(settings.get(key)):
                raise self._error(f"its configuration's {key} is malformed")
        return config

    def _diff_ids(self) -> list[str]:
        rootfs = self.config.get("rootfs")
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        diff_ids = [] if diff_ids is None and isinstance(rootfs, dict) else diff_ids
        if not isinstance(diff_ids, list) or not all(
            isinstance(item, str) and _DIGEST.fullmatch(item) for item in diff_ids
        ):
            raise self._error("its configuration names no layers")
        return diff_ids

    def _platform(self) -> str:
        parts = [self.config.get(key) or "" for key in ("os", "architecture", "variant")]
        platform = "/".join(str(part) for part in [parts[0] or "linux", *parts[1:]] if part)
        if not parts[1] or not _PLATFORM.fullmatch(platform):
            raise self._error("its configuration names no platform")
        return platform

    def _json(self, name: str) -> Any:
        region = self._member(name)
        if region.length > _MAX_JSON:
            raise self._error(f"{escape_name(name)} is too long")
        try:
            return json.loads(region.read(0, region.length))
        except (ValueError, RecursionError) as error:
            raise self._error(f"{escape_name(name)} is not JSON") from error

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
        return Region(self._outer.descriptor, self._outer.start + start, member.size)

    def _error(self, cause: str, hint: str = "") -> ParedownError:
        return ParedownError(f"cannot read archive {self._name}: {cause}", hint=hint)


def open_archive(location: str) -> ArchiveImage:
    """Open what a ``docker-archive:`` SOURCE names, ``FILE`` or ``FILE:REF``.

    Raises:
        ParedownError: there is no such file, or see ``ArchiveImage``.
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
    return ArchiveImage(file, path, reference)


def _is_manifest(image: Any) -> bool:
    return (
        isinstance(image, dict)
        and isinstance(image.get("Config"), str)
        and isinstance(image.get("RepoTags") or [], list)
        and isinstance(image.get("Layers"), list)
        and all(isinstance(layer, str) for layer in image["Layers"])
    )


def _is_strings(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(v, str) for v in value))


def _is_command(value: Any) -> bool:
    return isinstance(value, str) or _is_strings(value)  # docker takes one word without a list


def _is_mapping(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _is_check(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and _is_strings(value.get("Test")))


# OCI image specification, "Image Configuration": what is read of it here, or added to.
_SETTINGS: dict[str, Callable[[Any], bool]] = {
    "Entrypoint": _is_command,
    "Cmd": _is_command,
    "Shell": _is_command,
    "Env": _is_strings,
    "WorkingDir": lambda value: value is None or isinstance(value, str),
    "Healthcheck": _is_check,
    "Labels": _is_mapping,
    "Volumes": _is_mapping,
}
