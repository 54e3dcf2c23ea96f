"""A container that ends and is started again, by its restart policy or by hand.

Its root goes and is mounted anew, at the same place and before the first exec of the new start: it
is watched there again. Whether a container will come back only its engine can tell.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

from paredown_agent.mountinfo import read_mounts
from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.target.engines.base import Container
from paredown_agent.target.engines.registry import Found
from paredown_agent.target.overlays import OverlayWatch
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import Session

# Seconds in which "restart" by hand has started a container that it stopped.
_GRACE = 2.0
_ASK_AGAIN = 0.3  # seconds


class Restarts:
    """Watches for one container's next start, and knows its starts' sessions from others'."""

    def __init__(self, found: Found, mount_point: str, clock: Clock) -> None:
        """``mount_point`` is where the container's root is mounted; raises OSError."""
        self._found = found
        self._mount_point = mount_point
        self._watch = OverlayWatch(clock, also_mounted=True)
        self._executor = ThreadPoolExecutor(max_workers=1)
        self._question: Future[Container | None] | None = None
        self._asked = self._gone = 0.0
        self._began: set[int] = set()

    def fileno(self) -> int:
        """Return a descriptor that polls POLLPRI when ``look`` is due."""
        return self._watch.fileno()

    def look(self, recorder: Recorder) -> None:
        """Have the container's root watched, if it is mounted and is not."""
        self._watch.narrow(recorder, lambda point: point == self._mount_point)
        self._watch.look(recorder)

    def owns(self, session: Session, device: int) -> bool:
        """Say whether a session that began on ``device`` is the container's."""
        overlay = self._watch.find(device, session.time)
        if overlay is None or overlay.mount_point != self._mount_point:
            return False
        self._began.add(session.pid)
        return True

    def saw_begin(self, pid: int) -> bool:
        """Say whether the first exec of a process was seen."""
        return pid in self._began

    def end(self) -> None:
        """Begin to wait for the next start: the first process has ended."""
        self._gone = time.monotonic()

    def next_start(self) -> int | None:
        """Return the first process of the next start, 0 if there will be none; None to wait."""
        if self._question is None:
            if time.monotonic() >= self._asked + _ASK_AGAIN:
                self._asked = time.monotonic()
                self._question = self._executor.submit(self._ask)
            return None
        if not self._question.done():
            return None
        container, self._question = self._question.result(), None
        if container is None:
            return 0
        waits = container.restarting or time.monotonic() < self._gone + _GRACE
        return container.pid or (None if waits else 0)

    def close(self) -> None:
        """Stop watching."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._watch.close()

    def _ask(self) -> Container | None:
        """None for one that was removed, or whose engine has gone."""
        try:
            found = self._found.engine.find(self._found.container.id)
        except ParedownError:
            return None
        return next((each for each in found if each.id == self._found.container.id), None)


def mount_point_of(device: int) -> str | None:
    """Return where a container's whole superblock is mounted in the agent's sight, if it is."""
    whole = (each for each in read_mounts().mounts if each.device == device and each.root == "/")
    return next((each.mount_point for each in whole if each.fstype == "overlay"), None)
