"""``record --all-containers``: a trace for each container of the node."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from container_tools import (
    IMAGE,
    Docker,
    Engine,
    RunAgent,
    held,
    interrupt,
    only_run,
    paths,
    paths_of,
    wait_for,
)
from containerd_daemon import REFERENCE, Containerd
from paredown_schemas.identity import host_platform, image_identity
from paredown_schemas.trace import Mark, Run

RECORDERS = ("fanotify", "ebpf")
RUN = ("run", "--network", "none")


@pytest.fixture
def name() -> str:
    """What the names of this test's containers begin with: others may run, too."""
    return f"paredown-{random.randrange(10**9)}"


class Fleet:
    """A recording of the containers whose names begin with ``name``."""

    def __init__(self, agent: RunAgent, directory: Path, engine: Engine, pattern: str) -> None:
        self.directory = directory / "traces"
        ready = directory / "ready"
        self.process = agent.start(
            *("record", "-o", self.directory, "--ready-file", ready),
            *("--all-containers", "--match", pattern),
            env=engine.env,
        )
        wait_for(lambda: ready.exists() or self.process.poll() is not None)

    def trace(self, name: str) -> Path:
        (path,) = self.directory.glob(f"{name}-????????????.trace")
        return path

    def runs(self) -> dict[str, Run]:
        return {path.name: only_run(path) for path in self.directory.iterdir()}

    def run(self, name: str) -> Run:
        return only_run(self.trace(name))

    def end(self) -> str:
        interrupt(self.process, signal.SIGTERM)
        _, stderr = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, stderr
        return stderr


Record = Callable[..., Fleet]


@pytest.fixture
def record(agent: RunAgent, docker_daemon: Docker, tmp_path: Path, name: str) -> Record:
    def start(engine: Engine = docker_daemon, pattern: str = f"{name}*") -> Fleet:
        return Fleet(agent, tmp_path, engine, pattern)

    return start


def _identity(docker: Docker) -> str:
    layers = docker.run("image", "inspect", "--format", '{{join .RootFS.Layers " "}}', IMAGE)
    return image_identity(layers.stdout.split(), host_platform())


def test_those_that_run_and_those_that_start(
    docker_daemon: Docker, record: Record, name: str
) -> None:
    script = "exec 7< /etc/shells; while ! test -e /go; do sleep 0.1; done; cat /etc/fstab"
    docker_daemon.run(*RUN, "-d", "--name", f"{name}-old", IMAGE, "sh", "-c", script)
    fleet = record()
    docker_daemon.run("exec", f"{name}-old", "touch", "/go")
    docker_daemon.run(*RUN, "--name", f"{name}-new", IMAGE, "cat", "/etc/issue")
    docker_daemon.run(*RUN, "--name", "other-" + name, IMAGE, "true")
    docker_daemon.run("wait", f"{name}-old")
    told = fleet.end()
    assert len(fleet.runs()) == 2
    old, new = fleet.run(f"{name}-old"), fleet.run(f"{name}-new")
    assert old.reasons == ("late attach",)
    assert "/etc/shells" in {file.path for file in held(old)}
    assert "/etc/fstab" in paths_of(old, "container")
    assert "/usr/bin/touch" in paths_of(old, "injected") - paths_of(old, "container")
    assert "/etc/issue" not in paths(old)
    assert new.verdict == "complete", new.reasons
    assert {"/usr/bin/cat", "/etc/issue"} <= paths_of(new, "container")
    # Both stand on the same lower layers: each has a superblock of its own.
    assert "/etc/fstab" not in paths(new)
    for run, end in ((old, "old"), (new, "new")):
        assert run.image is not None
        assert (run.image.reference, run.image.identity) == (IMAGE, _identity(docker_daemon))
        id_ = docker_daemon.run("inspect", "-f", "{{.Id}}", f"{name}-{end}").stdout.strip()
        assert run.header.container == id_
        assert fleet.trace(f"{name}-{end}").name == f"{name}-{end}-{id_[:12]}.trace"
    lines = told.splitlines()
    assert lines[-1].startswith("Recorded 2 containers in ")
    (line,) = (line for line in lines if line.startswith(f"{name}-new-"))
    assert f"docker:{IMAGE}" in line
    assert line.endswith("  complete")


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_storm_of_short_lived_containers(
    agent: RunAgent, docker_daemon: Docker, tmp_path: Path, name: str, recorder: str
) -> None:
    """Each is gone before anybody can be asked about it; none is lost, or has another's files."""
    directory, ready = tmp_path / "traces", tmp_path / "ready"
    process = agent.start(
        *("record", "-o", directory, "--ready-file", ready, "--recorder", recorder),
        *("--all-containers", "--match", f"{name}*"),
        env=docker_daemon.env,
    )
    wait_for(ready.exists)
    files = ["/etc/issue", "/etc/fstab", "/etc/shells", "/etc/debian_version"]

    def start(number: int) -> None:
        arguments = ("--name", f"{name}-{number}", IMAGE, "cat", files[number % len(files)])
        docker_daemon.run(*RUN, "--rm", *arguments)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    interrupt(process)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    for number in range(len(threads)):
        (trace,) = directory.glob(f"{name}-{number}-????????????.trace")
        run = only_run(trace)
        assert run.verdict == "complete", run.reasons
        assert paths(run) & set(files) == {files[number % len(files)]}
        assert len(run.sessions()) == 1
        assert run.image is not None
        assert run.image.identity == _identity(docker_daemon)


