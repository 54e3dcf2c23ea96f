"""Run a command in the agent's own kind of container, but unrecorded: unrecorded.py DIR COMMAND….

What a recorded run is compared with: the same overlay, namespaces and runtime, and no recorder.
"""

from __future__ import annotations

import select
import signal
import sys
from typing import cast

from paredown_agent.recorder.base import Recorder
from paredown_agent.target import rootfs

_FORWARDED = (signal.SIGINT, signal.SIGTERM)


class _Nothing:
    def watch(self, directory: int) -> None:
        del directory


def main(directory: str, *command: str) -> int:
    """Run ``command`` and return its exit status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    target = rootfs.RootfsTarget(directory, command, _FORWARDED)
    target.arm(cast("Recorder", _Nothing()))
    target.start()
    while not target.ended():
        select.select([*target.polled()], [], [], 0.1)
        if received := signal.sigtimedwait(_FORWARDED, 0):
            target.forward(received.si_signo, typed=False)
    status = target.status()
    target.close()
    return status or 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
