"""policy.yaml, version 1: read, and every mistake told with its line and JSON path.

The schema is policy-1.schema.json; docs/decisions.md shows a whole file.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import importlib.resources
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from paredown_minimizer.globs import compile_pattern
from paredown_minimizer.policy import (
    Gate,
    HandOver,
    PackageGranularity,
    Pin,
    Place,
    Policy,
    UnlessUsed,
    Unused,
)
from paredown_minimizer.rulebook import Rule, parse_rule
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

_SCHEMAS = importlib.resources.files("paredown_schemas")
_LIMIT = 1 << 20
_DIGITS = 100
_UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A policy's text, with where in it everything stands."""

    data: dict[str, Any]
    node: Any  # yaml's, of the whole
    what: str  # begins the messages

    def entries(self, name: str) -> Iterator[tuple[dict[str, Any], Place]]:
        """Yield the entries of a list, each with its place."""
        for number, entry in enumerate(self.data.get(name) or ()):
            yield entry, self.place(name, number)

    def error(self, message: str, *steps: str | int) -> ParedownError:
        """Return the error that says where in the file something is wrong."""
        place = self.place(*steps)
        return ParedownError(f"{self.what}: line {place.line}: {place.path} {message}")

    def place(self, *steps: str | int) -> Place:
        """Return where that stands which ``steps`` lead to, or the line of its nearest parent."""
        path = "$" + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps)
        return Place(line_of(self.node, steps), path)


