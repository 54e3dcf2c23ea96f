"""Questions to docker and podman, asked through their own command line."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from paredown_schemas.errors import ParedownError
from paredown_schemas.identity import image_identity
from paredown_schemas.names import escape_name
from paredown_schemas.trace import ImageIdentity

# Containers made while one command line starts; more would have to be newer than the one meant.
_RECENT = "30"
_PATIENCE = 20.0  # seconds for one answer
_ENDED = ("exited", "dead", "removing", "stopped")


@dataclasses.dataclass(frozen=True, slots=True)
class Container:
    """What inspect tells about one container."""

    id: str
    name: str
    pid: int  # of its first process, in the engine's pid namespace; 0 when none runs
    running: bool
    ended: bool  # and is not about to be restarted
    image: str  # the image's id
    reference: str  # as the user wrote it
    command: tuple[str, ...]  # what follows the image on the command line
    created_by: tuple[str, ...]  # podman: the whole command line
    merged: str  # where its root is mounted, while it runs


class Engine:
    """One docker or podman, as its command and global options reach it."""

    def __init__(self, command: Sequence[str]) -> None:
        """``command`` is the program with its global options."""
        self._command = list(command)
        self.kind = os.path.basename(command[0])

    def recent(self) -> list[str]:
        """Return the ids of the containers made last, running or not; empty if none answers."""
        listed = self._ask("ps", "--all", "--quiet", "--no-trunc", "--last", _RECENT)
        return listed.stdout.decode().split() if listed is not None else []

    def inspect(self, names: Sequence[str]) -> list[Container]:
        """Return what is known of those of ``names`` that exist."""
        if not names:
            return []
        told = self._ask("container", "inspect", *names)
        return [_container(entry) for entry in _parse(told.stdout)] if told is not None else []

    def find(self, name: str) -> Container | None:
        """Return the container of that name or id, or None; raises ParedownError: no answer."""
        told = self._ask("container", "inspect", name)
        if told is None:
            return None
        found = _parse(told.stdout)
        if not found and b"no such container" not in told.stderr.lower():
            cause = told.stderr.decode(errors="replace").strip().splitlines() or ["no answer"]
            raise ParedownError(
                f"cannot ask {self.kind} about {escape_name(name)}: {escape_name(cause[-1])}"
            )
        return _container(found[0]) if found else None

    def identify(self, container: Container) -> ImageIdentity:
        """Return the identity of the container's image; without one if it is gone already."""
        told = self._ask("image", "inspect", container.image)
        images = _parse(told.stdout) if told is not None else []
        identity = _identity(images[0]) if images else None
        return ImageIdentity(reference=container.reference, identity=identity)

    def _ask(self, *question: str) -> subprocess.CompletedProcess[bytes] | None:
        try:
            return subprocess.run(
                [*self._command, *question],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_PATIENCE,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None


def _parse(text: bytes) -> list[dict[str, Any]]:
    try:
        entries = json.loads(text or b"[]")
    except ValueError:
        return []
    return [entry for entry in entries or [] if isinstance(entry, dict)]


def _container(entry: Mapping[str, Any]) -> Container:
    state, config = entry.get("State") or {}, entry.get("Config") or {}
    status = state.get("Status", "")
    return Container(
        id=entry["Id"],
        name=entry.get("Name", "").lstrip("/"),
        pid=state.get("Pid") or 0,
        running=bool(state.get("Running")),
        ended=status in _ENDED,
        image=entry.get("Image", ""),
        reference=entry.get("ImageName") or config.get("Image", ""),
        command=tuple(config.get("Cmd") or ()),
        created_by=tuple(config.get("CreateCommand") or ()),
        merged=((entry.get("GraphDriver") or {}).get("Data") or {}).get("MergedDir", ""),
    )


def _identity(image: Mapping[str, Any]) -> str | None:
    layers = (image.get("RootFS") or {}).get("Layers")
    if not layers or not image.get("Os") or not image.get("Architecture"):
        return None
    parts = (image["Os"], image["Architecture"], image.get("Variant"))
    return image_identity(layers, "/".join(part for part in parts if part))
