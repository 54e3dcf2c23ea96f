"""Command lines of container runtimes: recognised, and freed of what must not be recorded."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence

RUNTIMES = ("docker", "podman")

# Global options of docker and podman that take no value; any other one takes the next argument
# (docker(1), podman(1)).
_FLAGS = {
    *("-D", "--debug", "--tls", "--tlsverify"),
    *("-r", "--remote", "--syslog", "--noout", "--transient-store"),
}
# Options of "run" without a value may be written together: -ite NAME=VALUE.
_SHORT_ENVIRONMENT = re.compile(r"-[ditPq]*e(?P<value>.*)", re.DOTALL)
_LONG_ENVIRONMENT = re.compile(r"(?P<option>--env(?:-file)?)(?:=(?P<value>.*))?", re.DOTALL)


def run_position(command: Sequence[str]) -> int | None:
    """Return where the ``run`` of ``docker run`` or ``podman run`` stands in ``command``, or None.

    ``docker container run`` is the same command.
    """
    if not command or os.path.basename(command[0]) not in RUNTIMES:
        return None
    position = 1
    while position < len(command) and command[position].startswith("-"):
        takes_value = command[position] not in _FLAGS and "=" not in command[position]
        position += 2 if takes_value else 1
    if command[position : position + 1] == ["container"]:
        position += 1
    return position if list(command[position : position + 1]) == ["run"] else None


def container_name(options: Sequence[str]) -> str | None:
    """Return what ``--name`` says among the options of a container's start, or None."""
    joined = [word.partition("=")[2] for word in options if word.startswith("--name=")]
    apart = [after for word, after in itertools.pairwise(options) if word == "--name"]
    return next(iter((*joined, *apart)), None)


def redact(command: Sequence[str]) -> tuple[str, ...]:
    """Return ``command`` without the values of environment variables, names kept.

    Traces go into repositories. Covers ``-e``, ``--env`` and ``--env-file`` of a container
    runtime, joined or not, and the assignments of env(1).
    """
    if run_position(command) is not None:
        return tuple(_without_environment(command))
    if command and os.path.basename(command[0]) == "env":
        return tuple(_name_only(word) for word in command)
    return tuple(command)


def _without_environment(command: Sequence[str]) -> Iterator[str]:
    words = iter(command)
    for word in words:
        yield _redact_word(word)
        if word == "--env-file":
            next(words, None)
        elif _takes_environment(word) and (value := next(words, None)) is not None:
            yield _name_only(value)


def _takes_environment(word: str) -> bool:
    short = _SHORT_ENVIRONMENT.fullmatch(word)
    return word == "--env" or (short is not None and not short["value"])


def _redact_word(word: str) -> str:
    if long := _LONG_ENVIRONMENT.fullmatch(word):
        keeps_name = long["value"] is not None and long["option"] == "--env"
        return f"--env={_name_only(long['value'])}" if keeps_name else long["option"]
    if short := _SHORT_ENVIRONMENT.fullmatch(word):
        # The library that docker parses with takes -e=NAME=VALUE too.
        return word[: short.start("value")] + _name_only(short["value"].removeprefix("="))
    return word


def _name_only(assignment: str) -> str:
    return assignment.partition("=")[0]
