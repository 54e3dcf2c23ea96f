"""What the configuration of a written image says (OCI image specification, "Image Configuration").

All of the original's stays, fields that are not known here too; what is no longer true is replaced:
the layers, and the history as far as it tells of layers. Every format gets the same bytes, and so
the same image id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from paredown_minimizer.image.model import Image
from paredown_minimizer.image.slim import Provenance

_EPOCH = "1970-01-01T00:00:00Z"  # of an image that does not say when it was made


def configuration(
    image: Image,
    diff_ids: Sequence[str],
    sources: Sequence[int | None],
    provenance: Provenance,
) -> bytes:
    """Return the configuration, as it is written, of layers that were written.

    ``sources`` are for each the number of the original's layer that it is of, or None if of all.
    """
    config: dict[str, Any] = {**image.config}
    system, architecture, *variant = image.platform.split("/")
    config |= {"os": system, "architecture": architecture}
    if variant:
        config["variant"] = variant[0]
    config["created"] = config.get("created") or _EPOCH
    config["rootfs"] = {**config.get("rootfs", {}), "type": "layers", "diff_ids": [*diff_ids]}
    ours = {"created": config["created"], "created_by": f"paredown {provenance.version} apply"}
    if None in sources:
        config["history"] = [*_without_layers(_history(image), ()), ours]
    else:
        left = {number for number in sources if number is not None}
        config["history"] = [*_kept_history(image, left), {**ours, "empty_layer": True}]
    inner = config.get("config") or {}
    config["config"] = {**inner, "Labels": {**(inner.get("Labels") or {}), **notes(provenance)}}
    return dump(config)


def notes(provenance: Provenance) -> dict[str, str]:
    """Return what labels and annotations tell of where the image comes from."""
    return {
        "dev.paredown.original": provenance.original,
        "dev.paredown.plan": provenance.plan,
        "dev.paredown.version": provenance.version,
    }


def dump(value: Any) -> bytes:
    """Return JSON, the same bytes for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _history(image: Image) -> list[dict[str, Any]]:
    steps = image.config.get("history")
    return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []


def _kept_history(image: Image, left: set[int]) -> list[dict[str, Any]]:
    """Return the original's history; nothing of one that does not fit its layers."""
    history = _history(image)
    if sum(not step.get("empty_layer") for step in history) != len(image.layers):
        return []
    return _without_layers(history, left)


def _without_layers(
    history: Sequence[Mapping[str, Any]], left: Sequence[int] | set[int]
) -> list[dict[str, Any]]:
    """Return the steps, those marked as empty whose layer is not ``left``."""
    steps = []
    number = 0
    for step in history:
        has_layer = not step.get("empty_layer")
        steps.append({**step} if not has_layer or number in left else {**step, "empty_layer": True})
        number += has_layer
    return steps
