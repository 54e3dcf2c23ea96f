"""The engines of this host, asked together: which of them has a container, and what runs."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence

from paredown_agent.target.engines.base import Container, Engine
from paredown_agent.target.engines.containerd import Containerd
from paredown_agent.target.engines.cri import Cri
from paredown_agent.target.engines.docker import Docker
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.trace import ImageIdentity

# By the program that it is asked through. Of one container the first engine's word counts:
# docker's containers are containerd's too, and containerd's are the runtime's of Kubernetes.
ENGINES: Mapping[str, Callable[[], Engine]] = {
    "docker": lambda: Docker(["docker"]),
    "podman": lambda: Docker(["podman"]),
    "ctr": Containerd,
    "crictl": Cri,
}
_SHOWN = 12  # characters of an id
_LISTING = "docker ps, podman ps, ctr -n NAMESPACE tasks list or crictl ps tells what runs"


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A container and the engine that knows it."""

    engine: Engine
    container: Container

    def __str__(self) -> str:
        """Return how to tell it from others: its engine, the beginning of its id, its name."""
        container = self.container
        name = f" ({escape_name(container.name)})" if container.name != container.id else ""
        return f"{self.engine.kind} {escape_name(container.id[:_SHOWN])}{name}"


class _Unasked:
    """An engine whose program is not installed where the agent runs; see ``Engine``."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def find(self, name: str) -> Sequence[Container]:
        del name
        return []

    def running(self) -> Sequence[Container]:
        return []

    def identify(self, container: Container) -> ImageIdentity:
        return ImageIdentity(reference=container.reference, identity=None)


class Engines:
    """All that are installed here, whether they run or not."""

    def __init__(self) -> None:
        self._engines = [make() for program, make in ENGINES.items() if shutil.which(program)]

    def find(self, name: str) -> Found:
        """Return the running container of that name or id.

        Raises:
            ParedownError: there is none, it does not run, or more than one answers to the name.
        """
        what = f"cannot attach to container {escape_name(name)}"
        found, failures = self._ask(lambda engine: engine.find(name))
        called = [each for each in found if each.container.is_called(name)] or found
        match [each for each in called if each.container.pid]:
            case [only]:
                return only
            case [_, *_] as several:
                choices = ", ".join(map(str, several))
                hint = f"give the id of one of them: {choices}"
                raise ParedownError(f"{what}: {len(several)} containers answer to it", hint=hint)
        if called:
            raise ParedownError(f"{what}: it does not run")
        if not self._engines:
            raise ParedownError(f"{what}: none of {', '.join(ENGINES)} is installed")
        said = [f"no container of that name in {', '.join(self._answering(failures))}"]
        causes = [*(said if len(failures) < len(self._engines) else []), *failures.values()]
        raise ParedownError(f"{what}: {'; '.join(causes)}", hint=_LISTING)

    def of_process(self, first: int, id_: str | None) -> Found | None:
        """Return the running container with that first process or id; None if none is known.

        ``first`` is in the agent's pid namespace, which need not be the engine's.
        """
        found = self.running()
        by_id = [each for each in found if each.container.id == id_]
        by_pid = [each for each in found if each.container.pid == first]
        return next(iter([*by_id, *by_pid]), None)

    def running(self) -> list[Found]:
        """Return every container that runs; engines that do not answer are left out."""
        return self._ask(lambda engine: engine.running())[0]

    def of_kind(self, kind: str) -> Engine:
        """Return the engine that is ``docker``, ``podman`` …; one that knows nothing if need be."""
        return next((each for each in self._engines if each.kind == kind), _Unasked(kind))

    def _answering(self, failures: Mapping[str, str]) -> list[str]:
        return [engine.kind for engine in self._engines if engine.kind not in failures]

    def _ask(
        self, question: Callable[[Engine], Sequence[Container]]
    ) -> tuple[list[Found], dict[str, str]]:
        """Each container once, and why engines do not answer: none hides another's containers."""
        found: dict[tuple[str, int], Found] = {}
        failures: dict[str, str] = {}
        for engine in self._engines:
            try:
                for container in question(engine):
                    key = (container.id, container.pid)
                    found.setdefault(key, Found(engine, container))
            except ParedownError as error:
                failures[engine.kind] = str(error)
        return list(found.values()), failures
