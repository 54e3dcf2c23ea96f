"""Questions to any runtime of Kubernetes, CRI-O above all, asked through ``crictl``.

What it prints is the messages of the container runtime interface as JSON, and beside them what
the runtime adds: CRI-O and containerd agree on its ``pid`` and ``imageSpec``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from paredown_agent.target.engines.base import Container, answer, ask, identity_of, parse_object
from paredown_schemas.trace import ImageIdentity

_RUNNING = "CONTAINER_RUNNING"


class Cri:
    """The runtime that crictl is configured for; pods themselves are not among its containers."""

    kind = "cri"

    def find(self, name: str) -> list[Container]:
        """See ``base.Engine``."""
        found = [_container(entry) for entry in self._listed() if entry.get("state") != _RUNNING]
        return [each for each in [*self.running(), *found] if each.answers(name)]

    def running(self) -> list[Container]:
        """See ``base.Engine``."""
        listed = [entry for entry in self._listed() if entry.get("state") == _RUNNING]
        found = [_container(entry, self._pid(entry["id"])) for entry in listed]
        return [each for each in found if each.pid]

    def identify(self, container: Container) -> ImageIdentity:
        """See ``base.Engine``."""
        config = self._info("inspecti", container.image).get("imageSpec") or {}
        identity = identity_of((config.get("rootfs") or {}).get("diff_ids"), config)
        return ImageIdentity(reference=container.reference, identity=identity)

    def _listed(self) -> list[dict[str, Any]]:
        told = answer(self.kind, ["crictl", "ps", "--all", "--output", "json"])
        return list(parse_object(told).get("containers") or [])

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - one of them lives as long as the agent
    def _pid(self, container: str) -> int:
        """A container of this interface is never started twice."""
        return int(self._info("inspect", container).get("pid") or 0)

    @staticmethod
    def _info(*question: str) -> dict[str, Any]:
        told = ask(["crictl", question[0], "--output", "json", *question[1:]])
        return dict(parse_object(told.stdout).get("info") or {}) if told is not None else {}


def _container(entry: Mapping[str, Any], pid: int = 0) -> Container:
    labels = entry.get("labels") or {}
    pod = [labels.get(f"io.kubernetes.pod.{part}", "") for part in ("namespace", "name")]
    name = (entry.get("metadata") or {}).get("name", "")
    return Container(
        id=entry["id"],
        name="/".join([*pod, name]) if all(pod) else name,
        pid=pid,
        image=entry.get("imageRef", ""),
        reference=(entry.get("image") or {}).get("image", ""),
    )
