"""Questions to containerd, asked through its own ``ctr``: Kubernetes', nerdctl's, anybody's.

Docker's containers are containerd's too; the registry tells them once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from paredown_agent.target.engines.base import (
    Container,
    answer,
    ask,
    identity_of,
    no_answer,
    parse_object,
)
from paredown_schemas.trace import ImageIdentity

_ADDRESS = "/run/containerd/containerd.sock"
_MAX_MANIFESTS = 64  # of one image: platforms and attestations
# What the kubelet and nerdctl write on a container.
_POD_LABELS = tuple(
    f"io.kubernetes.{part}" for part in ("pod.namespace", "pod.name", "container.name")
)
_NERDCTL_NAME = "nerdctl/name"
_CRI_KIND = "io.cri-containerd.kind"


class Containerd:
    """The containerd that CONTAINERD_ADDRESS leads to, as it does for ``ctr``.

    All its namespaces, or the one that CONTAINERD_NAMESPACE names.
    """

    kind = "containerd"

    def __init__(self) -> None:
        self._address = os.environ.get("CONTAINERD_ADDRESS", _ADDRESS)
        self._told: dict[str, dict[str, Any]] = {}  # by namespace/id: what info tells

    def find(self, name: str) -> list[Container]:
        """See ``base.Engine``."""
        return [each for each in self._containers() if each.answers(name)]

    def running(self) -> list[Container]:
        """See ``base.Engine``."""
        return [each for each in self._containers() if each.pid]

    def identify(self, container: Container) -> ImageIdentity:
        """See ``base.Engine``.

        An image's name may have moved on since: what counts is that the container's own snapshot
        was made from the layers.
        """
        namespace, _, image = container.image.partition("/")
        info = self._told.get(f"{namespace}/{container.id}", {})
        snapshotter = ("--snapshotter", str(info.get("Snapshotter", "")))
        key = str(info.get("SnapshotKey", ""))
        snapshot = self._object(namespace, "snapshots", *snapshotter, "info", key)
        chain = snapshot.get("Parent")
        for config in self._configurations(namespace, image) if chain else ():
            layers = (config.get("rootfs") or {}).get("diff_ids") or []
            if chain_id(layers) == chain:
                identity = identity_of(layers, config)
                return ImageIdentity(reference=container.reference, identity=identity)
        return ImageIdentity(reference=container.reference, identity=None)

    def _containers(self) -> Iterator[Container]:
        """Nothing is asked twice about a container: all but its task stays as it is."""
        if not Path(self._address).exists():
            raise no_answer(self.kind, f"there is no {self._address}".encode())
        present: dict[str, dict[str, Any]] = {}
        for namespace in self._namespaces():
            tasks = self._tasks(namespace)
            for id_ in self._ask(namespace, "containers", "list", "--quiet").decode().split():
                key = f"{namespace}/{id_}"
                question = (namespace, "containers", "info", id_)
                info = present[key] = self._told.get(key) or self._object(*question)
                if info and (info.get("Labels") or {}).get(_CRI_KIND) != "sandbox":
                    yield _container(namespace, info, tasks.get(id_, 0))
        self._told = present

    def _namespaces(self) -> list[str]:
        only = os.environ.get("CONTAINERD_NAMESPACE")
        return [only] if only else self._ask("", "namespaces", "list", "--quiet").decode().split()

    def _tasks(self, namespace: str) -> dict[str, int]:
        """The first processes of what runs, by id, from a table of TASK, PID and STATUS."""
        _, *lines = self._ask(namespace, "tasks", "list").decode().splitlines() or [""]
        rows = (line.split() for line in lines)
        return {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[2] != "STOPPED"}

    def _configurations(self, namespace: str, image: str) -> Iterator[dict[str, Any]]:
        """The image configurations that an image's name leads to, one for each platform."""
        table = self._ask(namespace, "images", "list", f"name=={image}").decode().splitlines()
        digests = [row[2] for row in map(str.split, table[1:]) if len(row) > 2 and row[0] == image]
        manifests = [self._content(namespace, digest) for digest in digests]
        for manifest in manifests:
            listed = (manifest.get("manifests") or [])[:_MAX_MANIFESTS]
            manifests += [self._content(namespace, each.get("digest", "")) for each in listed]
            if config := manifest.get("config"):
                yield self._content(namespace, config.get("digest", ""))

    def _content(self, namespace: str, digest: str) -> dict[str, Any]:
        return self._object(namespace, "content", "get", digest)

    def _object(self, namespace: str, *question: str) -> dict[str, Any]:
        """What is not there any more, or never was, is an empty object."""
        told = ask(self._command(namespace, *question))
        return parse_object(told.stdout) if told is not None else {}

    def _ask(self, namespace: str, *question: str) -> bytes:
        return answer(self.kind, self._command(namespace, *question))

    def _command(self, namespace: str, *question: str) -> list[str]:
        scope = ("--namespace", namespace) if namespace else ()
        return ["ctr", "--address", self._address, *scope, *question]


def chain_id(layers: list[str]) -> str:
    """Return the name of a stack of layers (OCI image specification, "Layer ChainID")."""
    chain = ""
    for layer in layers:
        joined = f"{chain} {layer}".encode()
        chain = f"sha256:{hashlib.sha256(joined).hexdigest()}" if chain else layer
    return chain


def _container(namespace: str, info: Mapping[str, Any], pid: int) -> Container:
    labels = info.get("Labels") or {}
    pod = [labels.get(label, "") for label in _POD_LABELS]
    image = info.get("Image", "")
    return Container(
        id=info["ID"],
        name="/".join(pod) if all(pod) else labels.get(_NERDCTL_NAME, info["ID"]),
        pid=pid,
        image=f"{namespace}/{image}",
        reference=image,
    )
