"""Real applications as images: built, recorded, slimmed, and asked everything under an engine."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import engines
import rootfs
import tree_witness
from applications import AGENT, PAREDOWN, Application
from container_tools import Engine, wait_for
from server import Server

Answers = Mapping[str, object]  # by what was asked
NETWORK = "--net=none"  # loopback alone; the tests' dockerd has no bridge


@dataclasses.dataclass(frozen=True)
class Served:
    """An application in an image: how its image is configured, and what a client can ask it."""

    name: str
    application: Callable[[str], Application]  # by suite
    settings: tuple[str, ...]  # of a Dockerfile
    questions: tuple[tuple[str, ...], ...] = ()  # clients whose output must be the same
    files: tuple[tuple[str, str], ...] = ()  # of the Dockerfile's context, by name
    suites: tuple[str, ...] = tuple(rootfs.SUITES)
    # What the package manager lists, and what it finds wrong, in a tree.
    listed: Callable[[Path], set[str]] = tree_witness.listed
    verify: Callable[[Path], set[str]] = tree_witness.verify


@dataclasses.dataclass
class Slimmed:
    """An image in docker, what it answered while recorded, and the plan that came of it."""

    served: Served
    application: Application
    reference: str
    answers: Answers
    plan: Path
    docker: Engine

    @functools.cached_property
    def tree(self) -> Path:
        """Return the original's tree, exported by docker."""
        return export(self.docker, self.reference, self.plan.with_name("original"))


def build(served: Served, suite: str, docker: Engine, space: Path) -> str:
    """Make an image of two layers or more; return its reference."""
    reference = f"paredown-test/{served.name.lower()}:{suite}"
    engines.import_tree(docker, served.application(suite).source, f"{reference}-base")
    application = served.application(suite)
    for name, text in served.files:
        (space / name).write_text(text)
        (space / name).chmod(0o755)
    lines = [f"FROM {reference}-base", *served.settings, f"CMD {json.dumps(application.command)}"]
    (space / "Dockerfile").write_text("\n".join(lines) + "\n")
    docker.run("build", "--quiet", "--network=none", "--tag", reference, str(space))
    return reference


def slim(
    served: Served, suite: str, docker: Engine, space: Path, granularity: str = "package"
) -> Slimmed:
    """Build the image, record it under its full load, and plan."""
    application = served.application(suite)
    reference = build(served, suite, docker, space)
    trace, plan = space / "app.trace", space / "plan.json"
    record = [AGENT, "record", "-o", str(trace), "--also", "capabilities,syscalls", "--"]
    with container(docker, reference, application, record) as running:
        answers = ask(served, application, running)
        assert healthy(docker, running)
    command = [PAREDOWN, "plan", f"docker:{reference}", "--trace", str(trace), "-o", str(plan)]
    _run(docker, [*command, "--granularity", granularity])
    return Slimmed(served, application, reference, answers, plan, docker)


def apply(slimmed: Slimmed, docker: Engine, engine: Engine) -> str:
    """Write the slim image to an engine; return its reference."""
    reference = f"{slimmed.reference}-slim"
    command = [PAREDOWN, "apply", str(slimmed.plan), f"docker:{slimmed.reference}"]
    _run(docker, [*command, "-o", f"{engine.command}:{reference}"], engine)
    return reference


class Container(Server):
    """A server in a container; ``process`` is its first process."""

    def __init__(self, engine: Engine, name: str, port: int) -> None:
        pid = int(engine.run("inspect", "--format", "{{.State.Pid}}", name).stdout)
        assert pid, engine.run("logs", name).stderr
        self.name = name
        self._network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        super().__init__(pid, self._network, port)

    def close(self) -> None:
        super().close()
        os.close(self._network)


@contextlib.contextmanager
def container(
    engine: Engine,
    reference: str,
    application: Application,
    record: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Iterator[Container]:
    """Run an image until its port takes connections, recorded where ``record`` begins the line."""
    name = reference.replace("/", "-").replace(":", "-")
    command = [*record, engine.command, "run", "--name", name, NETWORK, *options, reference]
    with tempfile.TemporaryFile("w+") as log, contextlib.ExitStack() as stack:
        process = subprocess.Popen(
            command, env={**os.environ, **engine.env}, stdin=-3, stdout=log, stderr=log
        )
        stack.callback(engine.run, "rm", "--force", name, check=False)
        stack.callback(process.wait, 30)
        stack.callback(engine.run, "stop", "--time=10", name, check=False)

        def comes(condition: Callable[[], bool]) -> None:
            wait_for(lambda: process.poll() is not None or condition(), within=60)
            log.seek(0)
            assert process.poll() is None, f"{command}: {log.read()}"

        comes(lambda: _runs(engine, name))
        with contextlib.closing(Container(engine, name, application.port)) as running:
            comes(running.listens)
            yield running


def ask(served: Served, application: Application, running: Server) -> Answers:
    """Fetch every view, and run the clients, which lie in the original tree, outside."""
    answers: dict[str, object] = {}
    into = ["chroot", str(application.source)]
    for client in application.clients:
        running.run([*into, *client])
    for question in served.questions:
        answers[" ".join(question)] = running.run([*into, *question])
    for view in application.views:
        answer = running.get(view)
        answers[view] = (answer.status, answer.body)
    return answers


def healthy(engine: Engine, running: Container) -> bool:
    """Say whether the image's own health check passes, in the end: at the start it may fail."""
    if engine.command == "podman":  # would need systemd to run it by itself
        return engine.run("healthcheck", "run", running.name, check=False).returncode == 0
    status = ["inspect", "--format", "{{.State.Health.Status}}", running.name]
    deadline = time.monotonic() + 30
    while not (passes := engine.run(*status).stdout.strip() == "healthy"):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return passes


def export(engine: Engine, reference: str, tree: Path) -> Path:
    """Write the root filesystem of an image to a directory, by the engine and GNU tar."""
    name = engine.run("create", NETWORK, reference).stdout.strip()
    try:
        tree.mkdir()
        environment = {**os.environ, **engine.env}
        with subprocess.Popen(
            [engine.command, "export", name], stdout=subprocess.PIPE, env=environment
        ) as tar:
            command = ["tar", "-x", "--numeric-owner", "-C", str(tree)]
            subprocess.run(command, check=True, stdin=tar.stdout)
        assert tar.returncode == 0
    finally:
        engine.run("rm", name)
    return tree


def _runs(engine: Engine, name: str) -> bool:
    status = engine.run("inspect", "--format", "{{.State.Running}}", name, check=False)
    return status.stdout.strip() == "true"


def _run(docker: Engine, command: list[str], other: Engine | None = None) -> None:
    environment = {**os.environ, **docker.env, **(other.env if other else {})}
    result = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, f"{command}: {result.stderr}"
