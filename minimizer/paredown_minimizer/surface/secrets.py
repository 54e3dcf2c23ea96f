"""What looks like a secret: by name and place, never by value.

Nothing here returns, raises or logs a part of what was matched: of a match, the rule's name and the
line are all that leaves this module.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from paredown_minimizer.contents import Contents
from paredown_minimizer.data import read_data
from paredown_minimizer.image.model import Image
from paredown_minimizer.packages.base import Inventory

# Longer files are data, and all together are bounded too: an image may hold millions.
_FILE_LIMIT = 1 << 20
_TOTAL_LIMIT = 1 << 28
_KEY_LIMIT = 1 << 16
# As git and grep tell text from the rest: no NUL near the beginning.
_LOOK = 8000
_TOLD = 3
_HISTORY_LIMIT = 1 << 16
# NAME=value and NAME="value" of a step of the history: ENV, ARG, build arguments, shell variables.
_ASSIGNMENT = re.compile(r"""\b([A-Za-z_]\w{0,99})=("[^"]*"|'[^']*'|[^\s"']*)""")


@dataclasses.dataclass(frozen=True)
class _Rule:
    name: str
    keywords: tuple[bytes, ...]
    pattern: re.Pattern[bytes]

    def line(self, data: bytes) -> int | None:
        """Return in which line ``data`` first matches."""
        if not any(keyword in data for keyword in self.keywords):
            return None
        match = self.pattern.search(data)
        return data.count(b"\n", 0, match.start()) + 1 if match else None


@dataclasses.dataclass(frozen=True)
class _Rules:
    private_keys: tuple[_Rule, ...]
    tokens: tuple[_Rule, ...]
    settings: tuple[_Rule, ...]
    settings_files: re.Pattern[str]
    files: Sequence[tuple[re.Pattern[str], str]]
    key_files: re.Pattern[str]
    variables: re.Pattern[str]
    no_variables: re.Pattern[str]


def find_in_files(contents: Contents, inventory: Inventory) -> dict[str, str]:
    """Return the paths whose name or content looks like a secret, with the rules' names and lines.

    Packages' files are looked into for private keys alone, where they are called so: what else
    they have is theirs, and everybody's.
    """
    image, rules = contents.image, _rules()
    found: dict[str, list[str]] = {}
    limits: dict[str, int] = {}
    for path, entry in image.tree.items():
        if entry.type != "file" or not entry.size or path in inventory.database:
            continue
        name = path.rpartition("/")[2]
        if path in inventory.owners:
            if entry.size <= _KEY_LIMIT and rules.key_files.match(name):
                limits[path] = _KEY_LIMIT
            continue
        by_name = next((kind for pattern, kind in rules.files if pattern.match(path)), None)
        if by_name:
            found[path] = [f"{by_name}, by its name"]
        if entry.size <= _FILE_LIMIT:
            limits[path] = _FILE_LIMIT
    for path, told in _in_contents(contents, limits, inventory):
        found.setdefault(path, []).extend(told)
    return {path: "; ".join(told[:_TOLD]) for path, told in found.items()}


def _in_contents(
    contents: Contents, paths: Mapping[str, int], inventory: Inventory
) -> Iterator[tuple[str, list[str]]]:
    rules, left = _rules(), _TOTAL_LIMIT
    for number, path in enumerate(contents.image.reading_order(paths)):
        left -= contents.image.tree[path].size
        if left < 0:
            contents.warnings.append(
                f"{len(paths) - number:,} files were not looked into for secrets: too many"
            )
            return
        data = contents.data(path, paths[path])
        if b"\0" in data[:_LOOK]:
            continue
        wanted = rules.private_keys
        if path not in inventory.owners:
            wanted += rules.tokens
            if rules.settings_files.match(path.rpartition("/")[2]):
                wanted += rules.settings
        if told := _lines(wanted, data):
            yield path, told


def _lines(rules: Sequence[_Rule], data: bytes) -> list[str]:
    found = ((rule.line(data), rule.name) for rule in rules)
    return [f"{name}, line {line}" for line, name in sorted((n, s) for n, s in found if n)]


def find_in_configuration(image: Image) -> dict[str, str]:
    """Return the names of variables and build arguments that look like secrets, with where."""
    found: dict[str, str] = {}
    for line in (image.config.get("config") or {}).get("Env") or ():
        name, _, value = line.partition("=")
        if value and (why := _of_variable(name, value)):
            found[name] = f"environment: {why}"
    for number, text in enumerate(_history(image)):
        for name, value in _assignments(text):
            if value and name not in found and (why := _of_variable(name, value)):
                found[name] = f"history, step {number}: {why}"
        for told in _lines(_tokens(), _raw(text)):
            found.setdefault(f"history, step {number}", told.rpartition(",")[0])
    return found


def without_secrets(text: str) -> str:
    """Return a step of an image's history, cut short, without values that look like secrets."""

    def blank(match: re.Match[str]) -> str:
        name, value = match[1], match[2].strip("\"'")
        return f"{name}=***" if value and _of_variable(name, value) else match[0]

    text = _ASSIGNMENT.sub(blank, text[:_HISTORY_LIMIT])
    raw = _raw(text)
    for rule in _tokens():
        raw = rule.pattern.sub(b"***", raw)
    return raw.decode("utf-8", "surrogatepass")


def _raw(text: str) -> bytes:
    # JSON may hold halves of characters, which are no bytes of a name.
    return text.encode("utf-8", "surrogatepass")


def _history(image: Image) -> Iterator[str]:
    for step in image.config.get("history") or ():
        text = step.get("created_by") if isinstance(step, dict) else None
        yield text[:_HISTORY_LIMIT] if isinstance(text, str) else ""


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    return ((match[1], match[2].strip("\"'")) for match in _ASSIGNMENT.finditer(text))


def _of_variable(name: str, value: str) -> str | None:
    """Say why a variable looks like a secret: its name, or its value's format."""
    rules = _rules()
    if rules.variables.search(name) and not rules.no_variables.search(name):
        return "by its name"
    told = _lines(_tokens(), _raw(value))
    return told[0].rpartition(",")[0] if told else None


def _tokens() -> tuple[_Rule, ...]:
    return _rules().private_keys + _rules().tokens


@functools.cache
def _rules() -> _Rules:
    data = read_data("surface", "secrets.yaml")
    return _Rules(
        private_keys=_content(data["private_keys"]),
        tokens=_content(data["tokens"]),
        settings=_content(data["settings"]),
        settings_files=_any_name(data["settings_files"]),
        files=[
            (re.compile(rf"(?s:.*)/(?:{_globs(patterns)})"), kind)
            for kind, patterns in data["files"].items()
        ],
        key_files=_any_name(data["key_files"]),
        variables=re.compile(data["variables"]),
        no_variables=re.compile(data["no_variables"]),
    )


def _content(rules: Mapping[str, Any]) -> tuple[_Rule, ...]:
    return tuple(
        _Rule(
            name,
            tuple(keyword.encode() for keyword in rule["keywords"]),
            re.compile(rule["pattern"].encode(), re.MULTILINE),
        )
        for name, rule in rules.items()
    )


def _any_name(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile(_globs(patterns))


def _globs(patterns: Sequence[str]) -> str:
    return "|".join(map(fnmatch.translate, patterns))