def test_restarts_stay_in_one_trace(docker_daemon: Docker, record: Record, name: str) -> None:
    fleet = record()
    script = (
        "n=$(cat /count 2>/dev/null || echo 0); echo $((n + 1)) > /count;"
        "case $n in 0) cat /etc/issue;; 1) cat /etc/fstab;; 2) cat /etc/shells; exec sleep 60;; "
        "esac; exit 1"
    )
    policy = ("--restart", "on-failure:5")
    docker_daemon.run(*RUN, "-d", *policy, "--name", name, IMAGE, "sh", "-c", script)
    wait_for(lambda: "sleep" in docker_daemon.run("top", name, check=False).stdout)
    fleet.end()
    run = fleet.run(name)
    assert run.verdict == "complete", run.reasons
    assert {"/etc/issue", "/etc/fstab", "/etc/shells"} <= paths_of(run, "container")
    assert [session.kind for session in run.sessions().values()] == ["container"] * 3


def test_a_trace_ends_with_its_container_and_marks_go_to_all(
    agent: RunAgent, docker_daemon: Docker, record: Record, name: str
) -> None:
    fleet = record()
    docker_daemon.run(*RUN, "--rm", "--name", f"{name}-a", IMAGE, "true")
    wait_for(lambda: fleet.run(f"{name}-a").trailer is not None)
    docker_daemon.run(*RUN, "-d", "--name", f"{name}-b", IMAGE, "sleep", "60")
    wait_for(lambda: list(fleet.directory.glob(f"{name}-b-*")))
    done = agent("mark", "load", "--trace", fleet.directory)
    assert done.returncode == 0, done.stderr
    docker_daemon.run(*RUN, "--name", f"{name}-c", IMAGE, "true")
    fleet.end()
    marks = {
        end: [each.name for each in fleet.run(f"{name}-{end}").records if isinstance(each, Mark)]
        for end in "abc"
    }
    assert marks == {"a": [], "b": ["load"], "c": ["load"]}


def test_an_agent_that_was_held_up_attaches_late(
    docker_daemon: Docker, record: Record, name: str
) -> None:
    fleet = record()
    fleet.process.send_signal(signal.SIGSTOP)
    script = "exec 7< /etc/issue; sleep 6; cat /etc/fstab"
    docker_daemon.run(*RUN, "-d", "--name", name, IMAGE, "sh", "-c", script)
    time.sleep(0.5)
    fleet.process.send_signal(signal.SIGCONT)
    docker_daemon.run("wait", name)
    fleet.end()
    run = fleet.run(name)
    assert "late attach" in run.reasons
    assert "/etc/issue" in {file.path for file in held(run)}
    assert "/etc/fstab" in paths(run) - {file.path for file in held(run)}


def test_by_image_and_not_what_only_holds_a_pod(
    docker_daemon: Docker, record: Record, name: str
) -> None:
    for reference in (f"{name}/app:1", f"{name}/pause:3.9"):
        docker_daemon.run("tag", IMAGE, reference)
    fleet = record(pattern=f"{name}/*")
    for reference in (f"{name}/app:1", f"{name}/pause:3.9", IMAGE):
        docker_daemon.run(*RUN, "--rm", reference, "cat", "/etc/issue")
    fleet.end()
    (run,) = fleet.runs().values()
    assert run.image is not None
    assert run.image.reference == f"{name}/app:1"


def test_podmans_containers(podman_engine: Engine, record: Record, name: str) -> None:
    podman_engine.run("run", "-d", "--name", f"{name}-old", IMAGE, "sleep", "60")
    fleet = record(engine=podman_engine)
    for number in range(3):
        podman_engine.run("run", "--rm", "--name", f"{name}-{number}", IMAGE, "cat", "/etc/issue")
    told = fleet.end()
    (image,) = json.loads(podman_engine.run("image", "inspect", IMAGE).stdout)
    identity = image_identity(image["RootFS"]["Layers"], host_platform())
    assert len(fleet.runs()) == 4, told
    for number in range(3):
        run = fleet.run(f"{name}-{number}")
        assert run.verdict == "complete", run.reasons
        assert {"/usr/bin/cat", "/etc/issue"} <= paths_of(run, "container")
        assert run.image is not None
        assert run.image.identity == identity
    assert fleet.run(f"{name}-old").reasons == ("late attach",)


