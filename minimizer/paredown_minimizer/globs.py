"""Path patterns of rules and policies.

``*``, ``?`` and ``[...]`` match within one component, ``**`` as a whole component any number of
them. A rule's pattern has placeholders besides: ``{name}`` stands for a part of one component,
``{**name}`` for any number of components.
"""

from __future__ import annotations

import fnmatch
import functools
import glob
import re
from collections.abc import Iterator, Mapping, Sequence

from paredown_minimizer.image.model import Tree, join

_MAGIC = re.compile(r"[*?[]")
_TOKEN = re.compile(r"\{(?P<deep>\*\*)?(?P<name>[a-z_]+)\}|(?P<any>\*\*)|(?P<star>\*)|(?P<one>\?)")


def expand(tree: Tree, pattern: str) -> list[str]:
    """Return the paths of ``tree`` that ``pattern`` names, in the tree's order.

    Directories on the way may be links, as they may be for a program; ``**`` itself follows none.
    What it finds are paths that are not directories, unless the last component is a plain name.
    """
    components = [component for component in pattern.split("/") if component]
    return list(dict.fromkeys(_expand(tree, "/", components)))


def names(pattern: str, path: str) -> bool:
    """Say whether ``expand`` would find ``path`` by ``pattern`` where there are no links."""
    parts = [part for part in path.split("/") if part]
    ends = {0}  # how many parts what was looked at of the pattern may have named
    for component in filter(None, pattern.split("/")):
        if component == "**":
            ends = set(range(min(ends), len(parts) + 1)) if ends else ends
        else:
            left = (n for n in ends if n < len(parts))
            ends = {n + 1 for n in left if fnmatch.fnmatchcase(parts[n], component)}
    return len(parts) in ends


def _expand(tree: Tree, here: str, components: list[str]) -> Iterator[str]:
    if not components:
        yield here
        return
    first, rest = components[0], components[1:]
    if first == "**":
        for path in _below(tree, here):
            if not rest and tree[path].type != "directory":
                yield path
            elif rest and tree[path].type == "directory":
                yield from _expand(tree, path, rest)
        if rest:
            yield from _expand(tree, here, rest)
        return
    for path in _step(tree, here, first):
        if not rest:
            yield path
        elif (resolved := tree.resolve(path)) and tree[resolved.path].type == "directory":
            # The name is kept as it was spelt, so that the links on the way stay too.
            yield from _spell(path, resolved.path, _expand(tree, resolved.path, rest))


def _spell(named: str, resolved: str, found: Iterator[str]) -> Iterator[str]:
    for path in found:
        yield named + path[len(resolved) :] if path.startswith(resolved + "/") else path


def _step(tree: Tree, here: str, component: str) -> list[str]:
    if not _MAGIC.search(component):
        path = join(here, component)
        return [path] if path in tree else []
    matches = re.compile(fnmatch.translate(component)).match
    return [path for path in tree.children.get(here, []) if matches(path.rpartition("/")[2])]


def _below(tree: Tree, directory: str) -> Iterator[str]:
    pending = tree.children.get(directory, [])[::-1]  # no recursion: trees may be deep
    while pending:
        path = pending.pop()
        yield path
        pending += tree.children.get(path, [])[::-1]


@functools.lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern with placeholders, to ``fullmatch`` paths."""
    parts: list[str] = []
    end = 0
    for token in _TOKEN.finditer(pattern):
        parts.append(re.escape(pattern[end : token.start()]))
        end = token.end()
        if token["name"]:
            parts.append(f"(?P<{token['name']}>{'.*?' if token['deep'] else '[^/]+?'})")
        else:
            parts.append(".*" if token["any"] else "[^/]*" if token["star"] else "[^/]")
    parts.append(re.escape(pattern[end:]))
    return re.compile("".join(parts), re.DOTALL)


def any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    """Return what matches as one of ``patterns`` does; of none, nothing."""
    return re.compile(
        "|".join(f"(?:{compile_pattern(pattern).pattern})" for pattern in patterns) or "(?!)",
        re.DOTALL,
    )


def placeholders(pattern: str) -> list[str]:
    """Return the placeholders' names."""
    return [token["name"] for token in _TOKEN.finditer(pattern) if token["name"]]


def fill(pattern: str, values: Mapping[str, str]) -> str:
    """Return ``pattern`` with each placeholder replaced; a value matches itself alone."""
    return _TOKEN.sub(
        lambda token: glob.escape(values[token["name"]]) if token["name"] else token[0], pattern
    )
