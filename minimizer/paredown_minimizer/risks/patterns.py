"""What lies beside files that a run opened by names that no link and no rule knows.

A program that read one module, one time zone or one message of a package from a directory reads
others of it from there on another day: medium. A library that a run loaded though no ELF file needs
it was loaded by dlopen(3), and its neighbours can be: high.
"""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.image.model import parent
from paredown_minimizer.risks.situation import Situation, above, is_library
from paredown_schemas.plan import Level, Risk

_OPENED = frozenset({"read", "library"})

# By package, and whether libraries were opened: the directories, and a program that did it in each.
Opened = dict[tuple[str, bool], dict[str, str]]


def find(situation: Situation) -> Iterator[Risk]:
    """Yield what goes of the same package below where something of it was opened."""
    opened = _opened(situation)
    found: dict[tuple[str, Level], set[str]] = {}
    for (package, library), places in opened.items():
        for path in situation.inventory.owned[package] & situation.removed:
            if is_library(path) == library and situation.is_read(path):
                exe = next((places[place] for place in above(path) if place in places), None)
                if exe is not None and situation.tree[path].type != "directory":
                    found.setdefault((exe, "high" if library else "medium"), set()).add(path)
    for (exe, level), paths in found.items():
        yield from situation.risks(paths, exe, level, "pattern")


def _opened(situation: Situation) -> Opened:
    opened: Opened = {}
    for path, evidence in situation.evidence.items():
        if situation.tree[path].type != "file" or _OPENED.isdisjoint(evidence.how):
            continue
        elf = situation.contents.elf(path)
        if elf is not None and not situation.needed.isdisjoint(
            (elf.soname, path.rpartition("/")[2])
        ):
            continue
        exe = next(iter(evidence.exes), path)
        for package in situation.inventory.owners.get(path, ()):
            opened.setdefault((package, is_library(path)), {}).setdefault(parent(path), exe)
    return opened
