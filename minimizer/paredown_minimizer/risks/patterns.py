"""What lies beside files that a run opened by names that no link and no rule knows.

A program that read one module, one time zone or one message of a package from a directory reads
others of it from there on another day, and who starts a command of a package may start its others:
medium. A library that a run loaded though no ELF file needs
it was loaded by dlopen(3), and its neighbours can be: high.
"""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.image.model import parent
from paredown_minimizer.risks.situation import COMMON, Situation, above, is_library
from paredown_schemas.plan import Level, Risk

_OPENED = frozenset({"read", "library", "exec", "script"})
_COMMANDS = ("/bin", "/sbin")

# By package and kind: the directories, and a program that opened such a file in each.
Opened = dict[tuple[str, str], dict[str, str]]


def find(situation: Situation) -> Iterator[Risk]:
    """Yield what goes of the same package below where something of it was opened."""
    opened = _opened(situation)
    found: dict[tuple[str, Level], set[str]] = {}
    for (package, kind), places in opened.items():
        for path in situation.inventory.owned[package] & situation.removed:
            if _kind(situation, path) == kind and situation.is_read(path):
                exe = next((places[place] for place in above(path) if place in places), None)
                if exe is not None:
                    level: Level = "high" if kind == "library" else "medium"
                    found.setdefault((exe, level), set()).add(path)
    for (exe, level), paths in found.items():
        yield from situation.risks(paths, exe, level, "pattern")


def _opened(situation: Situation) -> Opened:
    opened: Opened = {}
    for path, evidence in situation.evidence.items():
        kind = _kind(situation, path)
        if not kind or _OPENED.isdisjoint(evidence.how):
            continue
        elf = situation.contents.elf(path)
        names = (path.rpartition("/")[2], elf.soname if elf else None)
        if kind == "library" and not situation.needed.isdisjoint(names):
            continue
        exe = next(iter(evidence.exes), path)
        for package in situation.inventory.owners.get(path, ()):
            opened.setdefault((package, kind), {}).setdefault(_tree(path, kind), exe)
    return opened


def _tree(path: str, kind: str) -> str:
    """Return the directory that holds what a path is one of: of data the highest that is theirs."""
    if kind != "data":
        return parent(path)
    own = [directory for directory in above(path) if not COMMON.fullmatch(directory)]
    return own[-1] if own else parent(path)


def _kind(situation: Situation, path: str) -> str:
    entry = situation.tree[path]
    if entry.type == "directory":
        return ""
    if is_library(path):
        return "library"
    return "command" if parent(path).endswith(_COMMANDS) else "data"
