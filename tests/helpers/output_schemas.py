"""The published schemas of outputs, as others would use them."""

from __future__ import annotations

import importlib.resources
import json
from typing import Any

import jsonschema
import referencing


def validator(name: str) -> jsonschema.Draft7Validator:
    """Return the validator of a schema, which may refer to others by their identity."""
    directory = importlib.resources.files("paredown_schemas")
    schemas = {
        file.name: json.loads(file.read_text("utf-8"))
        for file in directory.iterdir()
        if file.name.endswith(".schema.json")
    }
    registry: referencing.Registry[Any] = referencing.Registry().with_contents(
        (schema["$id"], schema) for schema in schemas.values()
    )
    return jsonschema.Draft7Validator(schemas[name], registry=registry)
