"""A script's first line, as the kernel reads it (fs/binfmt_script.c)."""

from __future__ import annotations

import dataclasses
import posixpath

from paredown_schemas.names import decode_name

MAGIC = b"#!"
# BINPRM_BUF_SIZE, linux/binfmts.h: what the kernel reads of a file to find out how to start it.
LINE_LIMIT = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Shebang:
    """What starts a script."""

    interpreter: str  # a path, absolute unless the author erred
    command: str | None  # what env is asked to find through PATH


def parse_shebang(head: bytes) -> Shebang | None:
    """Read the beginning of a file; None if it is no script that the kernel would start."""
    if not head.startswith(MAGIC):
        return None
    line = head[len(MAGIC) : LINE_LIMIT].split(b"\n")[0].strip(b" \t\r")
    interpreter, _, argument = line.replace(b"\t", b" ").partition(b" ")
    if not interpreter or b"\0" in interpreter:
        return None
    path = decode_name(interpreter)
    is_env = posixpath.basename(path) == "env"
    return Shebang(path, _env_command(decode_name(argument)) if is_env else None)


def _env_command(argument: str) -> str | None:
    """``env -S -i NAME=VALUE command …``, coreutils' env(1): options and assignments come first."""
    for word in argument.replace("-S", " ", 1).split():
        if not word.startswith("-") and "=" not in word:
            return word
    return None
