"""The start of a container, while fanotify may make one event of two.

A runtime opens files in the root, and goes on as the container's first program. Opens of one file
by one process are one event until that is read (fanotify_merge() of fs/notify/fanotify/fanotify.c):
the program's would pass for the runtime's. So the kernel side looks at what is opened again, from
the watch of a superblock until a session has begun there and everything before that has been read.
It costs every system call of the host something, and so ends after some seconds in any case.
"""

from __future__ import annotations

import dataclasses
import time

from paredown_agent.recorder.attach import AGAIN
from paredown_agent.recorder.programs import Programs
from paredown_schemas.errors import ParedownError

_PATIENCE = 5_000_000_000


@dataclasses.dataclass(slots=True)
class _Start:
    deadline: int
    began: int | None = None


class Startup:
    """Attaches what looks at opens while any superblock is new; times are CLOCK_MONOTONIC ns."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._starts: dict[int, _Start] = {}  # by dev_t

    def expect(self, device: int) -> None:
        """Look from now on: a container may start on a superblock that is not yet watched."""
        if not self._starts:
            try:
                self._programs.attach(AGAIN)
            except ParedownError:
                return  # see ``sees``
        self._starts[device] = _Start(time.monotonic_ns() + _PATIENCE)

    def sees(self, device: int | None) -> bool:
        """Say whether all that was opened again on a superblock, or on any, is told.

        Where it is not, what may be the runtime's or the container's has to count as the latter's.
        """
        return bool(self._starts) if device is None else device in self._starts

    def began(self, device: int | None, when: int) -> None:
        """A session has run its first program on a superblock, or one that was adopted has."""
        for each, start in self._starts.items():
            if device in (None, each) and start.began is None:
                start.began = when

    def cancel(self, device: int) -> None:
        """Nothing will start on a superblock."""
        self._starts.pop(device, None)
        self._end()

    def turn(self, empty: int) -> None:
        """All that happened before ``empty`` has been read: end what is over."""
        now = time.monotonic_ns()
        for device, start in list(self._starts.items()):
            if start.deadline < now or (start.began is not None and start.began < empty):
                del self._starts[device]
                self._end()

    def _end(self) -> None:
        if not self._starts:
            self._programs.detach_one(AGAIN)
