"""A container, by the user's own ``docker run`` or ``podman run``."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from paredown_minimizer.trial.agent import Agent, Recording
from paredown_minimizer.trial.model import IMAGE, Launch
from paredown_minimizer.trial.processes import end_session, ended_within, output_of, start, tail
from paredown_schemas.errors import ParedownError, UsageError
from paredown_schemas.names import escape_name

_RUNTIMES = ("docker", "podman")
_LOGS_WITHIN = 5.0


class StartedContainer:
    """See ``Started``."""

    def __init__(self, launch: Launch, recording: Recording) -> None:
        """Start it, with one option more: a file that its id is written to."""
        words = launch.words()
        position = _run_position(launch, words)
        self._engine = words[: position - (words[position - 1] == "container")]
        self._log = recording.log
        self._file = recording.space / "container"
        line = [*words[: position + 1], "--cidfile", str(self._file), *words[position + 1 :]]
        self._agent = Agent(recording, recording.trace, ["--", *line])
        self._follower: subprocess.Popen[bytes] | None = None
        self._exit: int | None = None
        self.await_armed = self._agent.await_armed
        self.mark = self._agent.mark

    def runs(self) -> bool:
        """Ask the engine."""
        if (container := self._container()) is None:
            return False
        self._follow_detached(container)
        return self._ask("inspect", "--format", "{{.State.Running}}", container) == "true"

    def status(self) -> int | None:
        """Return the container's own, as far as somebody still knows that of a detached one."""
        if self._exit is None:
            self._exit = self._agent.status()
            container = None if self._exit is None else self._container()
            if container is not None and self._follow_detached(container):
                told = self._ask("inspect", "--format", "{{.State.ExitCode}}", container)
                self._exit = int(told) if told.isdecimal() else self._exit
        return self._exit

    def environment(self) -> Mapping[str, str]:
        """Return the container's id."""
        container = self._container()
        return {} if container is None else {"PAREDOWN_CONTAINER": container}

    def stop(self, *, politely: bool) -> None:
        """Stop and remove it; its own --rm may have done so."""
        container = self._container()
        if container is None:
            self._agent.stop()
        elif politely:
            self._ask("stop", container)
        else:
            self._remove(container)
        self._agent.outlast()
        if (container := self._container()) is not None:
            self._remove(container)
        if self._follower is not None:
            end_session(self._follower)

    def _follow_detached(self, container: str) -> bool:
        """Have what it writes written to the log, where its command has left; say whether so."""
        if self._follower is None and container in tail(self._log):
            with self._log.open("ab") as log:
                self._follower = start([*self._engine, "logs", "--follow", container], log)
        if self._follower is not None and self._agent.status() is not None:
            ended_within(self._follower, _LOGS_WITHIN)
        return self._follower is not None

    def _container(self) -> str | None:
        try:
            return self._file.read_text("ascii").strip() or None
        except FileNotFoundError:
            return None

    def _remove(self, container: str) -> None:
        self._ask("rm", "--force", "--volumes", container)

    def _ask(self, *arguments: str) -> str:
        return output_of([*self._engine, *arguments])


def _run_position(launch: Launch, words: Sequence[str]) -> int:
    shown = escape_name(launch.run)
    if os.path.basename(words[0]) not in _RUNTIMES or "run" not in words:
        raise UsageError(
            f"cannot start {shown}: no docker run or podman run",
            hint="--run 'docker run --rm -p 8080:80 {image}'; --rootfs DIR runs a command in DIR",
        )
    if IMAGE not in launch.run:
        raise UsageError(
            f"cannot start {shown}: it names no image", hint="write {image} in the image's place"
        )
    if "--cidfile" in (word.partition("=")[0] for word in words):
        raise UsageError(
            f"cannot start {shown}: --cidfile is added here",
            hint="leave it out: tests have the container's id in PAREDOWN_CONTAINER",
        )
    if shutil.which(words[0]) is None:
        raise ParedownError(f"cannot start {escape_name(words[0])}: not installed")
    return words.index("run")
