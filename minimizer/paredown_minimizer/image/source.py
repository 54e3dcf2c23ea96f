"""The formats of SOURCE and DEST, by scheme.

Adding one touches its own file, ``FORMATS`` and its test.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.image.model import Image
from paredown_schemas.errors import UsageError
from paredown_schemas.names import escape_name

OPENERS: dict[str, Callable[[str], Image]] = {
    "dir": open_directory,
}
_SCHEME = re.compile(r"([a-z][a-z-]*):(.+)", re.DOTALL)


def split_spec(spec: str) -> tuple[str, str]:
    """Split ``SCHEME:LOCATION``; a bare reference means docker.

    Raises:
        UsageError: nothing is named.
    """
    match = _SCHEME.fullmatch(spec)
    # "nginx:1.25" and "localhost:5000/nginx" are references and no schemes.
    if match and match[1] in OPENERS:
        return match[1], match[2]
    if not spec or spec.rstrip(":") in OPENERS:
        raise UsageError(
            f"cannot open image {escape_name(spec)!r}: nothing is named",
            hint=f"name one as SCHEME:LOCATION, with the schemes {', '.join(OPENERS)}",
        )
    return "docker", spec


def open_image(spec: str) -> Image:
    """Open the image that a SOURCE names.

    Raises:
        UsageError: the format is not known.
        ParedownError: there is no such image, or it cannot be read.
    """
    scheme, location = split_spec(spec)
    return OPENERS[scheme](location)
