"""Paths and libraries that used files name.

No evidence that something is needed: programs carry the names of much that they never open. But
what a program opens on another day is named somewhere. A directory stands for what goes below it:
programs make names of it and something else, and what imports dlopen(3) loads libraries from it.
What everybody loads or reads, whatever it does (the C library, account tables), says little: low.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from paredown_minimizer.ldcache import CACHE
from paredown_minimizer.risks.levels import at_most, highest
from paredown_minimizer.risks.mentions import LIMIT, Places, Text, text_of
from paredown_minimizer.risks.situation import COMMON, SHARED, Situation, is_library
from paredown_minimizer.rulebook import is_c_library
from paredown_schemas.plan import Level, Risk, RiskReason

# passwd(5), shells(5): what a login starts, whoever reads them.
_LOGIN_SHELLS = ("/etc/passwd", "/etc/shells")
# dlopen(3), and what libtool and GLib make of it.
_LOADS = frozenset({"dlopen", "dlmopen", "lt_dlopen", "lt_dlopenext", "g_module_open"})


@dataclasses.dataclass(frozen=True, slots=True)
class _Mention:
    place: str
    level: Level
    loads: bool  # by what can load libraries by name


def find(situation: Situation) -> Iterator[Risk]:
    """Yield what goes and is named, for each file that names it."""
    namers: dict[_Mention, list[str]] = {}
    for path, mention in _mentions(situation):
        namers.setdefault(mention, []).append(path)
    for mention, paths in namers.items():
        for risk in _risks(situation, mention):
            yield from (dataclasses.replace(risk, named_by=path) for path in paths)


def _risks(situation: Situation, mention: _Mention) -> Iterator[Risk]:
    place, level = mention.place, mention.level
    if situation.tree[place].type != "directory":
        yield from situation.risks([place], "", level, "named")
        return
    files = situation.below(place)
    packages = {package for file in files for package in situation.packages(file)}
    if len(packages) <= SHARED:
        reason: RiskReason = "named" if place in situation.removed else "pattern"
        loaded = {file for file in files if mention.loads and is_library(file)}
        yield from situation.risks(loaded, "", level, "pattern", 2)
        others = [file for file in files if file not in loaded] if files else [place]
        yield from situation.risks(others, "", at_most(level, "medium"), reason, 2)


def _mentions(situation: Situation) -> Iterator[tuple[str, _Mention]]:
    places = Places(situation.tree, situation.removed)
    libraries: dict[str, list[str]] = {}
    for path in filter(is_library, situation.removed):
        libraries.setdefault(path.rpartition("/")[2], []).append(path)
    for text, most in _texts(situation):
        elf = situation.contents.elf(text.path)
        loads = elf is not None and not _LOADS.isdisjoint(elf.imports)
        found: dict[str, list[Level]] = {}
        for name, level in text.names().items():
            place = places.of(name)
            if place is not None and _matters(situation, place):
                found.setdefault(place, []).append(level)
        for place, levels in sorted(found.items()):
            yield text.path, _Mention(place, at_most(highest(levels), most), loads)
        for soname in text.sonames() & libraries.keys() if loads else ():
            if elf is not None and soname not in elf.needed:
                for place in libraries[soname]:
                    yield text.path, _Mention(place, most, loads)


def _matters(situation: Situation, place: str) -> bool:
    if situation.tree[place].type != "directory":
        return place in situation.removed
    if COMMON.fullmatch(place):
        return False
    return place in situation.removed or bool(situation.below(place))


def _texts(situation: Situation) -> Iterator[tuple[Text, Level]]:
    """Yield what can name something, with the highest level that it can give.

    That is what was used, and programs and libraries that only a rule keeps. The loader's cache and
    the package database are left out: they name everything.
    """
    for path in situation.evidence:
        if path == CACHE or path in situation.inventory.database:
            continue
        elf, used = situation.contents.elf(path), path in situation.used
        if not used and elf is None:
            continue
        common = path in _LOGIN_SHELLS or (elf is not None and is_c_library(elf, path))
        level: Level = "low" if common else "high" if used else "medium"
        yield text_of(path, situation.contents.data(path, LIMIT)), level
