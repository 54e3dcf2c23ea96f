"""Commands that used texts name: where a shell expects one, and where a string begins."""

from __future__ import annotations

import re
from collections.abc import Iterator

from paredown_minimizer.risks.situation import Situation
from paredown_schemas.names import decode_name
from paredown_schemas.plan import Risk

# A text that can start programs, and the places in it where a command's name stands.
_STARTS_PROGRAMS = re.compile(
    rb"\A#![^\n]*sh\b|subprocess|\bos\.(system|popen|exec|spawn)|child_process|shell_exec|proc_open"
    rb"|\bOpen3\b|\bIO\.popen|ProcessBuilder|exec\.Command"
)
_COMMAND = re.compile(rb"(?:[\"'`|;&({]|\n|\$\()[ \t]*([a-z][\w.+-]*)(?=[\s\"'`;|&)])")
# Where backticks run a command (Ruby, Perl, PHP): what stands first in them, comments left out.
_WITH_BACKTICKS = (".rb", ".rake", ".pl", ".pm", ".php", ".cgi")
_IN_BACKTICKS = re.compile(rb"^[^#\n`]*`[ \t]*([a-z][\w.+-]*)(?=[\s`;|&])", re.MULTILINE)
_TEXT_LIMIT = 1 << 20
DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def find(situation: Situation) -> Iterator[Risk]:
    """Yield the commands that go and that a used text may start: medium."""
    tree, contents = situation.tree, situation.contents
    for path in sorted(situation.used - situation.inventory.database):
        if tree[path].size > _TEXT_LIMIT or contents.elf(path):
            continue
        names = _commands(path, contents.data(path, _TEXT_LIMIT))
        places = {tree.canonical(f"{place}/{name}") for place in DIRECTORIES for name in names}
        for place in sorted(places & situation.removed):
            for package in situation.packages(place):
                yield Risk(package, place, path, "medium", "command")


def _commands(path: str, data: bytes) -> set[str]:
    if b"\0" in data:
        return set()
    found = _COMMAND.findall(data) if _STARTS_PROGRAMS.search(data) else []
    if path.endswith(_WITH_BACKTICKS):
        found += _IN_BACKTICKS.findall(data)
    return {decode_name(name) for name in found}
