"""The agent and docker, as tests start them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from paredown_schemas.trace import File, Run, read_trace

IMAGE = "paredown-nginx:test"


class RunAgent:
    """Starts ``paredown-agent``."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def start(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start it in a session of its own, so that nothing of the test's terminal reaches it."""
        piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            [sys.executable, "-m", "paredown_agent", *map(str, arguments)],
            text=True,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            **{**piped, **options},
        )
        self._started.append(process)
        return process

    def __call__(
        self, *arguments: str | Path, timeout: float = 60, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        process = self.start(*arguments, **options)
        stdout, stderr = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def close(self) -> None:
        """Kill what a failed test left."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()


class Engine:
    """One docker daemon, or one podman with a storage of its own: what leads to it is ``env``."""

    def __init__(self, command: str, env: Mapping[str, str]) -> None:
        self.command = command
        self.env = dict(env)

    def run(
        self, *arguments: str, check: bool = True, stdin: IO[bytes] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the engine's command."""
        return subprocess.run(
            [self.command, *arguments],
            check=check,
            capture_output=True,
            text=True,
            stdin=stdin,
            env={**os.environ, **self.env},
            timeout=60,
        )


class Docker(Engine):
    """One docker daemon."""

    def __init__(self, host: str) -> None:
        super().__init__("docker", {"DOCKER_HOST": host})


def only_run(trace: Path) -> Run:
    """Return the one run of a trace."""
    (run,) = read_trace(trace).runs
    return run


def paths(run: Run, how: str | None = None) -> set[str]:
    """Return the paths of the file records, of one way of use or of all."""
    return {file.path for file in run.files() if how is None or file.how == how}


def paths_of(run: Run, kind: str) -> set[str]:
    """Return the paths that sessions of one kind used."""
    sessions = {session.id for session in run.sessions().values() if session.kind == kind}
    return {file.path for file in run.files() if file.session in sessions}


def held(run: Run) -> list[File]:
    """Return what the snapshot found."""
    return [file for file in run.files() if file.held]


def wait_for(condition: Callable[[], object], within: float = 20) -> None:
    """Wait until ``condition()`` is true, failing after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def processes(word: str) -> list[int]:
    """Return the processes with ``word`` among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def interrupt(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> None:
    """Send a signal to the agent alone."""
    os.kill(process.pid, number)
