"""``-- docker run …`` and ``-- podman run …``: the user's own command line, unchanged.

The container's overlay does not exist yet when the command starts, and no runtime tells when it
does. So every overlay that is mounted meanwhile is marked at once, before its container's first
exec, and whose it is is asked beside that.
"""

from __future__ import annotations

import dataclasses
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from paredown_agent.commandline import redact, run_position
from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.signaldescriptor import unblock
from paredown_agent.target.attach import attach
from paredown_agent.target.base import LATE, CommandNotStartedError
from paredown_agent.target.engine import Container, Engine
from paredown_agent.target.overlays import OverlayWatch
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import encode_name, escape_name
from paredown_schemas.trace import ImageIdentity, Record, Session

# Seconds from the engine's "running" to the first exec; without a session by then it is late.
_EXEC_DELAY = 2.0
_ASK_AGAIN = 0.2  # seconds
# A container that no answer knows so often was removed before the first, or is none.
_ANSWERS = 5


@dataclasses.dataclass(slots=True)
class _Overlay:
    """An overlay that was mounted while the command ran; ``ours`` is None while unknown."""

    mount_point: str
    ours: bool | None = None
    answers: int = 0


class RuntimeTarget:
    """The container that a command line of docker or podman starts; see ``Target``."""

    container: str | None = None

    def __init__(self, command: Sequence[str], clock: Clock) -> None:
        """``command`` is one that ``run_position`` knows."""
        position = run_position(command)
        if position is None:
            raise ParedownError(f"cannot record {escape_name(command[0])}: not a container's start")
        self.kind = os.path.basename(command[0])
        self.command = redact(command)
        self._line = list(command)
        self._arguments = list(command[position + 1 :])
        self._engine = Engine(command[: position - (command[position - 1] == "container")])
        self._clock = clock
        self._recorder: Recorder | None = None
        self._watch: OverlayWatch | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfds: dict[str, int] = {}  # of the command and of the container's first process
        self._overlays: dict[int, _Overlay] = {}  # by st_dev
        self._seen: set[tuple[int, int]] = set()  # st_dev and first process of every session
        self._before: set[str] = set()  # containers that were there before
        self._ours: Container | None = None
        self._running_since: float | None = None
        self._late = False
        self._executor = ThreadPoolExecutor(max_workers=2)
        self._question: Future[list[Container]] | None = None
        self._stale = False  # what is known of the container may have changed
        self._asked = 0.0
        self._identity: Future[ImageIdentity] | None = None

    def arm(self, recorder: Recorder) -> None:
        """Begin to look for new overlays."""
        self._recorder = recorder
        self._before = set(self._engine.recent())
        try:
            self._watch = OverlayWatch()
        except OSError as error:
            raise ParedownError(f"cannot watch the mount table: {error.strerror}") from error

    def start(self) -> None:
        """Start the user's command, with the agent's own stdio."""
        name = escape_name(self._line[0])
        try:
            self._process = subprocess.Popen(
                [encode_name(word) for word in self._line],
                preexec_fn=unblock,  # noqa: PLW1509 - no thread has been started yet
            )
        except FileNotFoundError as error:
            raise CommandNotStartedError(f"cannot start {name}: not installed", 127) from error
        except OSError as error:
            raise CommandNotStartedError(f"cannot start {name}: {error.strerror}", 126) from error
        self._pidfds["command"] = os.pidfd_open(self._process.pid)

    def polled(self) -> Mapping[int, int]:
        """Wait for mounts, and for the command and the container to end."""
        polled = dict.fromkeys(self._pidfds.values(), select.POLLIN)
        return polled if self._watch is None else {self._watch.fileno(): select.POLLPRI, **polled}

    def turn(self, recorder: Recorder, ready: Mapping[int, int]) -> Sequence[Record]:
        """Mark new overlays first of all; then ask and learn whose they are."""
        if self._watch is not None and self._watch.fileno() in ready:
            self._mark(recorder, self._watch)
        self._reap(ready)
        if self._question is not None and self._question.done():
            containers, self._question = self._question.result(), None
            self._learn(containers)
        self._ask()
        return [*self._identified(wait=False), *self._attach_if_late(recorder)]

    def owns(self, session: Session) -> bool | None:
        """Say whose overlay the session began on; a late attach adopts only what is ours."""
        device = self._recorder.superblock(session.id) if self._recorder is not None else None
        if device is None:
            return True
        self._seen.add((device, session.pid))
        overlay = self._overlays.get(device)
        return False if overlay is None else overlay.ours

    def ended(self) -> bool:
        """Say whether the command has ended, and its container for good."""
        if self.status() is None or self._stale or self._question is not None:
            return False
        return self._ours.ended if self._ours is not None else not self._undecided()

    def forward(self, signal: int, *, typed: bool) -> bool:
        """Pass it on; what was typed has reached the command already, from the terminal."""
        if self._process is None or self._process.poll() is not None:
            return False
        if not typed:
            self._process.send_signal(signal)
        return True

    def conclude(self) -> tuple[Sequence[Record], Sequence[str]]:
        """Say whether the beginning was seen."""
        if self._ours is None:
            return [], ["container not identified" if self._seen else "no container was seen"]
        late = self._late or not self._first_processes()
        return list(self._identified(wait=True)), [LATE] if late else []

    def status(self) -> int | None:
        """Return the command's exit status, which is the container's unless it is detached."""
        if self._process is None or (status := self._process.poll()) is None:
            return None
        return status if status >= 0 else 128 - status

    def stop(self, signal: int) -> None:
        """Leave the command and its container alone."""

    def source(self) -> str | None:
        """Return the image's reference as SOURCE."""
        return None if self._ours is None else f"{self.kind}:{self._ours.reference}"

    def close(self) -> None:
        """Let go of everything; the container goes on."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        for descriptor in self._pidfds.values():
            os.close(descriptor)
        if self._watch is not None:
            self._watch.close()

    def _mark(self, recorder: Recorder, watch: OverlayWatch) -> None:
        for mount_point, device in watch.mark(recorder):
            # A restart mounts the same overlay again.
            known = any(o.ours and o.mount_point == mount_point for o in self._overlays.values())
            self._overlays[device] = _Overlay(mount_point, ours=True if known else None)
            # At once: with --rm a container that ends soon is soon unknown to everybody.
            self._stale, self._asked = True, 0.0

    def _reap(self, ready: Mapping[int, int]) -> None:
        for name, descriptor in list(self._pidfds.items()):
            if descriptor in ready:
                os.close(self._pidfds.pop(name))
                self._stale = True

    def _ask(self) -> None:
        """One question at a time, and only while the answer could be new."""
        waits = self._ours is not None and not self._ours.ended and "container" not in self._pidfds
        if not (self._stale or waits or self._undecided()) or self._question is not None:
            return
        if self._process is None or time.monotonic() < self._asked + _ASK_AGAIN:
            return
        self._stale, self._asked = False, time.monotonic()
        if self._ours is None:
            self._question = self._executor.submit(self._new_containers)
        else:
            self._question = self._executor.submit(self._engine.inspect, [self._ours.id])

    def _undecided(self) -> bool:
        """Whether an overlay is worth another question."""
        overlays = self._overlays.values()
        return any(each.ours is None and each.answers < _ANSWERS for each in overlays)

    def _new_containers(self) -> list[Container]:
        new = [number for number in self._engine.recent() if number not in self._before]
        return self._engine.inspect(new)

    def _learn(self, containers: Sequence[Container]) -> None:
        for overlay in self._overlays.values():
            if overlay.ours is None:
                self._decide(overlay, containers)
        if self._ours is None:
            return
        # A container that was removed when it ended is not there any more.
        gone = dataclasses.replace(self._ours, pid=0, running=False, ended=True)
        self._ours = next((each for each in containers if each.id == self._ours.id), gone)
        if self._ours.pid and "container" not in self._pidfds:
            self._follow(self._ours.pid)

    def _decide(self, overlay: _Overlay, containers: Sequence[Container]) -> None:
        for container in containers:
            if _is_root_of(container, overlay.mount_point):
                overlay.ours = self._is_ours(container)
                if overlay.ours and self._ours is None:
                    self._ours = container
                    self._identity = self._executor.submit(self._engine.identify, container)
                return
        overlay.answers += 1
        if self._ours is not None:
            overlay.ours = False

    def _is_ours(self, container: Container) -> bool:
        if self._ours is not None:
            return container.id == self._ours.id
        if container.created_by:
            return list(container.created_by[1:]) == self._line[1:]
        return any(
            word == container.reference
            and tuple(self._arguments[index + 1 :]) in ((), container.command)
            for index, word in enumerate(self._arguments)
        )

    def _follow(self, pid: int) -> None:
        try:
            self._pidfds["container"] = os.pidfd_open(pid)
        except ProcessLookupError:
            self._stale = True
        self._running_since = time.monotonic()

    def _attach_if_late(self, recorder: Recorder) -> Sequence[Record]:
        if self._ours is None or self._running_since is None or "container" not in self._pidfds:
            return []
        if time.monotonic() < self._running_since + _EXEC_DELAY:
            return []
        self._running_since = None
        if self._ours.pid in self._first_processes():
            return []
        self._late = True
        return attach(self._ours.pid, recorder, self._clock)

    def _first_processes(self) -> set[int]:
        """Those that were seen to exec in the container as the first of a session."""
        ours = {device for device, overlay in self._overlays.items() if overlay.ours}
        return {pid for device, pid in self._seen if device in ours}

    def _identified(self, *, wait: bool) -> Iterator[ImageIdentity]:
        if self._identity is not None and (wait or self._identity.done()):
            identity, self._identity = self._identity, None
            yield identity.result()


def _is_root_of(container: Container, mount_point: str) -> bool:
    """By the driver's word, or by the id that containerd's snapshots are mounted under."""
    merged = container.merged and os.path.realpath(container.merged)
    return merged == mount_point or container.id in mount_point.split("/")
