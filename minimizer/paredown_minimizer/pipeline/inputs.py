"""What scenarios and tests are made of, as far as their commands name it.

A command's own text says little: what it starts lies in the repository, and a change there has to
be seen, or a step would count as done that was never done so.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from paredown_minimizer.pipeline.state import file_digest


def command_digest(command: str, but: Path) -> str:
    """Return a digest of a line for ``sh -c``, and of the files and directories that it names.

    Those are relative, and below the directory that the commands are run in. Left out are hidden
    files, Python's caches, and what lies around or in ``but``, the evidence.
    """
    digest = hashlib.sha256(command.encode("utf-8", "surrogatepass"))
    for path in _named(command, os.path.normpath(but)):
        content = file_digest(path) or ""
        digest.update(b"\0" + os.fsencode(path) + b"\0" + content.encode())
    return "sha256:" + digest.hexdigest()


def _named(command: str, but: str) -> Iterator[Path]:
    """Yield the files, in an order that is the same everywhere."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        words = command.split()
    for word in words:
        path = os.path.normpath(word)
        outside = os.path.isabs(path) or path.partition(os.sep)[0] in (".", "..")
        if not word or outside or _around(path, but):
            continue
        if os.path.isdir(path):
            yield from _below(path)
        elif os.path.isfile(path):
            yield Path(path)


def _around(path: str, but: str) -> bool:
    return os.path.commonpath([path, but]) in (path, but) if not os.path.isabs(but) else False


def _below(directory: str) -> Iterator[Path]:
    for parent, directories, names in os.walk(directory):
        directories[:] = sorted(
            each for each in directories if each != "__pycache__" and not each.startswith(".")
        )
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and not path.is_symlink() and path.is_file():
                yield path
