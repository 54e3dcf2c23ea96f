"""The agent's bundle in images that it knows nothing of: by COPY and by volume, as PID 1's wrapper."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from container_tools import IMAGE, Docker, RunAgent, only_run, paths, wait_for
from fixture_types import Require
from paredown_schemas.trace import Run
from portable import (
    AGENT,
    build,
    import_root,
    make_bundle,
    make_musl_root,
    make_static_root,
)

# What docs/recipes.md says: this, and nothing else.
ABILITY = ("--cap-drop", "ALL", "--cap-add", "SYS_ADMIN")
NGINX_CAPABILITIES = ("CHOWN", "SETUID", "SETGID", "DAC_OVERRIDE")
READY = {"nginx": "", "musl": "pid 1", "static": "pid 1"}
COMMANDS = {"nginx": ("nginx", "-g", "daemon off;"), "musl": ("/bin/app",), "static": ("/bin/app",)}


@pytest.fixture(scope="session")
def bundle(require: Require, tmp_path_factory: pytest.TempPathFactory) -> Path:
    require(platform.machine() == "x86_64", "the bundle's images are made for amd64")
    for tool in ("clang", "dpkg", "musl-gcc"):
        require(shutil.which(tool) is not None, f"{tool} is not installed")
    imports = "import msgpack, psutil, ctypes"
    found = subprocess.run(["/usr/bin/python3", "-I", "-c", imports], check=False)
    require(found.returncode == 0, "python3-msgpack or python3-psutil is not installed")
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def images(
    bundle: Path, docker_daemon: Docker, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The images by name; with "-copied" behind it, the bundle is in one of their layers."""
    space = tmp_path_factory.mktemp("images")
    make_musl_root(space / "musl")
    make_static_root(space / "static")
    found = {
        "nginx": IMAGE,
        "musl": import_root(docker_daemon, space / "musl", "paredown-musl:test"),
        "static": import_root(docker_daemon, space / "static", "paredown-static:test"),
    }
    (context := space / "context").mkdir()
    shutil.copytree(bundle, context / "paredown")
    for name, image in list(found.items()):
        found[f"{name}-copied"] = build(
            *(docker_daemon, context, f"paredown-{name}-copied:test"),
            (f"FROM {image}", "COPY paredown /paredown"),
        )
    return found


@pytest.fixture(scope="session")
def seen_from_outside(
    images: dict[str, str], docker_daemon: Docker, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, set[str]]:
    """What the agent on the host sees each application use."""
    found = {}
    for name, command in COMMANDS.items():
        trace = tmp_path_factory.mktemp("outside") / "app.trace"
        agent = RunAgent()
        options = ("--rm", "--name", name, "--network", "none")
        words = ("docker", "run", *options, images[name], *command)
        process = agent.start("record", "-o", trace, "--", *words, env=docker_daemon.env)
        _load_and_stop(docker_daemon, name)
        process.communicate(timeout=60)
        agent.close()
        assert only_run(trace).verdict == "complete"
        found[name] = paths(only_run(trace))
    return found


def _load_and_stop(docker: Docker, name: str) -> None:
    wait_for(lambda: docker.run("inspect", name, check=False).returncode == 0)
    wait_for(lambda: READY[name] in docker.run("logs", name, check=False).stdout)
    wait_for(lambda: len(docker.run("top", name, check=False).stdout.splitlines()) > 1)
    if name == "nginx":
        wait_for(lambda: "worker process" in docker.run("top", name).stdout)
    docker.run("stop", name)


def _record(
    docker: Docker, name: str, image: str, options: Sequence[str], words: Sequence[str] = ()
) -> None:
    """Run the application under the bundle's agent, until ``docker stop``."""
    extra = [word for each in NGINX_CAPABILITIES for word in ("--cap-add", each)]
    docker.run(
        *("run", "--detach", "--name", name, "--network", "none", *ABILITY),
        *(extra if name == "nginx" else ()),
        *("--env", "LD_PRELOAD=/no/such.so", *options, image),
        *(AGENT, "record", *words, "--", *COMMANDS[name]),
    )
    _load_and_stop(docker, name)


def _remove(docker: Docker, name: str) -> tuple[int, str]:
    """Remove a container; return its status and output."""
    status = docker.run("inspect", "--format", "{{.State.ExitCode}}", name).stdout
    logs = docker.run("logs", name)
    docker.run("rm", "--force", name)
    return int(status), logs.stdout + logs.stderr


def _check(run: Run, seen: set[str], name: str) -> None:
    # PID 1's end takes the recorder along.
    assert run.reasons == ("the recorder ended without a trailer",)
    assert [session.kind for session in run.sessions().values()] == ["command"]
    assert paths(run) == seen
    assert next(iter(run.sessions().values())).pid == 1
    assert run.header.recorder in ("fanotify", "ebpf"), name


@pytest.mark.parametrize("recorder", ["fanotify", "ebpf"])
@pytest.mark.parametrize("name", COMMANDS)
def test_copied_into_the_image_it_sees_what_is_seen_from_outside_and_never_itself(
    images: dict[str, str],
    docker_daemon: Docker,
    seen_from_outside: dict[str, set[str]],
    tmp_path: Path,
    name: str,
    recorder: str,
) -> None:
    # The trace lies on the image's own superblock too.
    words = ("-o", "/app.trace", "--ready-file", "/ready", "--recorder", recorder)
    _record(docker_daemon, name, images[f"{name}-copied"], (), words)
    docker_daemon.run("cp", f"{name}:/app.trace", str(tmp_path))
    status, output = _remove(docker_daemon, name)
    if name != "nginx":
        assert (status, output) == (7, "pid 1, LD_PRELOAD /no/such.so, LC_CTYPE unset\n")
    run = only_run(tmp_path / "app.trace")
    assert run.header.recorder == recorder
    _check(run, seen_from_outside[name], name)
