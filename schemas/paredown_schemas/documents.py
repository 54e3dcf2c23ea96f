"""Documents of records: JSON texts that people review and programs read, each with its schema.

A document is a frozen dataclass of values, records and tuples of records, with the fields of
the JSON object. The text has one record a line, in the order of the document, and no clocks of
its own. Names are escaped as names.py does; numbers are whole.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import json
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from paredown_schemas.errors import DamagedInputError, ParedownError
from paredown_schemas.names import escape_name, unescape_name

_Document = TypeVar("_Document")


def dump_document(document: Any, form: str, version: int) -> str:
    """Return the JSON text of a document: one record a line, the same bytes for the same."""
    lines = [f'"format": "{form}"', f'"version": {version}']
    for field in dataclasses.fields(document):
        value = getattr(document, field.name)
        if isinstance(value, tuple):
            records = ",\n".join("    " + _one_line(to_json(record)) for record in value)
            lines.append(f'"{field.name}": [\n{records}\n  ]' if value else f'"{field.name}": []')
        else:
            lines.append(f'"{field.name}": {_one_line(to_json(value))}')
    return "{\n  " + ",\n  ".join(lines) + "\n}\n"


def load_document(cls: type[_Document], text: str, what: str, form: str, version: int) -> _Document:
    """Read a document's JSON text; ``what`` is for messages: "plan app.json".

    The schema is the package's ``NAME-VERSION.schema.json``, for the format "paredown-NAME".

    Raises:
        DamagedInputError: not JSON, not of this format, or of another version; with the JSON path.
    """
    try:
        data = json.loads(
            text, object_pairs_hook=_object, parse_float=_no_number, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        raise DamagedInputError(f"cannot read {what}: not JSON: {error}") from error
    name = form.removeprefix("paredown-")
    if not isinstance(data, dict) or data.get("format") != form:
        raise DamagedInputError(f"cannot read {what}: not a Paredown {name}")
    if data.get("version") != version:
        raise DamagedInputError(
            f"cannot read {what}: version {data.get('version')!r}, this Paredown reads {version}"
        )
    _validate(data, what, f"{name}-{version}.schema.json")
    fields = {key: value for key, value in data.items() if key not in ("format", "version")}
    document: _Document = _from_json(cls, fields)
    return document


def read_document(
    cls: type[_Document], path: Path, what: str, form: str, version: int
) -> _Document:
    """Read the file at ``path``; ``what`` is its kind: "plan".

    Raises:
        DamagedInputError: as ``load_document`` does.
        ParedownError: it cannot be read.
    """
    what = f"{what} {escape_name(str(path))}"
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedInputError(f"cannot read {what}: not UTF-8") from error
    except OSError as error:
        raise ParedownError(f"cannot read {what}: {error.strerror}") from error
    return load_document(cls, text, what, form, version)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        # A reviewer may read the first, and a parser take the last.
        raise ValueError(f"a key twice in {{{', '.join(escape_name(key) for key, _ in pairs)}}}")
    return unique


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no whole number")


def _one_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def to_json(value: Any) -> Any:
    """Names are escaped; what is absent or empty is left out of records."""
    if dataclasses.is_dataclass(value):
        pairs = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {name: to_json(item) for name, item in pairs if item not in (None, ())}
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    return escape_name(value) if isinstance(value, str) else value


@functools.cache
def _validator(schema: str) -> Callable[[Any], Any]:
    # Compiled and imported late: jsonschema takes 1.8 s for 7,000 records.
    import fastjsonschema  # noqa: PLC0415

    file = importlib.resources.files("paredown_schemas") / schema
    validate: Callable[[Any], Any] = fastjsonschema.compile(json.loads(file.read_text("utf-8")))
    return validate


def _validate(data: Any, what: str, schema: str) -> None:
    import fastjsonschema  # noqa: PLC0415

    try:
        _validator(schema)(data)
    except fastjsonschema.JsonSchemaValueException as error:
        where = str(error.name).replace("data", "$", 1)
        raise DamagedInputError(f"cannot read {what}: {where}: {error.message}") from error


def _from_json(hint: Any, value: Any) -> Any:
    """The schema has been checked, so only the shape is mapped here."""
    if value is not None and type(None) in typing.get_args(hint):
        (hint,) = (each for each in typing.get_args(hint) if each is not type(None))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = _hints(hint)
        return hint(
            **{
                name: _from_json(field, value[name]) if name in value else _absent(field)
                for name, field in hints.items()
            }
        )
    if typing.get_origin(hint) is tuple:
        return tuple(_from_json(typing.get_args(hint)[0], item) for item in value)
    return unescape_name(value) if isinstance(value, str) else value


def _absent(hint: Any) -> Any:
    """Return what ``to_json`` leaves out of a record."""
    return () if typing.get_origin(hint) is tuple else None


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)
