"""``--container NAME-OR-ID`` and ``--pid PID``: a container that runs already, whoever runs it."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Mapping, Sequence

from paredown_agent.commandline import RUNTIMES
from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.target.attach import attach
from paredown_agent.target.base import EXEC_DELAY, LATE
from paredown_agent.target.engines.registry import Engines, Found
from paredown_agent.target.members import container_id, first_process
from paredown_agent.target.restarts import Restarts, mount_point_of
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
        self._pidfd: int | None = None  # None between two starts
        self._since: float | None = None  # when its present start was met, until that is done with
        self._identified = False
        self._snapshot: list[Record] = []
        self._recorder: Recorder | None = None
        self._restarts: Restarts | None = None
        self._over = False
        try:
            self._follow(pid)
        except OSError as error:
            raise self._error(error) from error

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
        self._recorder = recorder
        try:
            device = self._watch_root(recorder)
            mount_point = mount_point_of(device)
            if self._found is not None and mount_point is not None:
                self._restarts = Restarts(self._found, mount_point, self._clock)
                self._restarts.look(recorder)
        except OSError as error:
            raise self._error(error) from error
        self._snapshot = attach(self._pid, recorder, self._clock)
        self._since = None

    def start(self) -> None:
        """Do nothing: it runs."""

    def polled(self) -> Mapping[int, int]:
        """Wait for the container's end, and for its root to be mounted again."""
        polled = {} if self._pidfd is None else {self._pidfd: select.POLLIN}
        return (
            polled
            if self._restarts is None
            else {self._restarts.fileno(): select.POLLPRI, **polled}
        )

    def turn(self, recorder: Recorder, ready: Mapping[int, int]) -> Sequence[Record]:
        """Watch a new start's root first of all; hand out what a snapshot holds, once."""
        if self._restarts is not None and self._restarts.fileno() in ready:
            self._restarts.look(recorder)
        if self._pidfd is not None and self._pidfd in ready:
            self._let_go()
        if self._pidfd is None and not self._over:
            self._await_start()
        self._attach_if_late(recorder)
        return self._handed_out()

    def owns(self, session: Session) -> bool | None:
        """Say yes, unless its root went and another container's has its number."""
        device = self._recorder.superblock(session.id) if self._recorder else None
        if device is None or self._restarts is None:
            return True
        return self._restarts.owns(session, device)

    def ended(self) -> bool:
        """Say whether the container has ended, and is not started again."""
        return self._over

    def forward(self, signal: int, *, typed: bool) -> bool:
        """Pass nothing on: the container is not the agent's."""
        del signal, typed
        return False

    def conclude(self) -> tuple[Sequence[Record], Sequence[str]]:
        """Say that the beginning was missed."""
        return self._handed_out(), [LATE]

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
        if self._pidfd is not None:
            os.close(self._pidfd)
        if self._restarts is not None:
            self._restarts.close()

    def _follow(self, pid: int) -> None:
        self._pidfd = os.pidfd_open(pid)
        self._pid = pid
        self._since = time.monotonic()

    def _let_go(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        if self._restarts is None:
            self._over = True
        else:
            self._restarts.end()

    def _await_start(self) -> None:
        pid = self._restarts.next_start() if self._restarts is not None else 0
        if pid:
            with contextlib.suppress(ProcessLookupError):  # it has ended already
                self._follow(pid)
        self._over = pid == 0

    def _attach_if_late(self, recorder: Recorder) -> None:
        """A later start whose first exec was missed."""
        if self._pidfd is None or self._restarts is None or self._since is None:
            return
        if time.monotonic() < self._since + EXEC_DELAY:
            return
        self._since = None
        if not self._restarts.saw_begin(self._pid):
            with contextlib.suppress(OSError, ParedownError):  # it has ended
                self._watch_root(recorder)
                self._snapshot += attach(self._pid, recorder, self._clock)

    def _watch_root(self, recorder: Recorder) -> int:
        """Return its st_dev; raises OSError."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        descriptor = os.open(f"/proc/{self._pid}/root", flags)
        try:
            recorder.watch(descriptor)
            return os.fstat(descriptor).st_dev
        finally:
            os.close(descriptor)

    def _handed_out(self) -> list[Record]:
        """The image's identity goes before the first snapshot."""
        snapshot, self._snapshot = self._snapshot, []
        if snapshot and self._found is not None and not self._identified:
            self._identified = True
            return [self._found.engine.identify(self._found.container), *snapshot]
        return snapshot

    def _error(self, error: OSError) -> ParedownError:
        name = f"container {escape_name(self._found.container.name)}" if self._found else ""
        hint = "run as root" if isinstance(error, PermissionError) else ""
        what = f"cannot attach to {name or f'process {self._pid}'}"
        return ParedownError(f"{what}: {error.strerror}", hint=hint)
