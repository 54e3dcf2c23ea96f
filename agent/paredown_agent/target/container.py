"""``--container NAME-OR-ID`` and ``--pid PID``: a container that runs already, whoever runs it."""

from __future__ import annotations

import os
import select
from collections.abc import Mapping, Sequence

from paredown_agent.commandline import RUNTIMES
from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.target.attach import attach
from paredown_agent.target.base import LATE
from paredown_agent.target.engines.registry import Engines, Found
from paredown_agent.target.members import container_id, first_process
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.trace import Record, Session


class ContainerTarget:
    """A running container, which the agent neither starts nor stops; see ``Target``."""

    kind = "container"
    command: tuple[str, ...] = ()

    def __init__(self, found: Found | None, pid: int, clock: Clock) -> None:
        """``pid`` is its first process, ``found`` what an engine knows of it, if one does.

        Raises:
            ParedownError: it has ended.
        """
        self._clock = clock
        self._found = found
        self._pid = pid
        self.container: str | None = found.container.id if found else container_id(pid)
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError as error:
            raise self._error(error) from error
        self._snapshot: list[Record] = []

    @classmethod
    def by_name(cls, name: str, clock: Clock) -> ContainerTarget:
        """Find it by name or id; raises ParedownError where no engine runs one, or several do."""
        found = Engines().find(name)
        return cls(found, found.container.pid, clock)

    @classmethod
    def by_process(cls, pid: int, clock: Clock) -> ContainerTarget:
        """Find the one that a process lives in; raises ParedownError where it lives in none."""
        first = first_process(pid)
        return cls(Engines().of_process(first, container_id(first)), first, clock)

    def arm(self, recorder: Recorder) -> None:
        """Watch the container's root, then take what its processes hold."""
        try:
            descriptor = os.open(
                f"/proc/{self._pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            )
        except OSError as error:
            raise self._error(error) from error
        try:
            recorder.watch(descriptor)
        finally:
            os.close(descriptor)
        self._snapshot = attach(self._pid, recorder, self._clock)

    def start(self) -> None:
        """Do nothing: it runs."""

    def polled(self) -> Mapping[int, int]:
        """Wait for the container's end."""
        return {self._pidfd: select.POLLIN}

    def turn(self, recorder: Recorder, ready: Mapping[int, int]) -> Sequence[Record]:
        """Hand out the snapshot, once."""
        del recorder, ready
        snapshot, self._snapshot = self._snapshot, []
        return [*self._identified(), *snapshot] if snapshot else []

    def owns(self, session: Session) -> bool | None:
        """Say yes: nothing but this container's root is watched."""
        del session
        return True

    def ended(self) -> bool:
        """Say whether the container's first process has ended."""
        return bool(select.select([self._pidfd], [], [], 0)[0])

    def forward(self, signal: int, *, typed: bool) -> bool:
        """Pass nothing on: the container is not the agent's."""
        del signal, typed
        return False

    def conclude(self) -> tuple[Sequence[Record], Sequence[str]]:
        """Say that the beginning was missed."""
        return self._snapshot, [LATE]

    def status(self) -> int | None:
        """Return 0: there is no command."""
        return 0

    def stop(self, signal: int) -> None:
        """Leave the container alone."""

    def source(self) -> str | None:
        """Return the image's reference as SOURCE, where an engine that SOURCE may name has it."""
        if self._found is None or self._found.engine.kind not in RUNTIMES:
            return None
        return f"{self._found.engine.kind}:{self._found.container.reference}"

    def close(self) -> None:
        """Let go of the process."""
        os.close(self._pidfd)

    def _identified(self) -> list[Record]:
        return [self._found.engine.identify(self._found.container)] if self._found else []

    def _error(self, error: OSError) -> ParedownError:
        name = f"container {escape_name(self._found.container.name)}" if self._found else ""
        hint = "run as root" if isinstance(error, PermissionError) else ""
        what = f"cannot attach to {name or f'process {self._pid}'}"
        return ParedownError(f"{what}: {error.strerror}", hint=hint)
