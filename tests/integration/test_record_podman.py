"""``record -- podman run`` and ``--container`` with podman, and its images in and out."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest

from container_tools import (
    IMAGE,
    Engine,
    RunAgent,
    held,
    interrupt,
    only_run,
    paths,
    paths_of,
    wait_for,
)
from paredown_minimizer.cli import main
from paredown_schemas.identity import host_platform, image_identity
from paredown_schemas.plan import read_plan

RECORDERS = ("fanotify", "ebpf-tracepoints")
RUN = ("podman", "run")
# Podman's own name for what was imported without a registry's.
REFERENCE = f"localhost/{IMAGE}"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "app.trace"


@pytest.fixture
def name() -> str:
    return f"paredown-{random.randrange(10**9)}"


def _identity(podman: Engine) -> str:
    (image,) = json.loads(podman.run("image", "inspect", IMAGE).stdout)
    return image_identity(image["RootFS"]["Layers"], host_platform())


@pytest.mark.parametrize("recorder", RECORDERS)
def test_from_the_first_exec_to_the_exit_status(
    agent: RunAgent, podman_engine: Engine, trace: Path, recorder: str
) -> None:
    done = agent(
        *("record", "-o", trace, "--recorder", recorder, "--", *RUN, "--rm", "-e", "A=hunter2"),
        *(IMAGE, "sh", "-c", "cat /etc/issue; exit ${#A}"),
        env=podman_engine.env,
    )
    assert done.returncode == 7, done.stderr
    run = only_run(trace)
    assert run.verdict == "complete", run.reasons
    assert {"/usr/bin/dash", "/usr/bin/cat", "/etc/issue"} <= paths_of(run, "container")
    assert paths_of(run, "container") == paths(run)
    assert run.image is not None
    assert run.image.identity == _identity(podman_engine)
    assert run.header.target == "podman"
    assert b"hunter" not in trace.read_bytes()


def test_containers_that_end_at_once_are_known(
    agent: RunAgent, podman_engine: Engine, tmp_path: Path
) -> None:
    for turn in range(4):
        trace = tmp_path / f"{turn}.trace"
        done = agent(
            *("record", "-o", trace, "--", *RUN, "--rm", IMAGE, "true"), env=podman_engine.env
        )
        assert done.returncode == 0, done.stderr
        assert only_run(trace).verdict == "complete", only_run(trace).reasons
        assert "/usr/bin/true" in paths(only_run(trace))


def test_a_detached_container_and_an_exec_from_outside(
    agent: RunAgent, podman_engine: Engine, trace: Path, name: str
) -> None:
    script = "trap 'cat /etc/issue; exit 5' TERM; while :; do sleep 0.1; done"
    process = agent.start(
        *("record", "-o", trace, "--", *RUN, "-d", "--name", name, IMAGE, "sh", "-c", script),
        env=podman_engine.env,
    )
    assert process.stdout is not None
    assert len(process.stdout.readline().strip()) == 64
    podman_engine.run("exec", name, "sh", "-c", "cat /etc/debian_version")
    podman_engine.run("kill", "--signal", "TERM", name)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    run = only_run(trace)
    assert run.verdict == "complete", run.reasons
    assert "/etc/issue" in paths_of(run, "container")
    assert "/etc/debian_version" in paths_of(run, "injected") - paths_of(run, "container")


def test_attaching_to_a_running_container(
    agent: RunAgent, podman_engine: Engine, trace: Path, name: str, tmp_path: Path
) -> None:
    script = "exec 7< /etc/shells; echo up; while :; do sleep 0.1; done"
    podman_engine.run("run", "-d", "--name", name, IMAGE, "sh", "-c", script)
    ready = tmp_path / "ready"
    process = agent.start(
        *("record", "-o", trace, "--ready-file", ready, "--container", name), env=podman_engine.env
    )
    wait_for(ready.exists)
    podman_engine.run("exec", name, "cat", "/etc/debian_version")
    interrupt(process, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    run = only_run(trace)
    assert run.reasons == ("late attach",)
    assert run.image is not None
    assert run.image.identity == _identity(podman_engine)
    assert {"/usr/bin/dash", "/etc/shells"} <= {file.path for file in held(run)}
    assert "/etc/debian_version" in paths_of(run, "injected")


def test_plan_apply_and_run_the_slim_image(
    agent: RunAgent,
    podman_engine: Engine,
    trace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key, value in podman_engine.env.items():
        monkeypatch.setenv(key, value)
    command = ("nginx", "-t")
    agent("record", "-o", trace, "--", *RUN, "--rm", IMAGE, *command, env=podman_engine.env)
    source, slim, plan = f"podman:{REFERENCE}", "localhost/slim/nginx:1", tmp_path / "plan.json"
    assert main(["plan", source, "--trace", str(trace), "-o", str(plan)]) == 0
    assert main(["apply", str(plan), source, "-o", f"podman:{slim}"]) == 0
    assert "test is successful" in podman_engine.run("run", "--rm", slim, *command).stderr
    assert podman_engine.run("run", "--rm", slim, "perl", "-v", check=False).returncode == 127
    (shown,) = json.loads(podman_engine.run("image", "inspect", slim).stdout)
    assert shown["Config"]["Labels"]["dev.paredown.plan"] == read_plan(plan).id
