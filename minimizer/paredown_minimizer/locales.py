"""Which locales an image has: directories of /usr/lib/locale, and members of its archive."""

from __future__ import annotations

import struct

from paredown_minimizer.contents import Contents
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name

_DIRECTORY = "/usr/lib/locale"
_ARCHIVE = "/usr/lib/locale/locale-archive"
# glibc, locale/locarchive.h, struct locarhead, in the machine's byte order: magic, serial, three
# fields of the table of names, then offset and used size of the names themselves, ended by NUL.
_HEADS = (struct.Struct("<I4x12xII"), struct.Struct(">I4x12xII"))
_MAGIC = 0xDE020109
# The names lie before the locales' data; those of all that glibc has take 20 kB.
_LIMIT = 1 << 20


def installed_locales(contents: Contents) -> set[str]:
    """Return the names of an image's locales, as setlocale(3) takes them."""
    tree = contents.image.tree
    below = tree.children.get(tree.canonical(_DIRECTORY), ())
    directories = {path.rpartition("/")[2] for path in below if tree[path].type == "directory"}
    return directories | _archived(contents)


def _archived(contents: Contents) -> set[str]:
    resolved = contents.image.tree.resolve(_ARCHIVE)
    if resolved is None or contents.image.tree[resolved.path].type != "file":
        return set()
    try:
        with contents.image.open(resolved.path) as file:
            data = file.read(_LIMIT)
    except (ParedownError, OSError) as error:
        contents.warnings.append(f"{_ARCHIVE} was not looked into: {error}")
        return set()
    for head in _HEADS:
        if len(data) >= head.size and (fields := head.unpack_from(data))[0] == _MAGIC:
            _, offset, used = fields
            return {decode_name(name) for name in data[offset : offset + used].split(b"\0")}
    return set()
