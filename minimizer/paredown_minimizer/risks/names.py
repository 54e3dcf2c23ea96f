"""Path strings in used files that name something that goes.

No evidence that it is needed: programs carry the names of much that they never open. But what a
program opens on another day is named somewhere. High is what a used program has as a string of its
own, as open(2) and execve(2) would get it: a C string (ELF), or between quotes. Names inside of
longer texts, and in data, are medium; in comments, and in what everybody loads or reads whatever it
does, low.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from paredown_minimizer.elf import MAGIC
from paredown_minimizer.image.model import parent
from paredown_minimizer.ldcache import CACHE
from paredown_minimizer.risks.situation import Situation
from paredown_minimizer.rulebook import is_c_library
from paredown_schemas.names import decode_name
from paredown_schemas.plan import Level, Risk

# Beyond it a file is data, and the time better spent elsewhere.
LIMIT = 64 << 20
# A name that begins at a slash, not in the middle of a relative one or of an URL's.
_NAME = re.compile(rb"(?<![\w.+@%~/-])/[\w.+@~-]+(?:/[\w.+@~-]+)*")
_NAME_IN_BYTECODE = re.compile(rb"/[\w.+@~-]+(?:/[\w.+@~-]+)*")
_SOURCES = (
    *(".py", ".pyc", ".rb", ".js", ".mjs", ".cjs", ".php", ".pl", ".pm", ".sh", ".lua", ".tcl"),
    *(".cgi", ".rake"),
)
_COMMENT = re.compile(rb"^[ \t]*(?:#(?!!)|//|;).*$", re.MULTILINE)
# passwd(5), shells(5): what a login starts, whoever reads them.
_LOGIN_SHELLS = ("/etc/passwd", "/etc/shells")
_QUOTES = (b'"', b"'", b"\0")


def namers(situation: Situation) -> Iterator[tuple[str, bytes]]:
    """Yield what was used, and programs and libraries that only a rule keeps, with their content.

    The loader's cache and the package database are left out: they name everything.
    """
    for path in situation.evidence:
        if path == CACHE or path in situation.inventory.database:
            continue
        if path in situation.used or situation.contents.elf(path):
            yield path, situation.contents.data(path, LIMIT)


def find(situation: Situation) -> Iterator[Risk]:
    """Yield what of the image is named."""
    tree = situation.tree
    places: dict[bytes, str | None] = {}
    for path, data in namers(situation):
        found: dict[str, list[bytes]] = {}
        for name in _names(path, data):
            if name not in places:
                places[name] = _place(situation, name)
            if (place := places[name]) is not None:
                found.setdefault(place, []).append(name)
        for place, names in sorted(found.items()):
            made_up = tree[place].type == "directory"
            level = _level(situation, path, data, names, made_up=made_up)
            for package in situation.packages(place):
                yield Risk(package, place, path, level, "named")


def _place(situation: Situation, name: bytes) -> str | None:
    """Return what goes and is meant; a made-up name means the directory, if that goes."""
    tree = situation.tree
    named = tree.canonical(decode_name(name))
    place = named if named in tree else parent(named)
    return place if place in situation.removed else None


def _level(
    situation: Situation, path: str, data: bytes, names: Iterable[bytes], *, made_up: bool
) -> Level:
    is_elf = data.startswith(MAGIC)
    if path in _LOGIN_SHELLS or (is_elf and _is_c_library(situation, path)):
        return "low"
    if not is_elf and b"\0" not in data:
        data = _COMMENT.sub(b"", data)
        if not any(name in data for name in names):
            return "low"
    program = is_elf or path.endswith(_SOURCES) or data.startswith(b"#!")
    whole = path.endswith(".pyc") or any(
        quote + name + quote in data for name in names for quote in _QUOTES
    )
    return "high" if program and whole and not made_up and path in situation.used else "medium"


def _is_c_library(situation: Situation, path: str) -> bool:
    elf = situation.contents.elf(path)
    return elf is not None and is_c_library(elf, path)


def _names(path: str, data: bytes) -> set[bytes]:
    return set(_bytecode_names(data) if path.endswith(".pyc") else _NAME.findall(data))


def _bytecode_names(data: bytes) -> Iterator[bytes]:
    """Marshal writes a string as a type, its length and its bytes (CPython, Python/marshal.c).

    What follows is no separator: only the length says where the name ends.
    """
    for match in _NAME_IN_BYTECODE.finditer(data):
        start = match.start()
        for kind, width in ((b"zZ", 1), (b"aAus", 4)):
            head = start - width - 1
            if head >= 0 and data[head] & 0x7F in kind:
                length = int.from_bytes(data[start - width : start], "little")
                if 1 < length <= len(match[0]):
                    yield match[0][:length]
