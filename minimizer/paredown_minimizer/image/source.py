"""The formats of SOURCE and DEST, by scheme.

Adding one touches its own file, ``FORMATS`` and its test.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import shutil
from collections.abc import Callable
from typing import Protocol

from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.image.directory_write import write_directory
from paredown_minimizer.image.docker_archive import open_archive
from paredown_minimizer.image.docker_archive_write import write_archive
from paredown_minimizer.image.engine import open_stored, write_stored
from paredown_minimizer.image.model import Image, is_below
from paredown_minimizer.image.oci import open_oci_archive, open_oci_directory
from paredown_minimizer.image.oci_write import write_oci_archive, write_oci_directory
from paredown_minimizer.image.platforms import check_platform
from paredown_minimizer.image.slim import Provenance
from paredown_schemas.errors import UsageError
from paredown_schemas.names import escape_name


class Writer(Protocol):
    """Writes an image to a location of its format."""

    def __call__(
        self,
        image: Image,
        location: str,
        provenance: Provenance,
        /,
        *,
        force: bool,
        keep_layers: bool,
    ) -> None:
        """Write; raises UsageError where something exists and not ``force``, ParedownError."""


@dataclasses.dataclass(frozen=True)
class Format:
    """One format of images. ``next_step`` is what a user types on what was written."""

    open: Callable[[str, str | None], Image]  # a location, and the platform if one is wanted
    write: Writer
    next_step: str
    path: Callable[[str], str | None]  # the file or directory that a location names


def _engine(name: str) -> Format:
    return Format(
        functools.partial(open_stored, name),
        functools.partial(write_stored, name),
        f"{name} run --rm {{}}",
        lambda _: None,
    )


def _before_reference(location: str) -> str:
    return location.partition(":")[0]


FORMATS: dict[str, Format] = {
    "dir": Format(
        open_directory,
        write_directory,
        "paredown-agent record -o again.trace --rootfs {} -- COMMAND",
        lambda location: location,
    ),
    "docker": _engine("docker"),
    "podman": _engine("podman"),
    "docker-archive": Format(
        open_archive,
        write_archive,
        "docker load --input {}",
        _before_reference,
    ),
    "oci-dir": Format(
        open_oci_directory,
        write_oci_directory,
        "skopeo inspect oci:{}",
        _before_reference,
    ),
    "oci-archive": Format(
        open_oci_archive,
        write_oci_archive,
        "podman load --input {}",
        _before_reference,
    ),
}
_ENGINES = ("docker", "podman")
_SPEC = re.compile(r"([a-z][a-z-]*):(.+)", re.DOTALL)


def split_spec(spec: str) -> tuple[str, str]:
    """Split ``SCHEME:LOCATION``; a bare reference means docker, or podman where only that is.

    Raises:
        UsageError: it names nothing, or looks like a path without its scheme.
    """
    match = _SPEC.fullmatch(spec)
    # "nginx:1.25" and "localhost:5000/nginx" are references and no schemes.
    if match and match[1] in FORMATS:
        return match[1], match[2]
    if not spec or spec.startswith(("/", ".")) or spec.rstrip(":") in FORMATS:
        raise UsageError(
            f"cannot tell what image {escape_name(spec)!r} is",
            hint=f"name it as SCHEME:LOCATION, with one of {', '.join(FORMATS)}",
        )
    only_podman = shutil.which("podman") and not shutil.which("docker")
    return "podman" if only_podman else "docker", spec


def engine_reference(spec: str) -> str | None:
    """Return what an engine calls the image that a SOURCE names; None where it is no engine's."""
    match = _SPEC.fullmatch(spec)
    if match and match[1] in FORMATS:
        return match[2] if match[1] in _ENGINES else None
    return None if spec.startswith(("/", ".")) else spec


def open_image(spec: str, platform: str | None = None) -> Image:
    """Open the image that a SOURCE names, for ``platform`` or by default the host's.

    Raises:
        UsageError: the format is not known, or that is no platform.
        ParedownError: there is no such image, or it cannot be read.
    """
    check_platform(platform)
    scheme, location = split_spec(spec)
    return FORMATS[scheme].open(location, platform)


def write_image(
    image: Image, spec: str, provenance: Provenance, *, force: bool, keep_layers: bool = False
) -> None:
    """Write ``image`` to what a DEST names, in one layer or in those of the original.

    Raises:
        UsageError: the format is not known, something exists and not ``force``, or there are no
            layers to keep.
        ParedownError: it cannot be written; nothing is left under its name then.
    """
    scheme, location = split_spec(spec)
    write = FORMATS[scheme].write
    write(image, location, provenance, force=force, keep_layers=keep_layers)


def next_step(spec: str) -> str:
    """Return the command to try on what was written to a DEST."""
    scheme, location = split_spec(spec)
    return FORMATS[scheme].next_step.format(FORMATS[scheme].path(location) or location)


def refuse_source(source: str, destination: str, *, force: bool) -> None:
    """Refuse a DEST that is SOURCE without ``force``, and one in or around SOURCE always.

    Raises:
        UsageError: it is; the original is what people debug with.
    """
    kept, written = _place(source), _place(destination)
    if kept == written:
        if not force:
            raise UsageError(
                f"cannot write {escape_name(destination)}: it is the source itself",
                hint="keep the original to debug with; --force replaces it",
            )
    elif kept[0] == written[0] == "path" and (
        is_below(kept[1], written[1]) or is_below(written[1], kept[1])
    ):
        raise UsageError(
            f"cannot write {escape_name(destination)}: it and the source lie in one another"
        )


def _place(spec: str) -> tuple[str, str]:
    scheme, location = split_spec(spec)
    path = FORMATS[scheme].path(location)
    return ("path", os.path.realpath(path)) if path else (scheme, location)
