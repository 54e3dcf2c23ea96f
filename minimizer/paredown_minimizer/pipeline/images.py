"""What an image is now, asked at little cost: its engine knows, so that nothing is read."""

from __future__ import annotations

import contextlib
import json
import subprocess
from typing import Any

from paredown_minimizer.image.source import open_image, split_spec
from paredown_schemas.errors import ParedownError
from paredown_schemas.identity import image_identity
from paredown_schemas.names import escape_name

_ENGINES = ("docker", "podman")


def identify(spec: str) -> str | None:
    """Return the identity of what SOURCE names, as plans and traces have it; None if it is not.

    Raises:
        ParedownError: it cannot be read, or the engine does not answer.
    """
    scheme, location = split_spec(spec)
    if scheme not in _ENGINES:
        return _read(spec)
    found = _inspect(scheme, location)
    if found is None:
        return None
    parts = (found.get("Os"), found.get("Architecture"), found.get("Variant"))
    layers = (found.get("RootFS") or {}).get("Layers") or []
    return image_identity(layers, "/".join(part for part in parts if part))


def digest(spec: str) -> str | None:
    """Return what changes whenever the image does, its configuration included; None if it is not.

    Raises:
        ParedownError: as ``identify`` does.
    """
    scheme, location = split_spec(spec)
    if scheme not in _ENGINES:
        return _read(spec)
    found = _inspect(scheme, location)
    return str(found.get("Id")) if found is not None else None


def in_commands(spec: str) -> str:
    """Return the image as commands name it: ``{image}``."""
    return split_spec(spec)[1]


def _read(spec: str) -> str | None:
    try:
        with contextlib.closing(open_image(spec)) as image:
            return image.identity
    except ParedownError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def _inspect(engine: str, reference: str) -> dict[str, Any] | None:
    """Return what an engine tells about an image that it has."""
    command = [engine, "image", "inspect", "--", reference]
    try:
        asked = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise ParedownError(
            f"cannot ask {engine} for {escape_name(reference)}: there is no {engine} command"
        ) from error
    said = asked.stderr.decode(errors="replace").strip()
    if asked.returncode == 0:
        (found,) = json.loads(asked.stdout)
        return dict(found)
    if "no such image" in said.lower() or "image not known" in said.lower():
        return None
    cause = escape_name(said.rpartition("\n")[2])
    raise ParedownError(f"cannot ask {engine} for {escape_name(reference)}: {cause}")
