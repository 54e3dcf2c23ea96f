"""A service of a compose file, in a project of its own: what runs of the file already goes on.

An override file names the image and the container of the service; the rest of the file is the
user's. The agent waits for a container of that name, so that it is armed before its first exec.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from paredown_minimizer.trial.agent import Agent, Recording
from paredown_minimizer.trial.model import Launch
from paredown_minimizer.trial.processes import end_session, exit_status, output_of, start
from paredown_schemas.errors import ParedownError, UsageError
from paredown_schemas.names import escape_name

_PROGRAMS = (("docker", "compose"), ("docker-compose",))


class StartedService:
    """See ``Started``."""

    def __init__(self, launch: Launch, recording: Recording) -> None:
        """Begin to record; the services are started once that is armed."""
        if launch.compose is None or launch.service is None:
            raise UsageError("cannot start a service: no compose file, or none of its services")
        project = f"paredown-{secrets.token_hex(4)}"
        self._name = f"{project}-{launch.service}"
        override = recording.space / "override.yaml"
        override.write_text(override_text(launch.compose, launch.service, launch.image, self._name))
        files = ["--file", str(launch.compose), "--file", str(override)]
        self._compose = [*_program(), "--project-name", project, *files]
        self._recording = recording
        self._traces = Path(recording.space, "traces").resolve()
        self._up: subprocess.Popen[bytes] | None = None
        arguments = ["--all-containers", "--match", self._name]
        self._agent = Agent(recording, self._traces, arguments)
        self.mark = self._agent.mark

    def await_armed(self) -> None:
        """Start the services once the recording is armed."""
        self._agent.await_armed()
        with self._recording.log.open("ab") as log:
            self._up = start([*self._compose, "up", "--no-build", "--no-color"], log)

    def runs(self) -> bool:
        """Ask docker."""
        return self._inspect("{{.State.Running}}") == "true"

    def status(self) -> int | None:
        """Return the service's own, or that of the whole start where it never came to it."""
        state, _, code = self._inspect("{{.State.Status}} {{.State.ExitCode}}").partition(" ")
        if state in ("exited", "dead"):
            return int(code)
        return exit_status(self._up) if self._up is not None else None

    def environment(self) -> Mapping[str, str]:
        """Return the container's id, and what marks go to."""
        container = self._inspect("{{.Id}}")
        found = {"PAREDOWN_CONTAINER": container} if container else {}
        return {"PAREDOWN_TRACE": str(self._traces), **found}

    def stop(self, *, politely: bool) -> None:
        """End and remove the project with its networks and volumes."""
        seconds = "10" if politely else "0"
        down = ["down", "--timeout", seconds, "--volumes", "--remove-orphans"]
        output_of([*self._compose, *down])
        if self._up is not None:
            end_session(self._up)
        self._agent.stop()
        for trace in sorted(self._traces.glob("*.trace"))[:1]:
            shutil.move(trace, self._recording.trace)

    def _inspect(self, form: str) -> str:
        return output_of(["docker", "container", "inspect", "--format", form, self._name])


def override_text(file: Path, service: str, image: str, name: str) -> str:
    """Return an override of ``file`` in which ``service`` runs ``image`` in a container ``name``.

    docker-compose 1 wants the version that the file itself has.

    Raises:
        UsageError: the file has no such service.
        ParedownError: it cannot be read.
    """
    shown = escape_name(str(file))
    try:
        content: Any = yaml.safe_load(file.read_bytes())
    except OSError as error:
        raise ParedownError(f"cannot read {shown}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ParedownError(f"cannot read {shown}: it is no YAML") from error
    services = content.get("services") if isinstance(content, dict) else None
    if not isinstance(services, dict) or service not in services:
        known = ", ".join(map(str, services)) if isinstance(services, dict) else "none"
        raise UsageError(
            f"cannot start service {escape_name(service)}: {shown} has no such one",
            hint=f"it has: {escape_name(known)}",
        )
    version = {"version": content["version"]} if "version" in content else {}
    override = {"image": image, "container_name": name}
    return json.dumps({**version, "services": {service: override}}) + "\n"


def _program() -> Sequence[str]:
    for program in _PROGRAMS:
        if shutil.which(program[0]) and output_of([*program, "version"]):
            return program
    raise ParedownError(
        "cannot start a compose file: there is neither docker compose nor docker-compose",
        hint="install docker's compose plugin",
    )
