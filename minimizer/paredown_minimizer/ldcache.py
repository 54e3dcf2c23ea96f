"""The loader's cache and its configuration, as files of an image.

Followed: glibc, sysdeps/generic/dl-cache.h for /etc/ld.so.cache, and elf/ldconfig.c for
/etc/ld.so.conf.
"""

from __future__ import annotations

import fnmatch
import posixpath
import struct

from paredown_minimizer.contents import Contents
from paredown_minimizer.image.model import Tree, join, parent
from paredown_schemas.names import decode_name

CACHE = "/etc/ld.so.cache"
_CONFIGURATION = "/etc/ld.so.conf"
_CACHE_LIMIT = 64 << 20
_MAX_CONFIGURATIONS = 1000
_PATH_MAX = 4096

_OLD_MAGIC = b"ld.so-1.7.0\0"
_OLD_ENTRY = 12
_NEW_MAGIC = b"glibc-ld.so.cache1.1"
_NEW_HEAD = struct.Struct("<20sII5I")
_NEW_ENTRY = struct.Struct("<iIIIQ")


def read_cache(contents: Contents) -> dict[str, list[str]]:
    """Return the libraries' paths by soname, best first; empty where the image has no cache."""
    return parse_cache(contents.data(CACHE, _CACHE_LIMIT))


def parse_cache(data: bytes) -> dict[str, list[str]]:
    """Read ld.so.cache's new format, also behind the old one; damaged entries are left out."""
    start = 0
    if data.startswith(_OLD_MAGIC):
        (count,) = struct.unpack_from("<I", data.ljust(16, b"\0"), len(_OLD_MAGIC))
        # The new table follows at the alignment of its widest member.
        start = -(-(len(_OLD_MAGIC) + 4 + count * _OLD_ENTRY) // 8) * 8
    if data[start : start + len(_NEW_MAGIC)] != _NEW_MAGIC or len(data) < start + _NEW_HEAD.size:
        return {}
    count = _NEW_HEAD.unpack_from(data, start)[1]
    first = start + _NEW_HEAD.size
    count = min(count, (len(data) - first) // _NEW_ENTRY.size)
    cache: dict[str, dict[str, None]] = {}
    # Each path has bytes of its own there, and a soname may be the end of one. Offsets that lie
    # could make any amount of text out of a small file.
    allowed = 4 * len(data)
    for index in range(count):
        _, key, value, _, _ = _NEW_ENTRY.unpack_from(data, first + index * _NEW_ENTRY.size)
        soname, path = _string(data, start + key), _string(data, start + value)
        allowed -= len(soname) + len(path)
        if allowed < 0:
            break
        if soname and path.startswith("/"):
            cache.setdefault(soname, {})[path] = None
    return {soname: list(paths) for soname, paths in cache.items()}


def _string(data: bytes, offset: int) -> str:
    end = data.find(b"\0", offset, offset + _PATH_MAX)
    return decode_name(data[offset:end]) if end >= 0 else ""


def configured_directories(contents: Contents) -> list[str]:
    """Return the directories that /etc/ld.so.conf names, includes followed, in order."""
    directories: dict[str, None] = {}
    pending, seen = [_CONFIGURATION], {_CONFIGURATION}
    while pending and len(seen) < _MAX_CONFIGURATIONS:
        here = pending.pop(0)
        for line in contents.text(here).splitlines():
            words = line.split("#")[0].replace(",", " ").split()
            if words[:1] == ["include"]:
                for pattern in words[1:]:
                    found = glob_directory(
                        contents.image.tree, posixpath.join(parent(here), pattern)
                    )
                    pending += [path for path in found if path not in seen]
                    seen.update(found)
            elif words[:1] != ["hwcap"]:
                directories.update(dict.fromkeys(w for w in words if w.startswith("/")))
    return list(directories)


def glob_directory(tree: Tree, pattern: str) -> list[str]:
    """Return the paths that match ``pattern`` in its last component only."""
    directory = tree.resolve(parent(pattern))
    if directory is None:
        return []
    name = pattern.rpartition("/")[2]
    below = tree.children.get(directory.path, [])
    return [
        join(directory.path, child)
        for child in (path.rpartition("/")[2] for path in below)
        if fnmatch.fnmatchcase(child, name)
    ]
