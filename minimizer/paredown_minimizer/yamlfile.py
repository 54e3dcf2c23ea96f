"""YAML files that people write: read within bounds, every mistake told with its line and JSON path.

Each kind of file has its schema in paredown_schemas.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

_SCHEMAS = importlib.resources.files("paredown_schemas")
_LIMIT = 1 << 20
_DIGITS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands in its file: for messages."""

    line: int = 0
    path: str = ""  # JSON path: $.pins[0]

    def __str__(self) -> str:
        return f" (line {self.line}, {self.path})" if self.line else ""


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A file's text as data, with where in it everything stands."""

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
        return Place(_line_of(self.node, steps), path)


def read_text(path: Path, what: str) -> str:
    """Return a file's text with its line ends; ``what`` begins the messages.

    Raises:
        ParedownError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParedownError(f"{what}: not UTF-8") from error
    except OSError as error:
        raise ParedownError(f"{what}: {error.strerror}") from error


def parse_document(text: str, what: str, schema: str) -> Document:
    """Return a text as data that the schema of that name takes, "policy-1.schema.json".

    Raises:
        ParedownError: not YAML, or not what the schema describes; with line and JSON path.
    """
    import yaml  # noqa: PLC0415 - 30 ms, for those who have such a file

    if len(text) > _LIMIT:
        raise ParedownError(f"{what}: longer than {_LIMIT} characters")
    try:
        node = yaml.compose(text, Loader=_loader())
        _refuse_bombs(node)
        data = yaml.load(text, Loader=_loader())  # noqa: S506 - a safe one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        cause = escape_name(" ".join(str(error).split()))
        raise ParedownError(f"{what}: not YAML: {cause}") from error
    _validate(data, node, what, schema)
    return Document(data, node, what)


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
def _validator(name: str) -> Callable[[Any], Any]:
    import fastjsonschema  # noqa: PLC0415

    schema = json.loads((_SCHEMAS / name).read_text("utf-8"))
    validate: Callable[[Any], Any] = fastjsonschema.compile(schema, handlers={"https": _referred})
    return validate


def _referred(uri: str) -> Any:
    """Return the schema of rules, which the policy's own share with the knowledge base."""
    name = uri.rpartition("/")[2]
    file = importlib.resources.files("paredown_minimizer") / "rules" / name
    return json.loads(file.read_text("utf-8"))


def _validate(data: Any, node: Any, what: str, schema: str) -> None:
    import fastjsonschema  # noqa: PLC0415

    try:
        _validator(schema)(data)
    except fastjsonschema.JsonSchemaValueException as error:
        name = str(error.name)
        where = name.replace("data", "$", 1)
        message = str(error.message).removeprefix(name).strip()
        steps = error.path[1:]
        if error.rule == "additionalProperties":
            known = error.definition["properties"]
            steps += [key for key in error.value if isinstance(key, str) and key not in known][:1]
        line = _line_of(node, steps)
        raise ParedownError(f"{what}: line {line}: {where} {message}") from error


def _line_of(node: Any, path: Iterable[str | int]) -> int:
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
