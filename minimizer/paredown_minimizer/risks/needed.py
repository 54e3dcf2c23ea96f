"""What other risks would need: if one of them is missed, so are these, at its level.

The same closure that decides what stays is grown further, from what may be missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from paredown_minimizer.closure import Reach
from paredown_minimizer.risks.levels import RANK, Levels
from paredown_minimizer.risks.situation import Situation, is_library
from paredown_schemas.plan import Evidence, Level, Risk

_LEVELS: tuple[Level, ...] = ("high", "medium")


def find(situation: Situation, risks: Iterable[Risk]) -> Iterator[Risk]:
    """Yield what ``risks`` need and is none of them, nor of a higher level."""
    known = list(risks)
    levels = Levels(known)
    closure = situation.settled.closure.fork()
    for level in _LEVELS:
        for path in sorted({p for r in known if r.level == level for p in _started(situation, r)}):
            closure.hold(path, Reach.PRIMARY, Evidence("", "linked"))
        before = closure.evidence.keys() & situation.removed
        closure.run()
        needed: dict[str, list[str]] = {}
        for path in (closure.evidence.keys() & situation.removed) - before:
            told = all(
                RANK[levels.of_path(path, package)] <= RANK[level]
                for package in situation.packages(path)
            )
            if closure.reach[path] == Reach.PRIMARY and situation.is_read(path) and not told:
                needed.setdefault(closure.chain(path)[-1].path, []).append(path)
        for origin in sorted(needed):
            yield from situation.risks(needed[origin], origin, level, "needed")


def _started(situation: Situation, risk: Risk) -> Iterator[str]:
    """Yield the programs and libraries among what a risk speaks of.

    Not the scripts that merely lie beside something: an interpreter brings its whole library.
    """
    for path in [risk.path, *situation.below(risk.path)] if risk.path else ():
        own = risk.package in situation.packages(path)
        resolved = situation.tree.resolve(path) if own else None
        if resolved is None or situation.tree[resolved.path].type != "file":
            continue
        starts = is_library(path) or situation.tree[resolved.path].mode & 0o111
        if starts and (risk.reason != "pattern" or situation.contents.elf(resolved.path)):
            yield path
