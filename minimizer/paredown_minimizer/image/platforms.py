"""Platforms as OCI writes them, and choosing among an image's (image index, "platform")."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from paredown_schemas.errors import ParedownError, UsageError
from paredown_schemas.identity import host_platform
from paredown_schemas.names import escape_name

# As plans have it (plan-1.schema.json).
PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?")
# What an architecture means without a variant (containerd's platforms.Normalize).
_IMPLIED = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
_Image = TypeVar("_Image")


def check_platform(text: str | None) -> None:
    """Raise UsageError unless ``--platform``, where it was given, is OS/ARCH[/VARIANT]."""
    if text is not None and not PLATFORM.fullmatch(text):
        raise UsageError(
            f"cannot tell what platform {escape_name(text)!r} is",
            hint="write it as OS/ARCH or OS/ARCH/VARIANT, for example linux/arm64",
        )


def fits(platform: str, wanted: str) -> bool:
    """Say whether an image for ``platform`` is one for ``wanted``; no variant wants any."""
    system, architecture, *variant = wanted.split("/")
    its_system, its_architecture, *its_variant = platform.split("/")
    implied = [_IMPLIED.get(architecture, "")]
    return (system, architecture) == (its_system, its_architecture) and (
        not variant or variant == (its_variant or implied)
    )


def same_machine(platform: str, other: str) -> bool:
    """Say whether two platforms are the same but for the variant, which not every tool writes."""
    return platform.split("/")[:2] == other.split("/")[:2]


def choose(images: Sequence[tuple[str, _Image]], wanted: str | None, what: str) -> _Image:
    """Return the image for a platform: the host's, unless one is wanted or there is one image.

    Raises:
        ParedownError: there is none, or there are several.
    """
    if len(images) == 1 and wanted is None:
        return images[0][1]
    wanted = wanted or host_platform()
    found = [image for platform, image in images if fits(platform, wanted)]
    exact = [image for platform, image in images if platform == wanted]
    if len(exact) == 1 or len(found) == 1:
        return (exact if len(exact) == 1 else found)[0]
    there = ", ".join(sorted({platform for platform, _ in images})) or "none"
    many = "several images" if found else "no image"
    raise ParedownError(
        f"cannot read {what}: it holds {many} for {wanted}; there is {there}",
        hint="--platform chooses among these",
    )


def refuse_other(platform: str, wanted: str | None, what: str) -> None:
    """Raise ParedownError if ``what``, which is for one platform, is not for the one wanted."""
    if wanted is not None and not fits(platform, wanted):
        raise ParedownError(f"cannot read {what}: it is for {platform} and not for {wanted}")
