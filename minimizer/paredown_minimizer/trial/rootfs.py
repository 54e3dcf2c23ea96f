"""A command in a root filesystem, in a container of the agent's own."""

from __future__ import annotations

from collections.abc import Mapping

from paredown_minimizer.trial.agent import Agent, Recording
from paredown_minimizer.trial.model import Launch


class StartedRootfs:
    """See ``Started``."""

    def __init__(self, launch: Launch, recording: Recording) -> None:
        """Start it."""
        self._agent = Agent(
            recording, recording.trace, ["--rootfs", launch.image, "--", *launch.words()]
        )
        self.await_armed = self._agent.await_armed
        self.status = self._agent.status
        self.mark = self._agent.mark

    def runs(self) -> bool:
        """Say yes: it is started within moments of being armed."""
        return True

    def environment(self) -> Mapping[str, str]:
        """Return nothing more: it has the host's network, and no name."""
        return {}

    def stop(self, *, politely: bool) -> None:
        """Ask it to end; its agent kills what does not, and whatever the agent's end leaves."""
        del politely
        self._agent.stop()
