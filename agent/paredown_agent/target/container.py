"""``--container NAME-OR-ID``: attaches to a container that runs already, whoever runs it."""

from __future__ import annotations

import os
import select
from collections.abc import Mapping, Sequence

from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.target.attach import attach
from paredown_agent.target.base import LATE
from paredown_agent.target.engines.registry import Engines
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.trace import Record, Session


class ContainerTarget:
    """A running container, which the agent neither starts nor stops; see ``Target``."""

    kind = "container"
    command: tuple[str, ...] = ()

    def __init__(self, name: str, clock: Clock) -> None:
        """Find the container; raises ParedownError where no runtime has it, or it does not run."""
        self._clock = clock
        self._name = name
        found = Engines().find(name)
        self._engine, self._found = found.engine, found.container
        self.container: str | None = self._found.id
        try:
            self._pidfd = os.pidfd_open(self._found.pid)
        except OSError as error:
            raise self._error(error) from error
        self._snapshot: list[Record] = []

    def arm(self, recorder: Recorder) -> None:
        """Watch the container's root, then take what its processes hold."""
        try:
            descriptor = os.open(
                f"/proc/{self._found.pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            )
        except OSError as error:
            raise self._error(error) from error
        try:
            recorder.watch(descriptor)
        finally:
            os.close(descriptor)
        self._snapshot = attach(self._found.pid, recorder, self._clock)

    def start(self) -> None:
        """Do nothing: it runs."""

    def polled(self) -> Mapping[int, int]:
        """Wait for the container's end."""
        return {self._pidfd: select.POLLIN}

    def turn(self, recorder: Recorder, ready: Mapping[int, int]) -> Sequence[Record]:
        """Hand out the snapshot, once."""
        del recorder, ready
        snapshot, self._snapshot = self._snapshot, []
        return [self._engine.identify(self._found), *snapshot] if snapshot else []

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
        """Return the image's reference as SOURCE."""
        return f"{self._engine.kind}:{self._found.reference}"

    def close(self) -> None:
        """Let go of the process."""
        os.close(self._pidfd)

    def _error(self, error: OSError) -> ParedownError:
        hint = "run as root" if isinstance(error, PermissionError) else ""
        return ParedownError(
            f"cannot attach to container {escape_name(self._name)}: {error.strerror}", hint=hint
        )
