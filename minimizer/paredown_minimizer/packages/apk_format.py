"""The files of apk's database, as text in and text out.

Followed: apk-tools, src/database.c (apk_db_fdb_read, apk_db_triggers_write) and src/package.c
(apk_dep_parse); apk-world(5). A record is lines of a letter, a colon and a value; ``F`` opens a
directory, ``M`` gives its attributes, ``R`` names a file in it, ``a`` and ``Z`` give that file's
attributes and checksum. Text is ``str`` in the memory form of names.py.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from paredown_minimizer.image.model import join
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

# apk-tools, APK_CTYPE_PACKAGE_NAME; virtual packages begin with a dot.
_PACKAGE = re.compile(r"[A-Za-z0-9._+-]+")
# What may follow a name in a dependency: "busybox@edge", "so:libz.so.1>=1.2", "hello><Q1…".
_NAME = re.compile(r"!?([^=<>~@]*)")


class Block(NamedTuple):
    """Lines of a record that belong together: about the package, a directory or a file."""

    kind: str  # "P", "F" or "R", as the line says that begins it
    path: str  # from "/"; of the package nothing
    lines: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One installed package."""

    fields: dict[str, str]  # by letter, those about the package
    blocks: tuple[Block, ...]

    @property
    def key(self) -> str:
        """Return ``name:architecture``."""
        return f"{self.fields['P']}:{self.fields.get('A', '')}"

    @property
    def paths(self) -> Iterator[str]:
        """Return the paths of its directories and files."""
        return (block.path for block in self.blocks if block.kind != "P")

    @property
    def provides(self) -> set[str]:
        """Return its name and those that it provides."""
        return {self.fields["P"], *dependency_names(self.fields.get("p", ""))}


def parse_installed(text: str, name: str) -> list[Record]:
    """Parse an ``installed`` file; ``name`` is for messages.

    Raises:
        ParedownError: a line is no field or belongs to nothing, or a record names no package; with
            file and line.
    """
    records = []
    lines: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line:
            lines.append(line)
        elif lines:
            records.append(_record(lines, name, number - len(lines)))
            lines = []
    return records


def _record(lines: list[str], name: str, first: int) -> Record:
    fields: dict[str, str] = {}
    blocks: list[tuple[str, str, list[str]]] = []
    directory: str | None = None
    about = ""
    for number, line in enumerate(lines, first):
        letter, value = line[0], line[2:]
        if line[1:2] != ":" or not letter.isascii() or not letter.isalpha():
            raise _error(name, f"line {number} is not a field")
        if (letter, about) in (("M", "F"), ("a", "R"), ("Z", "R")):
            blocks[-1][2].append(line)
        elif letter == "F" or (letter == "R" and directory is not None):
            about = letter
            path = join("/" if letter == "F" else directory or "/", value)
            directory = path if letter == "F" else directory
            blocks.append((letter, path, [line]))
        elif letter in "RMaZ":
            raise _error(name, f"line {number} belongs to nothing")
        elif letter == "P" and "P" in fields:
            raise _error(name, f"line {number} names another package in the same record")
        else:
            if about != "P":
                blocks.append(("P", "", []))
            about = "P"
            fields[letter] = value
            blocks[-1][2].append(line)
    if "P" not in fields:
        raise _error(name, f"the record at line {first} names no package")
    if not _PACKAGE.fullmatch(fields["P"]):
        raise _error(name, f"the record at line {first} names what can be no package")
    return Record(fields, tuple(Block(kind, path, tuple(own)) for kind, path, own in blocks))


def _error(name: str, cause: str) -> ParedownError:
    return ParedownError(f"cannot read {escape_name(name)}: {cause}")


def dump_installed(records: list[Record]) -> str:
    """Return the text of an ``installed`` file."""
    return "".join(
        "".join(f"{line}\n" for block in record.blocks for line in block.lines) + "\n"
        for record in records
    )


def keep_paths(record: Record, stays: Callable[[str], bool]) -> Record:
    """Return ``record`` with those paths alone for which ``stays`` is true.

    A directory stays with any file that is listed in it: files are named below it.
    """
    left: list[Block] = []
    inside = False
    for block in reversed(record.blocks):
        if block.kind == "P" or stays(block.path) or (block.kind == "F" and inside):
            left.append(block)
        inside = block.kind != "F" and (inside or (block.kind == "R" and left[-1:] == [block]))
    return dataclasses.replace(record, blocks=tuple(reversed(left)))


def dependency_names(text: str) -> list[str]:
    """Return the names in a list of dependencies, without versions; conflicts are left out."""
    return [dependency_name(word) for word in text.split() if not word.startswith("!")]


def dependency_name(word: str) -> str:
    """Return the name in one dependency, such as ``so:libz.so.1`` in ``so:libz.so.1=1.3``."""
    match = _NAME.match(word)
    return match[1] if match else ""


def checksum(text: str) -> str | None:
    """Return a checksum in one form, however it is written; None if it is none.

    ``Q1`` and base64 in the database, ``X1`` and hexadecimal in names of scripts (apk-tools 3);
    the digit is the algorithm.
    """
    kind, digits = text[:2], text[2:]
    try:
        if kind[:1] == "Q":
            return kind[1:] + base64.b64decode(digits, validate=True).hex()
        if kind[:1] == "X":
            return kind[1:] + bytes.fromhex(digits).hex()
    except (ValueError, binascii.Error):
        pass
    return None
