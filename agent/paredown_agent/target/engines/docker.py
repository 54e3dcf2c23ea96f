"""Questions to docker and podman, asked through their own command line."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paredown_agent.target.engines.base import Container, answer, ask, identity_of, no_answer
from paredown_agent.target.namespaces import die_with
from paredown_schemas.trace import ImageIdentity

# Containers made while one command line starts; more would have to be newer than the one meant.
_RECENT = "30"
_ENDED = ("exited", "dead", "removing", "stopped")
# Made, but no process of it has run yet, in docker's and podman's words.
_NOT_STARTED = ("created", "configured", "initialized", "initializing")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DockerContainer(Container):
    """What inspect tells about one container; ``image`` is the image's id."""

    created: int  # ns since the epoch
    started: bool  # ever
    ended: bool  # and is not about to be restarted
    vanishing: bool  # being removed: only half of this is true any more
    starts: int  # by the command and by its restart policy
    command: tuple[str, ...]  # what follows the image on the command line
    created_by: tuple[str, ...]  # podman: the whole command line
    root: str  # where its root is mounted while it runs


class CreatedContainers:
    """The ids of the containers that are made from some time on, as the engine tells them."""

    def __init__(self, command: Sequence[str]) -> None:
        """``command`` prints an event of creation a line; where it fails, nothing is told."""
        self._rest = b""
        self._events, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._events, False)
        self._process: subprocess.Popen[bytes] | None = None
        agent = os.pidfd_open(os.getpid())
        with contextlib.suppress(OSError):  # starting the user's command will say so
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # ^C is not for it
                preexec_fn=lambda: die_with(agent),  # noqa: PLW1509 - no thread runs yet
            )
        os.close(writer)
        os.close(agent)

    def fileno(self) -> int:
        """Return what polls readable when ``read`` has something to do."""
        return self._events

    def read(self) -> list[str] | None:
        """Return the ids told since, None at the end of all telling. Never blocks."""
        try:
            data = os.read(self._events, 65536)
        except BlockingIOError:
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [_created_id(line) for line in lines] if data else None

    def close(self) -> None:
        """End the command."""
        os.close(self._events)
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Docker:
    """One docker or podman, as its command and global options reach it."""

    def __init__(self, command: Sequence[str]) -> None:
        """``command`` is the program with its global options."""
        self._command = list(command)
        self.kind = os.path.basename(command[0])

    def recent(self) -> list[str]:
        """Return the ids of the containers made last, running or not; empty if none answers."""
        listed = self._ask("ps", "--all", "--quiet", "--no-trunc", "--last", _RECENT)
        return listed.stdout.decode().split() if listed is not None else []

    def created_since(self, time: int) -> CreatedContainers | None:
        """Begin to listen for containers made since ``time``, in ns since the epoch.

        None for podman, which tells late, or nothing: ``mounted`` knows before.
        """
        if self.kind == "podman":
            return None
        since = f"{time // 10**9}.{time % 10**9:09}"
        filters = ("--filter", "type=container", "--filter", "event=create")
        form = ("--format", "{{json .}}")
        return CreatedContainers([*self._command, "events", "--since", since, *filters, *form])

    def mounted(self, mount_point: str) -> str | None:
        """Return the id of podman's container whose root is mounted there, if its storage says so.

        A short-lived container is locked while it starts and gone soon after, so this asks nobody;
        the file is the storage library's (containers/storage, containers.go).
        """
        layer = Path(mount_point).parent
        try:
            text = (layer.parent.parent / "overlay-containers" / "containers.json").read_bytes()
        except OSError:
            return None
        ids = (str(each.get("id")) for each in _parse(text) if each.get("layer") == layer.name)
        return next(ids, None)

    def inspect(self, names: Sequence[str]) -> list[DockerContainer]:
        """Return what is known of those of ``names`` that exist and are not being removed."""
        if not names:
            return []
        told = self._ask("container", "inspect", *names)
        found = [_container(entry) for entry in _parse(told.stdout)] if told is not None else []
        return [each for each in found if not each.vanishing]

    def find(self, name: str) -> list[DockerContainer]:
        """See ``base.Engine``; the runtime itself knows what an id may begin with."""
        told = self._ask("container", "inspect", name)
        found = [_container(entry) for entry in _parse(told.stdout)] if told is not None else []
        unknown = told is not None and b"no such container" in told.stderr.lower()
        if not found and not unknown:
            raise no_answer(self.kind, b"" if told is None else told.stderr)
        return found

    def running(self) -> list[DockerContainer]:
        """See ``base.Engine``."""
        listed = answer(self.kind, [*self._command, "ps", "--quiet", "--no-trunc"])
        return [each for each in self.inspect(listed.decode().split()) if each.pid]

    def identify(self, container: Container) -> ImageIdentity:
        """Return the identity of the container's image; without one if it is gone already."""
        told = self._ask("image", "inspect", container.image)
        images = _parse(told.stdout) if told is not None else []
        identity = _identity(images[0]) if images else None
        return ImageIdentity(reference=container.reference, identity=identity)

    def _ask(self, *question: str) -> subprocess.CompletedProcess[bytes] | None:
        return ask([*self._command, *question])


def _parse(text: bytes) -> list[dict[str, Any]]:
    try:
        entries = json.loads(text or b"[]")
    except ValueError:
        return []
    return [entry for entry in entries or [] if isinstance(entry, dict)]


def _created_id(line: bytes) -> str:
    """Docker has the id in a part of its own, podman beside the rest."""
    (event,) = _parse(b"[" + line + b"]") or [{}]
    return str(event.get("ID") or (event.get("Actor") or {}).get("ID") or "")


def _container(entry: Mapping[str, Any]) -> DockerContainer:
    state, config = entry.get("State") or {}, entry.get("Config") or {}
    status = state.get("Status", "")
    return DockerContainer(
        id=entry["Id"],
        name=entry.get("Name", "").lstrip("/"),
        created=_nanoseconds(entry.get("Created", "")),
        pid=state.get("Pid") or 0,
        started=status not in _NOT_STARTED,
        ended=status in _ENDED,
        restarting=status == "restarting",
        vanishing=status == "removing",
        starts=(entry.get("RestartCount") or 0) + 1,
        image=entry.get("Image", ""),
        reference=entry.get("ImageName") or config.get("Image", ""),
        command=tuple(config.get("Cmd") or ()),
        created_by=tuple(config.get("CreateCommand") or ()),
        root=_root((entry.get("GraphDriver") or {}).get("Data") or {}),
    )


def _nanoseconds(text: str) -> int:
    """RFC 3339, with as many digits of a second as there are; 0 if it is none."""
    match = re.fullmatch(r"([\d-]+T[\d:]+)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", text)
    if match is None:
        return 0
    zone = "+00:00" if match[3] == "Z" else match[3]
    seconds = int(dt.datetime.fromisoformat(match[1] + zone).timestamp())
    return seconds * 10**9 + int((match[2] or "")[:9].ljust(9, "0"))


def _root(driver: Mapping[str, str]) -> str:
    """Podman names the mount point only while there is a mount; it lies beside the upper layer."""
    upper = driver.get("UpperDir", "")
    return driver.get("MergedDir") or (upper and os.path.join(os.path.dirname(upper), "merged"))


def _identity(image: Mapping[str, Any]) -> str | None:
    platform = {name.lower(): image.get(name) for name in ("Os", "Architecture", "Variant")}
    return identity_of((image.get("RootFS") or {}).get("Layers"), platform)
