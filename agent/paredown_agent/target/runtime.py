"""``-- docker run …`` and ``-- podman run …``: the user's own command line, unchanged.

The container's overlay does not exist yet when the command starts, and no runtime tells when it
does. So every overlay that is mounted meanwhile is marked at once, before its container's first
exec, and which of them is the command's is asked beside that. What happens on all the others is
never told.
"""

from __future__ import annotations

import dataclasses
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from paredown_agent.commandline import container_name, redact, run_position
from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.signaldescriptor import unblock
from paredown_agent.target.attach import attach
from paredown_agent.target.base import EXEC_DELAY, LATE, CommandNotStartedError
from paredown_agent.target.engines.docker import CreatedContainers, Docker, DockerContainer
from paredown_agent.target.overlays import OverlayWatch
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import encode_name, escape_name
from paredown_schemas.trace import ImageIdentity, Record, Session

_ASK_AGAIN = 0.2  # seconds
# docker lets a question about a container wait while that one starts.
_AT_ONCE = 4

UNIDENTIFIED = "container not identified"
UNCERTAIN = "container not certain"


@dataclasses.dataclass(frozen=True, slots=True)
class _Begun:
    """A session's first process, and where the overlay was mounted on which it began."""

    mount_point: str
    pid: int
    first: bool  # a start of the container itself, nothing injected


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
        self._engine = Docker(command[: position - (command[position - 1] == "container")])
        self._clock = clock
        self._recorder: Recorder | None = None
        self._watch: OverlayWatch | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfds: dict[str, int] = {}  # of the command and of the container's first process
        self._begun: dict[int, _Begun] = {}  # by session
        self._created: CreatedContainers | None = None
        self._ours: DockerContainer | None = None
        self._certain = True
        self._running_since: float | None = None
        self._late = False
        self._executor = ThreadPoolExecutor(max_workers=_AT_ONCE)
        self._questions: list[tuple[str, Future[list[DockerContainer]]]] = []  # id, or "" for all
        self._stale = False  # what is known of the container may have changed
        self._asked = 0.0
        self._identity: Future[ImageIdentity] | None = None

    def arm(self, recorder: Recorder) -> None:
        """Begin to look for new containers and overlays."""
        self._recorder = recorder
        self._created = self._engine.created_since(self._clock.epoch)
        try:
            self._watch = OverlayWatch(self._clock)
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
        """Wait for mounts, new containers, and for the command and the container to end."""
        polled = dict.fromkeys(self._pidfds.values(), select.POLLIN)
        if self._created is not None:
            polled[self._created.fileno()] = select.POLLIN
        return polled if self._watch is None else {self._watch.fileno(): select.POLLPRI, **polled}

    def turn(self, recorder: Recorder, ready: Mapping[int, int]) -> Sequence[Record]:
        """Mark new overlays first of all; then ask and learn whose they are."""
        if self._watch is not None and self._watch.fileno() in ready:
            self._ask_about(self._watch.look(recorder))
        if self._created is not None and self._created.fileno() in ready:
            self._listen(self._created)
        self._reap(ready)
        for asked, question in [each for each in self._questions if each[1].done()]:
            self._questions.remove((asked, question))
            self._learn(asked, question.result())
        self._ask()
        return [*self._identified(wait=False), *self._attach_if_late(recorder)]

    def owns(self, session: Session) -> bool | None:
        """Say whose overlay the session began on; a late attach adopts only what is ours."""
        if self._recorder is None or self._watch is None:
            return None
        if (device := self._recorder.superblock(session.id)) is None:
            return True
        overlay = self._watch.find(device, session.time)
        if overlay is None:
            return False  # it began before it was watched: its first files are missing
        ours = self._is_root(overlay.mount_point)
        if ours is False:
            self._begun.pop(session.id, None)
        else:
            first = session.kind == "container"
            self._begun[session.id] = _Begun(overlay.mount_point, session.pid, first)
        return ours

    def ended(self) -> bool:
        """Say whether the command has ended, and its container for good."""
        if self.status() is None or self._stale or self._questions:
            return False
        return self._ours is None or self._ours.ended or not self._ours.started

    def forward(self, signal: int, *, typed: bool) -> bool:
        """Pass it on; what was typed has reached the command already, from the terminal."""
        if self._process is None or self._process.poll() is not None:
            return False
        if not typed:
            self._process.send_signal(signal)
        return True

    def conclude(self) -> tuple[Sequence[Record], Sequence[str]]:
        """Say whether the beginning was seen, of every start."""
        if self._ours is None:
            return [], [UNIDENTIFIED if self._begun else "no container was seen"]
        missed = self._ours.started and len(self._first_processes()) < self._ours.starts
        late = self._late or missed
        reasons = [reason for reason, so in ((LATE, late), (UNCERTAIN, not self._certain)) if so]
        return list(self._identified(wait=True)), reasons

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
        if self._created is not None:
            self._created.close()

    def _is_root(self, mount_point: str) -> bool | None:
        """Say whether it is the container's; None while nothing is known of that."""
        return None if self._ours is None else _is_root_of(self._ours, mount_point)

    def _ask_about(self, mount_points: Sequence[str]) -> None:
        self._stale |= bool(mount_points)
        for mount_point in mount_points if self._ours is None else ():
            if (container := self._engine.mounted(mount_point)) is not None:
                self._question(container)

    def _listen(self, created: CreatedContainers) -> None:
        """Ask at once: with --rm a container that ends soon is soon unknown to everybody."""
        new = created.read()
        if new is None:
            created.close()
            self._created = None
        for container in new or ():
            self._question(container)

    def _reap(self, ready: Mapping[int, int]) -> None:
        for name, descriptor in list(self._pidfds.items()):
            if descriptor in ready:
                os.close(self._pidfds.pop(name))
                self._stale = True

    def _ask(self) -> None:
        """Ask about ours, or about all where it is not known; only if the answer could be new."""
        waits = self._ours is not None and not self._ours.ended and "container" not in self._pidfds
        if not (self._stale or waits) or self._questions:
            return
        if self._process is None or time.monotonic() < self._asked + _ASK_AGAIN:
            return
        self._stale, self._asked = False, time.monotonic()
        if self._ours is not None:
            self._question(self._ours.id)
        elif self._created is None or "command" not in self._pidfds:
            self._questions.append(("", self._executor.submit(self._new_containers)))

    def _question(self, container: str) -> None:
        asked = self._executor.submit(self._engine.inspect, [container])
        self._questions.append((container, asked))

    def _new_containers(self) -> list[DockerContainer]:
        """Where nobody told of it."""
        found = self._engine.inspect(self._engine.recent())
        return [each for each in found if each.created >= self._clock.epoch]

    def _learn(self, asked: str, containers: Sequence[DockerContainer]) -> None:
        if self._ours is None:
            self._claim([each for each in containers if self._is_ours(each)])
        elif asked == self._ours.id:
            # A container that was removed when it ended is not there any more.
            gone = dataclasses.replace(self._ours, pid=0, ended=True)
            self._ours = containers[0] if containers else gone
        else:
            self._certain &= not any(self._is_ours(each) for each in containers)
        if self._ours is not None and self._ours.pid and "container" not in self._pidfds:
            self._follow(self._ours.pid)

    def _claim(self, found: Sequence[DockerContainer]) -> None:
        if not found:
            return
        self._ours = found[0]
        self._certain = len(found) == 1
        self._identity = self._executor.submit(self._engine.identify, self._ours)
        if self._created is not None:
            self._created.close()
            self._created = None
        if self._watch is not None and self._recorder is not None:
            self._watch.narrow(self._recorder, self._is_root)

    def _is_ours(self, container: DockerContainer) -> bool:
        if container.created_by:
            return list(container.created_by[1:]) == self._line[1:]
        return any(
            word == container.reference
            and tuple(self._arguments[index + 1 :]) in ((), container.command)
            and container_name(self._arguments[:index]) in (None, container.name)
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
        if time.monotonic() < self._running_since + EXEC_DELAY:
            return []
        self._running_since = None
        if self._ours.pid in self._first_processes():
            return []
        self._late = True
        return attach(self._ours.pid, recorder, self._clock)

    def _first_processes(self) -> list[int]:
        """Those that were seen to exec as the first of the container, one for each start."""
        return [
            begun.pid
            for begun in self._begun.values()
            if begun.first and self._is_root(begun.mount_point)
        ]

    def _identified(self, *, wait: bool) -> Iterator[ImageIdentity]:
        if self._identity is not None and (wait or self._identity.done()):
            identity, self._identity = self._identity, None
            yield identity.result()


def _is_root_of(container: DockerContainer, mount_point: str) -> bool:
    """By the driver's word, or by the id that containerd's snapshots are mounted under."""
    root = container.root and os.path.realpath(container.root)
    return root == mount_point or container.id in mount_point.split("/")
