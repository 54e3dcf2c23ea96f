"""Interpreters that go while scripts stay that begin with them.

A script in a directory of commands, or of the application, can be started: medium. Others that a
package merely brings (examples, modules with a first line) are low.
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
                owned = path in situation.inventory.owners
                started = path in situation.used or not owned or parent(path).endswith(_COMMANDS)
                level: Level = "medium" if started else "low"
                yield from situation.risks([resolved.path], path, level, "interpreter")