def read_policy(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        ParedownError: unreadable, not YAML or not a policy; with line and JSON path.
    """
    what = f"cannot read policy {escape_name(str(path))}"
    return parse_policy(read_text(path, what), what)


def read_text(path: Path, what: str) -> str:
    """Return a policy's text with its line ends; raises as ``read_policy`` does."""
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParedownError(f"{what}: not UTF-8") from error
    except OSError as error:
        raise ParedownError(f"{what}: {error.strerror}") from error


def parse_policy(text: str, what: str = "cannot read policy") -> Policy:
    """Read a policy's text; ``what`` begins the messages. Raises as ``read_policy`` does."""
    document = parse_document(text, what)
    return Policy(
        pins=tuple(_pins(document)),
        granularities=tuple(
            PackageGranularity(e["package"], e["granularity"], e["reason"], place=place)
            for e, place in document.entries("granularity")
        ),
        language_packages=_hand_overs(document, "language_packages"),
        unowned=_hand_overs(document, "unowned"),
        leave_out=tuple(
            Unused(e.get("session"), e.get("exe"), e.get("scenario"), e["reason"], place=place)
            for e, place in document.entries("leave_out")
        ),
        rules=tuple(_rules(document)),
        unless_used=tuple(
            UnlessUsed(e["what"], e["reason"], place=place)
            for e, place in document.entries("remove_unless_used")
        ),
        gates=tuple(_gates(document)),
    )


def parse_document(text: str, what: str) -> Document:
    """Return a policy's text as data that the schema takes; raises as ``read_policy`` does."""
    import yaml  # noqa: PLC0415 - 30 ms, for those who have a policy

    if len(text) > _LIMIT:
        raise ParedownError(f"{what}: longer than {_LIMIT} characters")
    try:
        node = yaml.compose(text, Loader=_loader())
        _refuse_bombs(node)
        data = yaml.load(text, Loader=_loader())  # noqa: S506 - a safe one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        cause = escape_name(" ".join(str(error).split()))
        raise ParedownError(f"{what}: not YAML: {cause}") from error
    _validate(data, node, what)
    return Document(data, node, what)


def _pins(document: Document) -> Iterator[Pin]:
    for number, (entry, place) in enumerate(document.entries("pins")):
        action: Literal["keep", "remove"] = "keep" if "keep" in entry else "remove"
        expires = entry.get("expires")
        try:
            dt.date.fromisoformat(expires or "2000-01-01")
        except ValueError as error:
            message = f"must be a date that there is: {error}"
            raise document.error(message, "pins", number, "expires") from error
        yield Pin(action, entry[action], entry["reason"], expires, place=place)


def _hand_overs(document: Document, name: str) -> tuple[HandOver, ...]:
    return tuple(
        HandOver(entry.get("manager"), entry.get("path"), entry["reason"], place=place)
        for entry, place in document.entries(name)
    )


def _rules(document: Document) -> Iterator[Rule]:
    names: set[str] = set()
    for number, (entry, _) in enumerate(document.entries("rules")):
        if entry["name"] in names:
            raise document.error("is there twice", "rules", number, "name")
        names.add(entry["name"])
        try:
            rule = parse_rule("policy", entry)
            for pattern in rule.paths:
                compile_pattern(pattern)
        except (KeyError, re.error) as error:
            raise document.error(f"cannot be: {error.args[0]}", "rules", number) from error
        yield rule


def _gates(document: Document) -> Iterator[Gate]:
    gates: dict[str, Any] = document.data.get("gates") or {}
    for rule, value in gates.items():
        if rule == "forbid":
            for number, kind in enumerate(value):
                yield Gate(rule, 0, kind, place=document.place("gates", rule, number))
        elif isinstance(value, dict):
            for level, bound in value.items():
                yield Gate(rule, bound, level, place=document.place("gates", rule, level))
        else:
            place = document.place("gates", rule)
            yield Gate(rule, _bound(value), place=place)


def _bound(value: str | float) -> float:
    if not isinstance(value, str):
        return value
    if value == "forbid":
        return 0
    unit = value.lstrip("0123456789. ")
    return round(float(value.removesuffix(unit)) * _UNITS[unit])


@functools.cache
def _loader() -> Any:
    """Return a safe loader that leaves dates what they are in the file: texts."""
    import yaml  # noqa: PLC0415

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML has it
            first: [each for each in resolvers if not each[0].endswith(":timestamp")]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    return Loader


def _refuse_bombs(root: Any) -> None:
    """Refuse what a few lines of YAML 1.1 unfold to without measure: merge keys, base 60, infinity.

    And keys that are there twice: a reviewer may read the first, and a parser takes the last.
    """
    seen: set[int] = set()
    pending = [root] if root is not None else []
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        line = f"line {node.start_mark.line + 1}"
        if node.tag.endswith(":merge"):
            raise ValueError(f"{line}: merge keys (<<) are not taken")
        if node.tag.endswith((":int", ":float")) and len(node.value) > _DIGITS:
            raise ValueError(f"{line}: a number of more than {_DIGITS} digits")
        if node.tag.endswith(":float") and node.value.lower().endswith(("inf", "nan")):
            raise ValueError(f"{line}: {node.value} is no number")
        if isinstance(node.value, list):
            keys: set[str] = set()
            for item in node.value:
                pending += item if isinstance(item, tuple) else [item]
                if isinstance(item, tuple) and isinstance(item[0].value, str):
                    key = item[0].value
                    if key in keys:
                        again = item[0].start_mark.line + 1
                        raise ValueError(f"line {again}: the key {key} is there twice")
                    keys.add(key)


@functools.cache
def _validator() -> Callable[[Any], Any]:
    import fastjsonschema  # noqa: PLC0415

    schema = json.loads((_SCHEMAS / "policy-1.schema.json").read_text("utf-8"))
    validate: Callable[[Any], Any] = fastjsonschema.compile(schema, handlers={"https": _referred})
    return validate


def _referred(uri: str) -> Any:
    """Return the schema of rules, which the policy's own share with the knowledge base."""
    name = uri.rpartition("/")[2]
    file = importlib.resources.files("paredown_minimizer") / "rules" / name
    return json.loads(file.read_text("utf-8"))


def _validate(data: Any, node: Any, what: str) -> None:
    import fastjsonschema  # noqa: PLC0415

    try:
        _validator()(data)
    except fastjsonschema.JsonSchemaValueException as error:
        name = str(error.name)
        where = name.replace("data", "$", 1)
        message = str(error.message).removeprefix(name).strip()
        steps = error.path[1:]
        if error.rule == "additionalProperties":
            known = error.definition["properties"]
            steps += [key for key in error.value if isinstance(key, str) and key not in known][:1]
        line = line_of(node, steps)
        raise ParedownError(f"{what}: line {line}: {where} {message}") from error


def line_of(node: Any, path: Iterable[str | int]) -> int:
    """Return the line that a JSON path leads to, a key's or an entry's, or its nearest parent's."""
    line = 1 if node is None else node.start_mark.line + 1
    for step in path:
        if node is None or not isinstance(node.value, list):
            break
        if node.id == "mapping":
            found = [(key, value) for key, value in node.value if key.value == step]
        else:
            found = [(item, item) for item in node.value[int(step) : int(step) + 1]]
        if not found:
            break
        named, node = found[0]
        line = named.start_mark.line + 1
    return line
