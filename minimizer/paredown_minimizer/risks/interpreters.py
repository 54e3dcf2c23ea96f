"""Interpreters that go while scripts stay that begin with them.

A script of the application can be started, and so can a command of a package of which a run started
another: medium. Others that a package merely brings are low.
"""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.facts import Facts
from paredown_minimizer.image.model import parent
from paredown_minimizer.risks.situation import Situation
from paredown_schemas.plan import Level, Risk

_COMMANDS = ("/bin", "/sbin")


def find(situation: Situation) -> Iterator[Risk]:
    """Yield the interpreters."""
    tree, facts = situation.tree, Facts(situation.contents)
    for path in sorted(situation.settled.kept):
        entry = tree[path]
        if entry.type != "file" or not entry.mode & 0o111:
            continue
        if path in situation.inventory.database:
            continue
        shebang = situation.contents.shebang(path)
        if shebang is None:
            continue
        names = [shebang.interpreter, *(facts.commands(shebang.command) if shebang.command else ())]
        for name in names:
            resolved = tree.resolve(name)
            if resolved is not None and resolved.path in situation.removed:
                level = _level(situation, path)
                yield from situation.risks([resolved.path], path, level, "interpreter")


def _level(situation: Situation, script: str) -> Level:
    owners = situation.inventory.owners.get(script, frozenset())
    command = parent(script).endswith(_COMMANDS) and not owners.isdisjoint(situation.started)
    return "medium" if command or not owners or script in situation.used else "low"
