"""What an engine is: something that runs containers and can be asked about them.

Adding one touches its own file, ``registry.ENGINES`` and its test.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from paredown_schemas.errors import ParedownError
from paredown_schemas.identity import image_identity
from paredown_schemas.names import escape_name
from paredown_schemas.trace import ImageIdentity

_PATIENCE = 20.0  # seconds for one answer
_POD_NAME = 3  # parts of NAMESPACE/POD/CONTAINER


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What every engine tells about a container."""

    id: str
    name: str  # of a pod's container: NAMESPACE/POD/CONTAINER
    pid: int  # of its first process, in the engine's pid namespace; 0 when none runs
    image: str  # what the engine knows the image by
    reference: str  # as the user wrote it
    restarting: bool = False  # it has ended, and its engine is about to start it again

    def is_called(self, name: str) -> bool:
        """Say whether ``name`` is its id or its name.

        Of a pod's container that may lack its beginning, and be the pod's.
        """
        parts = self.name.split("/")
        names = {"/".join(parts[first:]) for first in range(len(parts))}
        if len(parts) == _POD_NAME:
            names |= {parts[1], "/".join(parts[:2])}
        return name == self.id or name in names

    def answers(self, name: str) -> bool:
        """Say whether it ``is_called`` so, or its id begins so."""
        return self.is_called(name) or self.id.startswith(name)


class Engine(Protocol):
    """One engine of this host, whether it runs or not."""

    kind: str  # docker, podman, containerd, cri

    def find(self, name: str) -> Sequence[Container]:
        """Return the containers that answer to ``name``, running or not.

        Raises:
            ParedownError: the engine does not answer.
        """

    def running(self) -> Sequence[Container]:
        """Return the containers that run, those that only hold a pod's namespaces left out.

        Raises:
            ParedownError: the engine does not answer.
        """

    def identify(self, container: Container) -> ImageIdentity:
        """Return the identity of a container's image; without one where it cannot be known."""


def ask(
    command: Sequence[str], *, patience: float = _PATIENCE
) -> subprocess.CompletedProcess[bytes] | None:
    """Run a command line that answers; None if it cannot be run or takes too long."""
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=patience
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def answer(kind: str, command: Sequence[str]) -> bytes:
    """Return what a command line prints; raises ParedownError where it fails."""
    told = ask(command)
    if told is None:
        raise no_answer(kind, b"")
    if told.returncode:
        raise no_answer(kind, told.stderr)
    return told.stdout


def no_answer(kind: str, stderr: bytes) -> ParedownError:
    """Return the error that an engine does not answer, with its own last words."""
    lines = stderr.decode(errors="replace").strip().splitlines() or ["no answer"]
    return ParedownError(f"cannot ask {kind}: {escape_name(lines[-1])}")


def parse_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object that ``text`` is; an empty one if it is none."""
    try:
        found = json.loads(text or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def identity_of(layers: Sequence[str] | None, config: Mapping[str, Any]) -> str | None:
    """Return the identity by diff_ids and an OCI image configuration's platform, if it has one.

    ``config`` has os, architecture and variant, as the OCI image specification writes them.
    """
    if not layers or not config.get("os") or not config.get("architecture"):
        return None
    parts = (config["os"], config["architecture"], config.get("variant"))
    return image_identity(layers, "/".join(part for part in parts if part))
