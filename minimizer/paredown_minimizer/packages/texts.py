"""Files of a package manager's database, as text in the memory form of names.py."""

from __future__ import annotations

from collections.abc import Mapping

from paredown_minimizer.image.model import Image, read
from paredown_schemas.names import decode_name, encode_name

# A whole distribution's status is below 100 MB; the cap keeps a hostile image from filling memory.
LIMIT = 1 << 28


def text_of(image: Image, path: str) -> str:
    """Return a file's text, nothing where there is no such regular file.

    Raises:
        ParedownError: it cannot be read, or is far too long.
    """
    entry = image.tree.get(path)
    if entry is None or entry.type != "file":
        return ""
    return decode_name(read(image, path, LIMIT))


def lines_of(image: Image, path: str) -> list[str]:
    """Return a file's lines that are not empty; raises as ``text_of`` does."""
    return [line for line in text_of(image, path).split("\n") if line]


def changes(image: Image, files: Mapping[str, str | None]) -> dict[str, bytes | None]:
    """Return what differs of ``files``, of those that the image has, as managers rewrite them.

    ``files`` holds new text by path, None where a file goes.
    """
    changed: dict[str, bytes | None] = {}
    for path in sorted(path for path in files if path in image.tree):
        text = files[path]
        if text is None:
            changed[path] = None
        elif text != text_of(image, path):
            changed[path] = encode_name(text)
    return changed
