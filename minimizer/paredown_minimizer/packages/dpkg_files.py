"""Where dpkg keeps its database, and its files as text."""

from __future__ import annotations

from paredown_minimizer.image.model import Image, Tree, read
from paredown_schemas.names import decode_name

ROOT = "/var/lib/dpkg"
STATUS = f"{ROOT}/status"
INFO = f"{ROOT}/info"
DIVERSIONS = f"{ROOT}/diversions"
ALTERNATIVES = f"{ROOT}/alternatives"
TRIGGERS = f"{ROOT}/triggers"

# A whole distribution's status is below 100 MB; the cap keeps a hostile image from filling memory.
_LIMIT = 1 << 28


def info_file(tree: Tree, key: str, kind: str) -> str:
    """Return the path of a package's info file; only co-installable ones carry the architecture.

    ``key`` is ``name:architecture``.
    """
    with_architecture = f"{INFO}/{key}.{kind}"
    if with_architecture in tree:
        return with_architecture
    return f"{INFO}/{key.rpartition(':')[0]}.{kind}"


def text_of(image: Image, path: str) -> str:
    """Return a file's text, nothing where there is no such regular file.

    Raises:
        ParedownError: it cannot be read, or is far too long.
    """
    entry = image.tree.get(path)
    if entry is None or entry.type != "file":
        return ""
    return decode_name(read(image, path, _LIMIT))


def lines_of(image: Image, path: str) -> list[str]:
    """Return a file's lines that are not empty; raises as ``text_of`` does."""
    return [line for line in text_of(image, path).split("\n") if line]
