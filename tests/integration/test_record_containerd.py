"""``record --container`` and ``--pid`` with containerd, by ``ctr`` and as Kubernetes uses it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from container_tools import (
    RunAgent,
    held,
    interrupt,
    only_run,
    paths,
    paths_of,
    processes,
    wait_for,
)
from containerd_daemon import REFERENCE, Containerd, run_detached
from fixture_types import Require
from paredown_schemas.identity import host_platform, image_identity
from paredown_schemas.trace import Run

if TYPE_CHECKING:
    from kubelet import Kubelet

WAIT = ("sh", "-c", "exec 7< /etc/shells; while :; do sleep 0.2; done")


@pytest.fixture
def name() -> str:
    return f"paredown-{random.randrange(10**9)}"


@pytest.fixture
def kubelet(containerd: Containerd, require: Require) -> Iterator[Kubelet]:
    try:
        from kubelet import Kubelet
    except ImportError as error:
        require(False, f"no client of the container runtime interface: {error}")
        raise
    made = Kubelet(str(containerd.socket))
    yield made
    made.close()


class Attach:
    """Records for as long as the test needs."""

    def __init__(self, agent: RunAgent, containerd: Containerd, space: Path) -> None:
        self._agent = agent
        self._containerd = containerd
        self._space = space

    def __call__(self, *target: str, doing: list[list[str]], path: str = "") -> Run:
        """Attach, run each command of ``doing``, and end the recording."""
        ready, trace = self._space / "ready", self._space / "app.trace"
        env = {**self._containerd.env, **({"PATH": path} if path else {})}
        process = self._agent.start(
            "record", "-o", trace, "--force", "--ready-file", ready, *target, env=env
        )
        wait_for(lambda: ready.exists() or process.poll() is not None)
        for command in doing:
            subprocess.run(command, check=True, env={**os.environ, **env}, capture_output=True)
        interrupt(process)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        return only_run(trace)


@pytest.fixture
def attach(agent: RunAgent, containerd: Containerd, tmp_path: Path) -> Attach:
    return Attach(agent, containerd, tmp_path)


def _identity(containerd: Containerd) -> str:
    return image_identity(containerd.diff_ids, host_platform())


def _exec(container: str, *command: str, namespace: str = "default") -> list[str]:
    number = f"e{random.randrange(10**9)}"
    scope = ("--namespace", namespace)
    return ["ctr", *scope, "task", "exec", "--exec-id", number, container, *command]


@pytest.mark.parametrize("recorder", ["fanotify", "ebpf"])
def test_a_container_of_ctr(
    attach: Attach, containerd: Containerd, name: str, recorder: str
) -> None:
    run_detached(containerd, name, *WAIT)
    asked = _exec(name, "cat", "/etc/debian_version")
    run = attach("--recorder", recorder, "--container", name, doing=[asked])
    assert run.reasons == ("late attach",)
    assert run.header.container == name
    assert run.image is not None
    assert (run.image.reference, run.image.identity) == (REFERENCE, _identity(containerd))
    assert {"/usr/bin/dash", "/etc/shells"} <= {file.path for file in held(run)}
    assert "/etc/debian_version" in paths_of(run, "injected") - paths_of(run, "container")


def test_an_image_whose_name_moved_on_is_not_taken_for_the_containers(
    attach: Attach, containerd: Containerd, name: str
) -> None:
    tag = f"docker.io/library/{name}:1"
    containerd.run("images", "tag", REFERENCE, tag)
    run_detached(containerd, name, *WAIT, image=tag)
    containerd.run("images", "tag", "--force", "docker.io/library/paredown-pause:test", tag)
    run = attach("--container", name, doing=[])
    assert run.image is not None
    assert (run.image.reference, run.image.identity) == (tag, None)


def test_a_process_that_came_in_by_exec_leads_to_its_container(
    attach: Attach, containerd: Containerd, name: str
) -> None:
    first = run_detached(containerd, name, *WAIT)
    inside = subprocess.Popen(
        _exec(name, "sh", "-c", "sleep 61; true"), env={**os.environ, **containerd.env}
    )
    try:
        wait_for(lambda: processes("61"))
        sleeping = max(processes("61"))
        run = attach("--pid", str(sleeping), doing=[_exec(name, "cat", "/etc/issue")])
    finally:
        inside.kill()
        inside.wait()
    assert run.header.container == name
    assert run.image is not None
    assert run.image.identity == _identity(containerd)
    (own,) = [each for each in run.sessions().values() if each.kind == "container"]
    assert own.pid == first
    assert "/etc/shells" in paths_of(run, "container") - paths_of(run, "injected")
    assert "/etc/issue" in paths_of(run, "injected")


def test_pods(
    attach: Attach, containerd: Containerd, kubelet: Kubelet, name: str, tmp_path: Path
) -> None:
    """Two containers of a pod that shares a pid namespace, and a container of another pod."""
    pod = kubelet.pod("prod", name, str(tmp_path / "logs"), one_pid_namespace=True)
    orphan = "(exec 8< /etc/issue; sleep 100; true) & sleep 0.3"
    script = f"sh -c '{orphan}'; exec sleep 101"
    web = kubelet.start(pod, "web", REFERENCE, "sh", "-c", script)
    kubelet.start(pod, "beside", REFERENCE, "sh", "-c", "exec 7< /etc/fstab; sleep 100; true")
    other = kubelet.pod("test", name, str(tmp_path / "logs"))
    kubelet.start(other, "web", REFERENCE, *WAIT)
    wait_for(lambda: processes("101"))
    asked = _exec(web, "true", namespace="k8s.io")
    run = attach("--container", f"prod/{name}/web", doing=[asked])
    assert run.header.container == web
    assert run.image is not None
    assert run.image.identity == _identity(containerd)
    # Who was left by its parent is the pod's child, and the container's own all the same.
    assert "/etc/issue" in paths_of(run, "container") - paths_of(run, "injected")
    assert not {"/etc/fstab", "/etc/shells", "/pause"} & paths(run)
    assert "/usr/bin/true" in paths_of(run, "injected")


def test_a_name_that_several_have_is_refused_with_the_choices(
    agent: RunAgent, containerd: Containerd, kubelet: Kubelet, name: str, tmp_path: Path
) -> None:
    pod = kubelet.pod("prod", name, str(tmp_path / "logs"))
    ids = [kubelet.start(pod, each, REFERENCE, *WAIT) for each in ("one", "two")]
    done = agent("record", "-o", tmp_path / "t", "--container", name, env=containerd.env)
    assert done.returncode == 125
    first, hint = done.stderr.splitlines()
    assert first == f"error: cannot attach to container {name}: 2 containers answer to it"
    for id_, each in zip(ids, ("one", "two"), strict=True):
        assert f"containerd {id_[:12]} (prod/{name}/{each})" in hint


def test_kubernetes_other_runtimes(
    attach: Attach, containerd: Containerd, kubelet: Kubelet, name: str, tmp_path: Path
) -> None:
    """By crictl's messages, without ctr: real answers of a runtime through a crictl of ours."""
    pod = kubelet.pod("prod", name, str(tmp_path / "logs"))
    id_ = kubelet.start(pod, "web", REFERENCE, *WAIT)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ctr").write_text("#!/bin/sh\necho no such daemon >&2; exit 1\n")
    script = Path(sys.modules["kubelet"].__file__ or "").resolve()
    (programs / "crictl").write_text(
        f'#!/bin/sh\nexec {sys.executable} {script} {containerd.socket} "$@"\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    run = attach("--container", f"{name}/web", doing=[], path=path)
    assert run.header.container == id_
    assert run.image is not None
    assert (run.image.reference, run.image.identity) == (REFERENCE, _identity(containerd))


def test_no_engine_hides_what_another_says(
    agent: RunAgent, containerd: Containerd, name: str, tmp_path: Path
) -> None:
    env = {**containerd.env, "DOCKER_HOST": f"unix://{tmp_path}/none"}
    done = agent("record", "-o", tmp_path / "t", "--container", name, env=env)
    assert done.returncode == 125
    assert "no container of that name in podman, containerd" in done.stderr
    assert "cannot ask docker" in done.stderr
    run_detached(containerd, name, "true")
    wait_for(lambda: "STOPPED" in containerd.run("tasks", "list").stdout)
    done = agent("record", "-o", tmp_path / "t", "--container", name, env=env)
    assert "it does not run" in done.stderr


def test_each_container_is_listed_once(containerd: Containerd, name: str) -> None:
    first = run_detached(containerd, name, *WAIT)
    script = (
        "import json; from paredown_agent.target.engines.registry import Engines;"
        "found = Engines().running();"
        "print(json.dumps([[str(each), each.container.pid] for each in found]))"
    )
    env = {**os.environ, **containerd.env}
    told = subprocess.run([sys.executable, "-c", script], env=env, stdout=-1, check=True).stdout
    assert json.loads(told).count([f"containerd {name[:12]}", first]) == 1
