"""What an image's configuration names: its entrypoint, command, health check and volumes.

Followed: OCI image specification, "Image Configuration"; Docker image specification 1.2,
"Healthcheck".
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from typing import Any

from paredown_minimizer.facts import Facts
from paredown_minimizer.globs import expand
from paredown_schemas.plan import Evidence


def roots(facts: Facts) -> Iterator[tuple[str, Evidence]]:
    """Yield the paths that the configuration names or finds through PATH, with what names them."""
    settings = facts.contents.image.config.get("config") or {}
    for title, command in _commands(settings):
        for name in _names(facts, title, command):
            for path in _paths(facts, name):
                yield path, Evidence("", "root", None, title)
    for path in _in_volumes(facts, settings.get("Volumes") or {}):
        yield path, Evidence("", "root", None, "volume")


def _in_volumes(facts: Facts, volumes: Iterable[str]) -> Iterator[str]:
    """A volume is filled with what the image has there, and lies elsewhere while one records."""
    tree = facts.contents.image.tree
    for volume in volumes:
        resolved = tree.resolve(volume)
        if resolved is not None and resolved.path != "/":
            yield volume
            yield from expand(tree, f"{glob.escape(resolved.path)}/**")


def _commands(settings: Any) -> Iterator[tuple[str, list[str]]]:
    entrypoint, arguments = _strings(settings.get("Entrypoint")), _strings(settings.get("Cmd"))
    yield "entrypoint", entrypoint
    # What an entrypoint starts in the end: itself, or where it is a script, often these words.
    yield "cmd", arguments
    yield "cmd", entrypoint + arguments if entrypoint else []
    test = _strings((settings.get("Healthcheck") or {}).get("Test"))
    shell = _strings(settings.get("Shell")) or ["/bin/sh", "-c"]
    if test[:1] == ["CMD"]:
        yield "healthcheck", test[1:]
    elif test[:1] == ["CMD-SHELL"]:
        yield "healthcheck", [*shell, *test[1:]]


def _strings(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _names(facts: Facts, title: str, command: list[str]) -> list[str]:
    """The program, arguments that are absolute paths, and what they start: env, sh -c, ..."""
    named = facts.contents.named_by_words(f"the image's {title}", command)
    paths = (word for word in command[1:] if word.startswith("/"))
    return [*dict.fromkeys([*command[:1], *paths, *named.commands])]


def _paths(facts: Facts, name: str) -> list[str]:
    if found := facts.commands(name):
        return found
    resolved = facts.contents.image.tree.resolve(name) if name.startswith("/") else None
    is_file = resolved is not None and facts.contents.image.tree[resolved.path].type == "file"
    return [name] if is_file else []
