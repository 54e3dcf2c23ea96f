"""Checking an image's configuration (OCI image specification, "Image Configuration")."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sized
from typing import Any

from paredown_minimizer.image.model import Layer
from paredown_minimizer.image.platforms import PLATFORM
from paredown_schemas.errors import ParedownError

MAX_JSON = 1 << 24
_MAX_LAYERS = 1000  # docker stops at 127
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration that keeps to its specification, as far as it is read here or added to."""

    document: Mapping[str, Any]
    platform: str
    layers: tuple[Layer, ...]
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)  # the manifest's


def parse_configuration(text: bytes, what: str) -> Configuration:
    """Return the configuration in ``text``; ``what`` is it that messages name.

    Raises:
        ParedownError: it is malformed.
    """
    document = parse_json(text, what, "configuration")
    if not isinstance(document, dict):
        raise ParedownError(f"cannot read {what}: its configuration is malformed")
    settings = document.get("config") or {}
    for key, fits in _SETTINGS.items():
        if not isinstance(settings, dict) or not fits(settings.get(key)):
            raise ParedownError(f"cannot read {what}: its configuration's {key} is malformed")
    layers = _layers(document, what)
    return Configuration(document, _platform(document, what), layers)


def refuse_other_layers(configuration: Configuration, manifest: Sized, what: str) -> None:
    """Raise ParedownError unless there are as many layers in the manifest."""
    if len(manifest) != len(configuration.layers):
        raise ParedownError(f"cannot read {what}: its configuration and manifest differ in layers")


def parse_json(text: bytes, what: str, part: str) -> Any:
    """Return what the JSON ``text``, a ``part`` of ``what``, says.

    Raises:
        ParedownError: it is none, or longer than any image's is.
    """
    if len(text) > MAX_JSON:
        raise ParedownError(f"cannot read {what}: its {part} is too long")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ParedownError(f"cannot read {what}: its {part} is not JSON") from error


def _platform(document: Mapping[str, Any], what: str) -> str:
    parts = [document.get(key) or "" for key in ("os", "architecture", "variant")]
    platform = "/".join(str(part) for part in [parts[0] or "linux", *parts[1:]] if part)
    if not parts[1] or not PLATFORM.fullmatch(platform):
        raise ParedownError(f"cannot read {what}: its configuration names no platform")
    return platform


def _layers(document: Mapping[str, Any], what: str) -> tuple[Layer, ...]:
    rootfs = document.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    diff_ids = [] if diff_ids is None and isinstance(rootfs, dict) else diff_ids
    if not isinstance(diff_ids, list) or not all(
        isinstance(item, str) and _DIGEST.fullmatch(item) for item in diff_ids
    ):
        raise ParedownError(f"cannot read {what}: its configuration names no layers")
    if len(diff_ids) > _MAX_LAYERS:
        raise ParedownError(f"cannot read {what}: it has more than {_MAX_LAYERS} layers")
    made_by = _created_by(document.get("history"))
    if len(made_by) != len(diff_ids):  # history is optional, and not all tools keep it whole
        made_by = [None] * len(diff_ids)
    return tuple(map(Layer, diff_ids, made_by))


def _created_by(history: Any) -> list[str | None]:
    """Return what made each layer: of the history, the entries that are not marked as empty."""
    steps = history if isinstance(history, list) else []
    made = [step for step in steps if isinstance(step, dict) and not step.get("empty_layer")]
    texts = [step.get("created_by") for step in made]
    return [text if isinstance(text, str) and text else None for text in texts]


def _is_strings(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(v, str) for v in value))


def _is_command(value: Any) -> bool:
    return isinstance(value, str) or _is_strings(value)  # docker takes one word without a list


def _is_mapping(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _is_check(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and _is_strings(value.get("Test")))


_SETTINGS: dict[str, Callable[[Any], bool]] = {
    "Entrypoint": _is_command,
    "Cmd": _is_command,
    "Shell": _is_command,
    "Env": _is_strings,
    "WorkingDir": lambda value: value is None or isinstance(value, str),
    "Healthcheck": _is_check,
    "Labels": _is_mapping,
    "Volumes": _is_mapping,
}
