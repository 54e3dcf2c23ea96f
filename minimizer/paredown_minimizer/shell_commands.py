"""The commands that a shell script names, whether or not a run took the branch they stand in.

Read with tree-sitter's grammar of bash, which takes POSIX shell too and goes on after errors
(Shell Command Language, POSIX.1-2017 XCU 2; bash(1)). Only what is written out counts: a name that
is computed is not guessed.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from paredown_minimizer.shell_words import BUILTINS, FIND_STARTS, SHELLS, WRAPPERS, Wrapper
from paredown_schemas.names import decode_name, encode_name

if TYPE_CHECKING:
    from tree_sitter import Node

_DEPTH = 8  # of a command in another: env, eval, sh -c


@dataclasses.dataclass(frozen=True, slots=True)
class Named:
    """What a script names, sorted: commands as given to PATH, files that are read as scripts."""

    commands: tuple[str, ...] = ()
    sourced: tuple[str, ...] = ()


_Words = Sequence["str | None"]  # None is a word that is computed


def is_shell(interpreter: str, command: str | None = None) -> bool:
    """Say whether a program is a shell, or env that is told to start one."""
    name = posixpath.basename(command or interpreter)
    return name in SHELLS or (name == "busybox" and command is None)


def named_by_script(text: bytes) -> Named:
    """Return what a script names; hostile text ends the process, see shell_reader.py."""
    found = _Found(None)
    found.text(text, 0)
    return found.named()


def named_by_words(words: Sequence[str], read: Callable[[bytes], Named]) -> Named:
    """Return what a command line names that a program starts, as an image's configuration has it.

    What it hands to a shell as text is read by ``read``.
    """
    found = _Found(read)
    found.words(words, 0, started=True)
    return found.named()


class _Found:
    """Collects what is named; ``read`` reads text of a shell, where this process shall not."""

    def __init__(self, read: Callable[[bytes], Named] | None) -> None:
        self._read = read
        self._commands: set[str] = set()
        self._sourced: set[str] = set()
        self._functions: set[str] = set()

    def named(self) -> Named:
        return Named(tuple(sorted(self._commands - self._functions)), tuple(sorted(self._sourced)))

    def text(self, text: bytes, depth: int) -> None:
        for node in _nodes(text):
            name = node.child_by_field_name("name")
            if name is None:
                continue
            if node.type == "command":
                # Arguments alone: redirections are none, and neither are assignments.
                words = [name, *node.children_by_field_name("argument")]
                self.words([_literal(word, text) for word in words], depth)
            elif node.type == "function_definition":
                self._functions.add(_literal(name, text) or "")

    def words(self, words: _Words, depth: int, *, started: bool = False) -> None:
        """Take a command line; ``started`` by a program, which knows no builtins."""
        name = words[0] if words else None
        if not name or depth > _DEPTH:
            return
        rest = words[1:]
        if started or name not in BUILTINS:
            self._commands.add(name)
        base = posixpath.basename(name)
        if name in (".", "source") and rest and rest[0]:
            self._sourced.add(rest[0])
        elif name == "eval" and None not in rest:
            self._nested(" ".join(filter(None, rest)), depth)
        elif name == "trap" and len(rest) > 1 and rest[0] not in (None, "-", "--"):
            self._nested(rest[0], depth)
        elif base in SHELLS:
            self._shell(rest, depth)
        elif base == "find":
            for index, word in enumerate(rest):
                if word in FIND_STARTS:
                    self.words(rest[index + 1 :], depth + 1, started=True)
        elif base in WRAPPERS:
            self._wrapped(name, WRAPPERS[base], rest, depth)

    def _shell(self, words: _Words, depth: int) -> None:
        """``sh -ec 'text'``, ``sh script``."""
        for index, word in enumerate(words):
            if word is None:
                return
            if not word.startswith(("-", "+")):
                self._sourced.add(word)
                return
            if word.startswith("-") and not word.startswith("--") and "c" in word:
                text = next((w for w in words[index + 1 :] if w is None or w[:1] != "-"), None)
                self._nested(text, depth)
                return

    def _wrapped(self, name: str, wrapper: Wrapper, words: _Words, depth: int) -> None:
        if name == "command" and any(word in ("-v", "-V") for word in words[:1]):
            return  # asks whether there is one, and starts none
        pending = list(words)
        operands = wrapper.operands
        while pending:
            word = pending.pop(0)
            if word is not None and word.startswith("-") and len(word) > 1:
                if self._option(wrapper, word, pending, depth):
                    pending[:1] = []
            elif wrapper.assigns and word is not None and "=" in word:
                continue
            elif operands:
                operands -= 1
            else:
                started = name not in ("command", "time")
                self.words([word, *pending], depth + 1, started=started)
                return

    def _option(self, wrapper: Wrapper, word: str, after: _Words, depth: int) -> bool:
        """Say whether the next word is an option's value; follow it where it is a shell's text."""
        if word.startswith("--"):
            return word[2:] in wrapper.long_values
        if wrapper.text and word.endswith(wrapper.text):
            self._nested(after[0] if after else None, depth)
            return True
        return word[-1] in wrapper.values

    def _nested(self, text: str | None, depth: int) -> None:
        if not text or depth >= _DEPTH:
            return
        if self._read is None:
            self.text(encode_name(text), depth + 1)
        else:
            # JSON may hold halves of characters, which are no bytes of a name.
            named = self._read(text.encode("utf-8", "replace"))
            self._commands.update(named.commands)
            self._sourced.update(named.sourced)


def _nodes(text: bytes) -> Iterator[Node]:
    """Yield every node of a script, those above before those below."""
    import tree_sitter_bash  # noqa: PLC0415 - late, as only scripts need it
    from tree_sitter import Language, Parser  # noqa: PLC0415

    cursor = Parser(Language(tree_sitter_bash.language())).parse(text).walk()
    while cursor.node is not None:
        yield cursor.node
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def _literal(node: Node, text: bytes) -> str | None:
    """Return what a word is after quote removal; None if something in it is computed."""
    pieces: list[str] = []
    pending = [node]
    while pending:
        each = pending.pop()
        own = text[each.start_byte : each.end_byte]
        if each.type in ("command_name", "concatenation"):
            pending += reversed(each.children)
        elif each.type in ("word", "number"):
            pieces.append(_unquoted(own, b""))
        elif each.type == "raw_string":
            pieces.append(decode_name(own[1:-1]))
        elif each.type == "string" and all(
            c.type in ('"', "string_content") for c in each.children
        ):
            pieces.append(_unquoted(own[1:-1], b'$`"\\\n'))
        else:
            return None
    return "".join(pieces)


def _unquoted(text: bytes, escaped: bytes) -> str:
    """Remove backslashes before any byte, or before those of ``escaped``; and continued lines."""
    result = bytearray()
    position = 0
    while position < len(text):
        byte = text[position : position + 1]
        after = text[position + 1 : position + 2]
        if byte == b"\\" and after and (not escaped or after in escaped):
            result += b"" if after == b"\n" else after
            position += 2
        else:
            result += byte
            position += 1
    return decode_name(bytes(result))
