"""The order in which a plain command is armed."""

from __future__ import annotations

import os
from typing import cast

from paredown_agent.recorder.base import Recorder
from paredown_agent.target.command import CommandTarget, Waiting


class Noting:
    """A recorder that only notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def watch(self, directory: int) -> bool:
        assert os.fstat(directory)
        self.asked.append("watch")
        return True

    def adopt(self, pid: int, kind: str) -> int:
        self.asked.append(f"adopt {pid} {kind}")
        return 1


def test_others_on_the_same_superblock_never_begin_a_session() -> None:
    waiting = Waiting(os.getpid(), os.pidfd_open(os.getpid()), os.dup(0))
    noting = Noting()
    CommandTarget(["true"], waiting).arm(cast("Recorder", noting))
    assert noting.asked == [f"adopt {os.getpid()} command", "watch"]
    waiting.close()