def test_without_the_engines_programs(
    agent: RunAgent, docker_daemon: Docker, name: str, tmp_path: Path
) -> None:
    """As in a container of the agent's own: their files and /proc tell enough."""
    script = "exec 7< /etc/shells; while :; do sleep 0.1; done"
    docker_daemon.run(*RUN, "-d", "--name", f"{name}-old", IMAGE, "sh", "-c", script)
    fleet = Fleet(agent, tmp_path, Engine("none", {"PATH": "/nonexistent"}), f"{name}*")
    docker_daemon.run("exec", f"{name}-old", "cat", "/etc/fstab")
    docker_daemon.run(*RUN, "--rm", "--name", f"{name}-new", IMAGE, "cat", "/etc/issue")
    told = fleet.end()
    old, new = fleet.run(f"{name}-old"), fleet.run(f"{name}-new")
    assert len(fleet.runs()) == 2
    assert old.reasons == ("late attach",)
    assert "/etc/shells" in {file.path for file in held(old)}
    assert "/etc/fstab" in paths_of(old, "injected") - paths_of(old, "container")
    assert new.verdict == "complete", told
    assert {"/usr/bin/cat", "/etc/issue"} <= paths_of(new, "container")
    assert new.image is not None
    assert (new.image.reference, new.image.identity) == (IMAGE, None)


def _start_pods(
    containerd: Containerd, pod: str, name: str, *command: str, kind: str = "container"
) -> None:
    """Start a container with what containerd's part for Kubernetes writes on one."""
    told = {"container-type": kind, "sandbox-namespace": "prod", "sandbox-name": pod}
    told |= {"container-name": name, "image-name": REFERENCE} if kind == "container" else {}
    notes = [("--annotation", f"io.kubernetes.cri.{key}={value}") for key, value in told.items()]
    labels = {"io.cri-containerd.kind": kind, "io.kubernetes.pod.namespace": "prod"}
    labels |= {"io.kubernetes.pod.name": pod, "io.kubernetes.container.name": name}
    notes += [("--label", f"{key}={value}") for key, value in labels.items()]
    options = ("--detach", "--runc-binary", str(containerd.runtime))
    words = [word for note in notes for word in note]
    containerd.run(
        *("--namespace", "k8s.io", "run", *options, *words),
        *(REFERENCE, hashlib.sha256(f"{pod}{name}".encode()).hexdigest(), *command),
    )


def test_pods_containers_and_not_what_holds_their_namespaces(
    containerd: Containerd, record: Record, name: str
) -> None:
    _start_pods(containerd, name, "web", "sh", "-c", "exec 7< /etc/shells; sleep 100; true")
    _start_pods(containerd, name, "old-pause", "sleep", "100", kind="sandbox")
    fleet = record(engine=containerd, pattern=f"prod/{name}/*")
    _start_pods(containerd, name, "side", "sh", "-c", "cat /etc/issue; sleep 100")
    _start_pods(containerd, name, "job", "cat", "/etc/fstab")
    _start_pods(containerd, name, "new-pause", "sleep", "100", kind="sandbox")
    # Long enough for a question to containerd, which knows what the image is.
    wait_for(lambda: fleet.run(f"prod_{name}_side").image is not None)
    told = fleet.end()
    files = {"web": "/etc/shells", "side": "/etc/issue", "job": "/etc/fstab"}
    assert len(fleet.runs()) == len(files), told
    for each, file in files.items():
        run = fleet.run(f"prod_{name}_{each}")
        assert run.reasons == (("late attach",) if each == "web" else ())
        assert paths_of(run, "container") & set(files.values()) == {file}
        assert run.image is not None
        assert run.image.reference == REFERENCE
    for each in ("web", "side"):
        image = fleet.run(f"prod_{name}_{each}").image
        assert image is not None
        assert image.identity == image_identity(containerd.diff_ids, host_platform())


def test_traces_of_another_recording_stay(
    agent: RunAgent, docker_daemon: Docker, tmp_path: Path, name: str
) -> None:
    (tmp_path / "app.trace").write_bytes(b"PDTRACE\0")
    (tmp_path / "other.txt").touch()
    command = ("record", "-o", tmp_path, "--all-containers", "--match", name, "--duration", "0.2s")
    refused = agent(*command, env=docker_daemon.env)
    assert refused.returncode == 125
    assert "it has 1 trace" in refused.stderr
    assert (tmp_path / "app.trace").exists()
    assert agent(*command, "--force", env=docker_daemon.env).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["other.txt"]
    file = agent("record", "-o", tmp_path / "other.txt", "--all-containers", "--duration", "1")
    assert file.returncode == 125
    assert "with --all-containers -o names a directory" in file.stderr
