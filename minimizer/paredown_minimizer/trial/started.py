"""What runs in a trial, by the kind of its start: a file each, behind ``Started``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from paredown_minimizer.trial.agent import Recording
from paredown_minimizer.trial.model import Launch


class Started(Protocol):
    """An image that was started under the agent."""

    def await_armed(self) -> None:
        """Return once it is recorded; raises as ``Agent.await_armed`` does."""

    def runs(self) -> bool:
        """Say whether its first process has been started; it may have ended since."""

    def status(self) -> int | None:
        """Return the exit status once it has ended; None while it runs."""

    def environment(self) -> Mapping[str, str]:
        """Return what tests are told of it."""

    def mark(self, name: str) -> None:
        """Put a mark into its recording."""

    def stop(self, *, politely: bool) -> None:
        """End it, as its user would or at once, and the recording; leave nothing of it."""


def begin(launch: Launch, recording: Recording) -> Started:
    """Start an image.

    Raises:
        UsageError: it cannot be started so.
        ParedownError: what starts it is not installed.
    """
    if launch.target == "rootfs":
        from paredown_minimizer.trial.rootfs import StartedRootfs  # noqa: PLC0415

        return StartedRootfs(launch, recording)
    if launch.target == "compose":
        from paredown_minimizer.trial.compose import StartedService  # noqa: PLC0415

        return StartedService(launch, recording)
    from paredown_minimizer.trial.container import StartedContainer  # noqa: PLC0415

    return StartedContainer(launch, recording)
