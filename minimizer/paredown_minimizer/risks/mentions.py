"""Path strings in the files that a decision rests on: each name of something of the image, and how.

ELF files are taken for what they are, strings in the midst of bytes; .pyc by the lengths that they
give; all others as text.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from paredown_minimizer.elf import MAGIC
from paredown_minimizer.image.model import Tree, parent
from paredown_minimizer.risks.levels import highest
from paredown_schemas.names import decode_name
from paredown_schemas.plan import Level

# Beyond it a file is data, and the time better spent elsewhere.
LIMIT = 64 << 20
# Both begin with what is rare, which the engine finds fast; what stands before is looked at after.
_NAME = re.compile(rb"/[\w.+@~-]+(?:/[\w.+@~-]+)*")
_SONAME_END = re.compile(rb"\.so(?:\.[\w.]{1,40})?\0")
# A name begins at a slash, not in the middle of a relative one or of an URL's.
_INSIDE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+@%~/-")
_SONAME = re.compile(r"[\w.+-]+")
_SONAME_LIMIT = 255
_SOURCES = (
    *(".py", ".pyc", ".rb", ".js", ".mjs", ".cjs", ".php", ".pl", ".pm", ".sh", ".lua", ".tcl"),
    *(".cgi", ".rake"),
)
_COMMENT = re.compile(rb"^[ \t]*(?:#(?!!)|//|;).*$", re.MULTILINE)
_QUOTES = frozenset(b"\"'\0")
_BEFORE = frozenset(b"\"'\0:")


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """One file's content, and whether it is a program's: ELF, a script or a source."""

    path: str
    data: bytes
    is_elf: bool
    is_program: bool

    def names(self) -> dict[bytes, Level]:
        """Return all path strings, each with what it says.

        High, if a program has it as a string of its own, as open(2) and execve(2) would get it: a
        C string, or between quotes. Low, if it stands in comments alone, or in an ELF file amid a
        sentence, and neither begins a string, as in a command line, nor is one of a list of paths.
        """
        if self.path.endswith(".pyc"):
            return dict.fromkeys(_bytecode_names(self.data), "high")
        plain = self.data if self.is_elf else _COMMENT.sub(b"", self.data)
        found: dict[bytes, Level] = {}
        for name, level in self._levels(plain):
            found[name] = highest((level, found.get(name, "low")))
        for name, _ in self._levels(self.data) if not self.is_elf else ():
            found.setdefault(name, "low")
        return found

    def _levels(self, data: bytes) -> Iterator[tuple[bytes, Level]]:
        """Yield names by what stands around them, in one pass: a file may name all that goes."""
        for match in _NAME.finditer(data):
            start, end = match.span()
            before = data[start - 1] if start else 0
            if before in _INSIDE:
                continue
            if self.is_program and before in _QUOTES and data[end : end + 1] == bytes((before,)):
                yield match[0], "high"
            else:
                yield match[0], "low" if self.is_elf and before not in _BEFORE else "medium"

    def sonames(self) -> set[str]:
        """Return the strings that are nothing but a shared object's name."""
        found = set()
        for match in _SONAME_END.finditer(self.data):
            start = self.data.rfind(b"\0", max(0, match.start() - _SONAME_LIMIT), match.start()) + 1
            found.add(decode_name(self.data[start : match.end() - 1]) if start else "")
        return {name for name in found if _SONAME.fullmatch(name)}


def text_of(path: str, data: bytes) -> Text:
    """Return a file's content with what kind it is."""
    is_elf = data.startswith(MAGIC)
    return Text(path, data, is_elf, is_elf or path.endswith(_SOURCES) or data.startswith(b"#!"))


class Places:
    """Finds what names mean in a tree, each once."""

    def __init__(self, tree: Tree, removed: AbstractSet[str]) -> None:
        """Know nothing yet."""
        self._tree = tree
        self._removed = removed
        self._known: dict[bytes, str | None] = {}

    def of(self, name: bytes) -> str | None:
        """Return the path that a name means; None if there is none.

        A made-up name means the directory that it lies in, if that goes; a link to a directory
        means the directory.
        """
        if name not in self._known:
            self._known[name] = self._find(decode_name(name))
        return self._known[name]

    def _find(self, name: str) -> str | None:
        named = self._tree.canonical(name)
        if named not in self._tree:
            return parent(named) if parent(named) in self._removed else None
        if self._tree[named].type == "symlink" and self._tree.leads_to_directory(named):
            resolved = self._tree.resolve(named)
            return resolved.path if resolved else None
        return named


def _bytecode_names(data: bytes) -> Iterator[bytes]:
    """Marshal writes a string as a type, its length and its bytes (CPython, Python/marshal.c).

    What follows is no separator: only the length says where the name ends.
    """
    for match in _NAME.finditer(data):
        start = match.start()
        for kind, width in ((b"zZ", 1), (b"aAus", 4)):
            head = start - width - 1
            if head >= 0 and data[head] & 0x7F in kind:
                length = int.from_bytes(data[start - width : start], "little")
                if 1 < length <= len(match[0]):
                    yield match[0][:length]
