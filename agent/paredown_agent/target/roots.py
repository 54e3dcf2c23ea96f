"""Whose root an overlay is, told by what engines keep on disk beside it.

A short-lived container has gone before its engine answers. These files lie there from a container's
creation to its removal, and reading them costs no process. The layouts are docker's (image/overlay2
and containers below its data root), that of containers/storage (containers.go; podman and CRI-O),
and the bundles of containerd's shims (runtime/v2/bundle.go).
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paredown_agent.target.engines.base import Container, parse_object

_MAX_FILE = 1 << 26
_PAUSE = re.compile(r"(^|/)(podman-)?pause(?![^:@])")
_SHIM = "io.containerd.runtime.v2.task"
_CRI = "io.kubernetes.cri."
_DOCKERSHIM_KIND = "io.kubernetes.docker.type"


@dataclasses.dataclass(frozen=True, slots=True)
class RootOwner:
    """A container, which may not run, and the kind of engine that made it."""

    kind: str  # docker, podman, containerd, cri
    container: Container
    holds_pod: bool  # it only holds a pod's namespaces


def owner_of_root(mount_point: str) -> RootOwner | None:
    """Return the container whose root is mounted there, if its engine's files say so."""
    path = Path(mount_point)
    if path.name == "rootfs" and path.parent.parent.parent.name == _SHIM:
        return _of_bundle(path.parent)
    if path.name != "merged":
        return None
    layer = path.parent
    return _of_docker(layer) if layer.parent.name == "overlay2" else _of_storage(layer)


def _of_docker(layer: Path) -> RootOwner | None:
    data = layer.parent.parent
    mounts = data / "image" / "overlay2" / "layerdb" / "mounts"
    wanted = layer.name.encode()
    for name in _names(mounts):
        if _read(mounts / name / "mount-id") == wanted:
            config = parse_object(_read(data / "containers" / name / "config.v2.json"))
            return _docker_container(config) if config.get("ID") == name else None
    return None


def _docker_container(state: Mapping[str, Any]) -> RootOwner:
    config = state.get("Config") or {}
    container = Container(
        id=_text(state["ID"]),
        name=_text(state.get("Name")).lstrip("/"),
        pid=0,
        image=_text(state.get("Image")),
        reference=_text(config.get("Image")),
    )
    kind = (config.get("Labels") or {}).get(_DOCKERSHIM_KIND)
    return RootOwner("docker", container, kind == "podsandbox" or _is_pause(container))


def _of_storage(layer: Path) -> RootOwner | None:
    listed = layer.parent.parent / f"{layer.parent.name}-containers"
    for name in ("containers.json", "volatile-containers.json"):
        for entry in _objects(_read(listed / name)):
            if entry.get("layer") == layer.name:
                return _storage_container(entry)
    return None


def _storage_container(entry: Mapping[str, Any]) -> RootOwner:
    metadata = parse_object(_text(entry.get("metadata")).encode())
    names = entry.get("names") or []
    pod = metadata.get("pod-id")
    container = Container(
        id=_text(entry.get("id")),
        name=_text(metadata.get("metadata-name") or (names[0] if names else entry.get("id"))),
        pid=0,
        image=_text(entry.get("image")),
        reference=_text(metadata.get("image-name")),
    )
    holds_pod = bool(metadata.get("pod")) or _is_pause(container)
    return RootOwner("cri" if pod else "podman", container, holds_pod)


def _of_bundle(bundle: Path) -> RootOwner | None:
    config = parse_object(_read(bundle / "config.json"))
    if not config:
        return None
    notes = config.get("annotations") or {}
    parts = (_CRI + part for part in ("sandbox-namespace", "sandbox-name", "container-name"))
    pod = [_text(notes.get(part)) for part in parts]
    reference = _text(notes.get(_CRI + "image-name"))
    container = Container(
        id=bundle.name,
        name="/".join(pod) if all(pod) else _text(notes.get("nerdctl/name")) or bundle.name,
        pid=0,
        image=f"{bundle.parent.name}/{reference}",
        reference=reference,
    )
    sandbox = notes.get(_CRI + "container-type") == "sandbox"
    kind = "docker" if bundle.parent.name == "moby" else "containerd"
    return RootOwner(kind, container, sandbox)


def _is_pause(container: Container) -> bool:
    return _PAUSE.search(container.reference) is not None


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _read(path: Path) -> bytes:
    """Nothing, where it is not there any more or too long to be what it should be."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
    except OSError:
        return b""
    return content if len(content) <= _MAX_FILE else b""


def _objects(text: bytes) -> list[dict[str, Any]]:
    try:
        entries = json.loads(text or b"[]")
    except ValueError:
        return []
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []


def _text(value: object) -> str:
    """What JSON can hold and a trace cannot, halves of characters and NUL, is replaced."""
    text = value if isinstance(value, str) else ""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")
