"""The utilities of POSIX, where a shell can start them.

POSIX.1-2017, Shell and Utilities, chapter 4, without what the shell itself does, and what is for
developing, editing, printing, mail, terminals and administration. Whoever starts commands through a
shell counts on them, and no package says that it needs them: they are there in every system.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from paredown_minimizer.risks.commands import DIRECTORIES
from paredown_minimizer.risks.situation import Situation
from paredown_schemas.plan import Risk

_SHELL = "/bin/sh"
_UTILITIES = """
awk basename cat chgrp chmod chown cksum cmp comm cp cut date dd df diff dirname du echo env expand
expr false file find fold getconf grep head id join kill ln ls mkdir mkfifo mv nice nl nohup od
paste pathchk printf pwd rm rmdir sed sleep sort split tail tee test time touch tr true tsort
uname unexpand uniq unlink wc xargs zcat
""".split()  # noqa: SIM905 - to be read


def find(situation: Situation, risks: Iterable[Risk]) -> Iterator[Risk]:
    """Yield the utilities that go: medium, if the shell stays, or may be missed by ``risks``."""
    tree = situation.tree
    shell = tree.resolve(_SHELL)
    if shell is None:
        return
    paths = {shell.path, *shell.links}
    missed = any(risk.path in paths and risk.level != "low" for risk in risks)
    if not missed and shell.path not in situation.evidence:
        return
    places = {tree.canonical(f"{place}/{name}") for place in DIRECTORIES for name in _UTILITIES}
    for place in sorted(places & situation.removed):
        yield from situation.risks([place], shell.path, "medium", "utility")
