"""Path strings in used files that name something that goes, and commands that scripts name.

No evidence that it is needed: programs carry the names of much that they never open. But what a
program opens on another day is named somewhere, so each is reported, with the package that goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer.contents import Contents
from paredown_minimizer.image.model import parent
from paredown_minimizer.ldcache import CACHE
from paredown_minimizer.packages.base import Inventory
from paredown_schemas.names import decode_name
from paredown_schemas.plan import Evidence, Risk

# Beyond it a file is data, and the time better spent elsewhere.
_LIMIT = 64 << 20
_NAMING = {"traced", "root", "pinned", "linked", "interpreter"}
# A name that begins at a slash, not in the middle of a relative one or of an URL's.
_NAME = re.compile(rb"(?<![\w.+@%~/-])/[\w.+@~-]+(?:/[\w.+@~-]+)*")
_NAME_IN_BYTECODE = re.compile(rb"/[\w.+@~-]+(?:/[\w.+@~-]+)*")
# A text that can start programs, and the places in it where a command's name stands: where a shell
# expects one, and where a string begins.
_STARTS_PROGRAMS = re.compile(
    rb"\A#![^\n]*sh\b|subprocess|\bos\.(system|popen|exec|spawn)|child_process|shell_exec|proc_open"
    rb"|\bOpen3\b|\bIO\.popen|ProcessBuilder|exec\.Command"
)
_COMMAND = re.compile(rb"(?:[\"'`|;&({]|\n|\$\()[ \t]*([a-z][\w.+-]*)(?=[\s\"'`;|&)])")
# Where backticks run a command (Ruby, Perl, PHP): what stands first in them, comments left out.
_WITH_BACKTICKS = (".rb", ".rake", ".pl", ".pm", ".php", ".cgi")
_IN_BACKTICKS = re.compile(rb"^[^#\n`]*`[ \t]*([a-z][\w.+-]*)(?=[\s`;|&])", re.MULTILINE)
_TEXT_LIMIT = 1 << 20
_DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# A directory that more packages than this list names none of them.
_SHARED = 3


def find_risks(
    contents: Contents,
    inventory: Inventory,
    evidence: Mapping[str, Evidence],
    removed: AbstractSet[str],
) -> tuple[Risk, ...]:
    """Return what used files name of the ``removed`` paths, sorted.

    ``evidence`` is of the primary closure. The loader's cache and the package database are left
    out: they name everything.
    """
    tree = contents.image.tree
    risks: set[tuple[str, str, str]] = set()
    for path, reason in sorted(evidence.items()):
        if path == CACHE or path in inventory.database or reason.kind not in _NAMING:
            continue
        data = contents.data(path, _LIMIT)
        hits = {tree.canonical(name) for name in _commands(path, data)} & removed
        for name in _names(path, data):
            named = tree.canonical(name)
            # A made-up name in a directory that goes still names the directory.
            hits |= {named if named in tree else parent(named)} & removed
        for hit in hits:
            risks.update((package, hit, path) for package in _packages(inventory, hit))
    return tuple(Risk(package or None, path, by) for package, path, by in sorted(risks))


def _commands(path: str, data: bytes) -> set[str]:
    """Return where the commands that a text may start could lie."""
    if len(data) > _TEXT_LIMIT or b"\0" in data:
        return set()
    found = _COMMAND.findall(data) if _STARTS_PROGRAMS.search(data) else []
    if path.endswith(_WITH_BACKTICKS):
        found += _IN_BACKTICKS.findall(data)
    names = {decode_name(name) for name in found}
    return {f"{directory}/{name}" for directory in _DIRECTORIES for name in names}


def _packages(inventory: Inventory, path: str) -> Iterable[str]:
    owners = inventory.owners.get(path)
    if owners:
        return owners if len(owners) <= _SHARED else ()
    sources = inventory.derived.get(path, frozenset())
    packages = {source for source in sources if not source.startswith("/")}
    for source in sources - packages:
        packages |= inventory.owners.get(source, frozenset())
    return packages or ("",)


def _names(path: str, data: bytes) -> set[str]:
    if path.endswith(".pyc"):
        found: Iterable[bytes] = _bytecode_names(data)
    else:
        found = _NAME.findall(data)
    return {decode_name(name) for name in set(found)}


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
