"""``record -- docker run`` and ``record --container``, with a real daemon."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest

from container_tools import (
    IMAGE,
    Docker,
    RunAgent,
    held,
    interrupt,
    only_run,
    paths,
    paths_of,
    wait_for,
)
from paredown_schemas.identity import host_platform, image_identity
from paredown_schemas.trace import Capability, Port, Process, Run, Syscall

RECORDERS = ("fanotify", "ebpf-tracepoints")
# dockerd in the tests has no bridge.
RUN = ("docker", "run", "--network", "none")


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "app.trace"


@pytest.fixture
def name() -> str:
    return f"paredown-{random.randrange(10**9)}"


def _identity(docker: Docker) -> str:
    layers = docker.run("image", "inspect", "--format", '{{join .RootFS.Layers " "}}', IMAGE)
    return image_identity(layers.stdout.split(), host_platform())


@pytest.mark.parametrize("recorder", RECORDERS)
def test_from_the_first_exec_to_the_exit_status(
    agent: RunAgent, docker_daemon: Docker, trace: Path, recorder: str
) -> None:
    secrets = ["-e", "A=hunter2", "-eB=hunter3", "--env=C=hunter4", "-ie", "D=hunter5"]
    done = agent(
        *("record", "-o", trace, "--recorder", recorder, "--"),
        *(*RUN, "--rm", *secrets, IMAGE, "sh", "-c", "exit ${#A}${#B}"),
        env=docker_daemon.env,
    )
    assert done.returncode == 77, done.stderr
    run = only_run(trace)
    assert run.verdict == "complete", run.reasons
    assert paths_of(run, "container") == paths(run)
    assert "/usr/bin/dash" in paths(run, "exec")
    assert run.image is not None
    assert (run.image.reference, run.image.identity) == (IMAGE, _identity(docker_daemon))
    assert run.header.target == "docker"
    assert run.header.command[:9] == (*RUN, "--rm", "-e", "A", "-eB", "--env=C")
    assert b"hunter" not in trace.read_bytes()
    # What the runtime itself opens before the first exec is not the workload's.
    assert "/etc/passwd" not in paths(run)
    assert f"paredown plan docker:{IMAGE} --trace {trace}" in done.stderr


def test_a_container_that_dies_at_once(agent: RunAgent, docker_daemon: Docker, trace: Path) -> None:
    done = agent("record", "-o", trace, "--", *RUN, "--rm", IMAGE, "true", env=docker_daemon.env)
    assert done.returncode == 0, done.stderr
    run = only_run(trace)
    assert any(path.endswith("/true") for path in paths(run))
    assert "late attach" not in run.reasons


def test_what_else_it_needs(agent: RunAgent, docker_daemon: Docker, trace: Path) -> None:
    """Of a container that docker removes, with its layer, as soon as it has ended."""
    port = (
        "use Socket; socket S, AF_INET, SOCK_STREAM, 6; bind S, sockaddr_in(80, INADDR_ANY) or die;"
        "mkdir q(/srv/new); chown 33, 33, q(/srv/new); $) = 33; $> = 33"
    )
    for _ in range(5):  # on a busy machine docker may be quicker, which is told
        done = agent(
            *("record", "-o", trace, "--also", "exists,missing,capabilities,syscalls", "--force"),
            *("--", *RUN, "--rm", "--cap-drop", "SETGID", IMAGE, "perl", "-e", port),
            env=docker_daemon.env,
        )
        assert done.returncode == 0, done.stderr
        run = only_run(trace)
        if run.coverage()["directories"] != "the upper layer was removed with the container":
            break
    assert set(run.coverage().values()) == {None}
    assert {(r.protocol, r.address, r.port) for r in run.records if isinstance(r, Port)} == {
        ("tcp", "0.0.0.0", 80)
    }
    assert paths_written(run) == {"/srv", "/srv/new"}
    asked = {(r.name, r.granted) for r in run.records if isinstance(r, Capability)}
    assert {("CAP_CHOWN", True), ("CAP_SETUID", True), ("CAP_SETGID", False)} <= asked
    assert ("CAP_SYS_ADMIN", False) not in asked
    assert (33, 0) in {(r.uid, r.gid) for r in run.records if isinstance(r, Process)}
    calls = {r.name for r in run.records if isinstance(r, Syscall)}
    assert {"bind", "mkdir", "chown"} <= calls
    assert "setns" not in calls  # the runtime's own


def paths_written(run: Run) -> set[str]:
    return {f.path for f in run.files() if f.how == "write" and f.kind == "directory"}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("no-such-image:x", "true"), 125), ((IMAGE, "no-such-program"), 127)],
)
def test_a_container_that_never_runs(
    agent: RunAgent, docker_daemon: Docker, trace: Path, arguments: tuple[str, ...], status: int
) -> None:
    done = agent(
        *("record", "-o", trace, "--"),
        *(*RUN, "--rm", "--pull", "never", *arguments),
        env=docker_daemon.env,
    )
    assert done.returncode == status
    run = only_run(trace)
    assert run.verdict == "partial"
    assert "nothing was recorded" in run.reasons
    assert paths(run) == set()


def test_a_detached_container_is_followed_to_its_end(
    agent: RunAgent, docker_daemon: Docker, trace: Path, name: str
) -> None:
    process = agent.start(
        *("record", "-o", trace, "--", *RUN, "-d", "--rm", "--name", name, IMAGE),
        *("sh", "-c", "sleep 1.5; cat /etc/debian_version"),
        env=docker_daemon.env,
    )
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    assert len(stdout.strip()) == 64
    run = only_run(trace)
    assert run.verdict == "complete", run.reasons
    assert "/etc/debian_version" in paths(run)


def test_an_exec_from_outside_is_a_session_of_its_own(
    agent: RunAgent, docker_daemon: Docker, trace: Path, name: str
) -> None:
    process = agent.start(
        *("record", "-o", trace, "--", *RUN, "--rm", "--name", name, IMAGE),
        *("sh", "-c", "echo up; trap 'cat /etc/issue; exit 5' TERM; while :; do sleep 0.1; done"),
        env=docker_daemon.env,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    docker_daemon.run("exec", name, "sh", "-c", "cat /etc/debian_version /etc/issue")
    interrupt(process, signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 5
    run = only_run(trace)
    assert run.verdict == "complete", run.reasons
    assert "/etc/debian_version" in paths_of(run, "injected") - paths_of(run, "container")
    assert "/etc/issue" in paths_of(run, "container") & paths_of(run, "injected")


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_health_check_hides_nothing_of_the_application(
    agent: RunAgent, docker_daemon: Docker, trace: Path, recorder: str
) -> None:
    """It runs beside the application, and uses its files before it does."""
    health = ("--health-cmd", "cat /etc/issue /etc/shells", "--health-interval", "1s")
    done = agent(
        *("record", "-o", trace, "--recorder", recorder, "--", *RUN, "--rm", *health, IMAGE),
        *("sh", "-c", "sleep 3.5; cat /etc/issue"),
        env=docker_daemon.env,
    )
    assert done.returncode == 0, done.stderr
    run = only_run(trace)
    assert run.verdict == "complete", run.reasons
    kinds = [session.kind for session in run.sessions().values()]
    assert kinds[0] == "container"
    assert len(kinds) > 2
    assert set(kinds[1:]) == {"injected"}
    assert "/etc/issue" in paths_of(run, "container") & paths_of(run, "injected")
    assert "/etc/shells" in paths_of(run, "injected") - paths_of(run, "container")
    assert "/usr/bin/cat" in paths_of(run, "container") & paths_of(run, "injected")
    exes = {file.exe for file in run.files() if file.path in ("/etc/issue", "/etc/shells")}
    assert exes <= {"/usr/bin/cat", None}


def test_every_restart_is_recorded(
    agent: RunAgent, docker_daemon: Docker, trace: Path, name: str
) -> None:
    # The writable layer outlives a restart: each turn reads one file more.
    script = (
        "n=$(cat /count 2>/dev/null || echo 0); echo $((n + 1)) > /count; sleep 0.3;"
        "case $n in 0) cat /etc/issue;; 1) cat /etc/debian_version;; 2) cat /etc/fstab;; esac;"
        "exit 1"
    )
    done = agent(
        *("record", "-o", trace, "--", *RUN, "-d", "--restart", "on-failure:2"),
        *("--name", name, IMAGE, "sh", "-c", script),
        env=docker_daemon.env,
    )
    assert done.returncode == 0, done.stderr
    run = only_run(trace)
    assert run.verdict == "complete", run.reasons
    assert {"/etc/issue", "/etc/debian_version", "/etc/fstab"} <= paths_of(run, "container")
    assert docker_daemon.run("inspect", "-f", "{{.RestartCount}}", name).stdout == "2\n"


def test_containers_that_start_together_are_kept_apart(
    agent: RunAgent, docker_daemon: Docker, tmp_path: Path
) -> None:
    files = ["/etc/issue", "/etc/debian_version", "/etc/fstab"]
    traces = [tmp_path / f"{index}.trace" for index in range(len(files))]
    together = [
        agent.start(
            *("record", "-o", trace, "--", *RUN, "--rm", IMAGE, "sh", "-c"),
            f"sleep 0.5; cat {file}",
            env=docker_daemon.env,
        )
        for trace, file in zip(traces, files, strict=True)
    ]
    for process in together:
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
    for trace, file in zip(traces, files, strict=True):
        run = only_run(trace)
        assert run.verdict == "complete", run.reasons
        assert paths(run) & set(files) == {file}


def test_nothing_of_other_peoples_containers_is_told(
    agent: RunAgent, docker_daemon: Docker, tmp_path: Path
) -> None:
    """They start, run and end all the while, on superblocks of the same numbers."""
    stop = threading.Event()

    def others() -> None:
        while not stop.is_set():
            docker_daemon.run(*RUN[1:], "--rm", IMAGE, "cat", "/etc/shells", check=False)

    busy = [threading.Thread(target=others) for _ in range(2)]
    for thread in busy:
        thread.start()
    try:
        for turn in range(4):
            trace = tmp_path / f"{turn}.trace"
            done = agent(
                *("record", "-o", trace, "--", *RUN, "--rm", IMAGE, "sh", "-c"),
                "sleep 0.5; cat /etc/issue",
                env=docker_daemon.env,
            )
            assert done.returncode == 0, done.stderr
            run = only_run(trace)
            # On two cores, beside the others' starts, the mark may come after the first exec.
            assert set(run.reasons) <= {"late attach"}
            assert paths(run) & {"/etc/issue", "/etc/shells"} == {"/etc/issue"}
            assert len(run.sessions()) == 1
    finally:
        stop.set()
        for thread in busy:
            thread.join()


def test_two_that_are_alike_are_told_apart_by_name(
    agent: RunAgent, docker_daemon: Docker, tmp_path: Path, name: str
) -> None:
    together = {
        end: agent.start(
            *("record", "-o", tmp_path / end, "--", *RUN, "--rm", "--name", f"{name}-{end}"),
            *("--hostname", end, IMAGE, "sh", "-c", 'sleep 0.5; cat "/etc/$(hostname)"'),
            env=docker_daemon.env,
        )
        for end in ("issue", "shells")
    }
    for end, process in together.items():
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        run = only_run(tmp_path / end)
        assert run.verdict == "complete", run.reasons
        assert paths(run) & {"/etc/issue", "/etc/shells"} == {f"/etc/{end}"}


def test_duration_ends_the_recording_and_not_the_command(
    agent: RunAgent, docker_daemon: Docker, trace: Path
) -> None:
    process = agent.start(
        *("record", "-o", trace, "--duration", "1.5s", "--", *RUN, "--rm", IMAGE),
        *("sh", "-c", "sleep 3; cat /etc/debian_version; exit 8"),
        env=docker_daemon.env,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Recorded ")
    assert process.poll() is None
    stdout, _ = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (8, "12.11\n") or stdout.startswith("12.")
    assert process.returncode == 8
    run = only_run(trace)
    assert run.verdict == "complete", run.reasons
    assert "/etc/debian_version" not in paths(run)


def test_an_agent_that_was_held_up_says_late_and_takes_a_snapshot(
    agent: RunAgent, docker_daemon: Docker, trace: Path, name: str, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    process = agent.start(
        *("record", "-o", trace, "--ready-file", ready, "--", *RUN, "--rm", "--name", name),
        *(IMAGE, "sh", "-c", "echo up; exec 7< /etc/issue; sleep 6; cat /etc/fstab"),
        env=docker_daemon.env,
    )
    wait_for(ready.exists)
    wait_for(psutil.Process(process.pid).children)
    os.kill(process.pid, signal.SIGSTOP)
    wait_for(lambda: docker_daemon.run("top", name, check=False).returncode == 0)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGCONT)
    process.communicate(timeout=30)
    run = only_run(trace)
    assert "late attach" in run.reasons
    found = {file.path for file in held(run)}
    assert {"/usr/bin/dash", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/etc/issue"} <= found
    assert "/etc/fstab" in paths(run) - found


@pytest.mark.parametrize("recorder", RECORDERS)
def test_attaching_to_a_running_container(
    agent: RunAgent, docker_daemon: Docker, trace: Path, name: str, tmp_path: Path, recorder: str
) -> None:
    script = "exec 7< /etc/issue; while ! test -e /go; do sleep 0.1; done; cat /etc/fstab"
    docker_daemon.run(*RUN[1:], "-d", "--name", name, IMAGE, "sh", "-c", script)
    outsider = threading.Thread(
        target=docker_daemon.run,
        args=(
            "exec",
            name,
            "sh",
            "-c",
            "exec 8< /etc/shells; while ! test -e /go; do sleep 0.1; done",
        ),
        kwargs={"check": False},  # its container ends first
    )
    outsider.start()
    wait_for(lambda: "/etc/shells" in _held_open(docker_daemon, name))
    ready = tmp_path / "ready"
    process = agent.start(
        *("record", "-o", trace, "--recorder", recorder, "--ready-file", ready),
        *("--container", name),
        env=docker_daemon.env,
    )
    wait_for(ready.exists)
    docker_daemon.run("exec", name, "sh", "-c", "cat /etc/debian_version; touch /go")
    _, stderr = process.communicate(timeout=30)
    outsider.join()
    assert process.returncode == 0, stderr
    run = only_run(trace)
    assert run.reasons == ("late attach",)
    assert run.header.container is not None
    assert run.image is not None
    assert run.image.identity == _identity(docker_daemon)
    found = {file.path: file for file in held(run)}
    assert {"/usr/bin/dash", "/etc/issue", "/etc/shells", "/"} <= set(found)
    assert found["/usr/lib/x86_64-linux-gnu/libc.so.6"].how == "library"
    assert {"/etc/fstab", "/etc/issue"} <= paths_of(run, "container")
    assert "/etc/shells" in paths_of(run, "injected") - paths_of(run, "container")
    assert "/etc/debian_version" in paths_of(run, "injected") - paths_of(run, "container")


def _held_open(docker: Docker, name: str) -> str:
    return docker.run("exec", name, "sh", "-c", "ls -l /proc/[0-9]*/fd", check=False).stdout


def test_attaching_ends_by_a_signal_and_leaves_the_container_running(
    agent: RunAgent, docker_daemon: Docker, trace: Path, name: str, tmp_path: Path
) -> None:
    docker_daemon.run(*RUN[1:], "-d", "--name", name, IMAGE, "sleep", "30")
    ready = tmp_path / "ready"
    process = agent.start(
        *("record", "-o", trace, "--ready-file", ready, "--container", name),
        env=docker_daemon.env,
    )
    wait_for(ready.exists)
    interrupt(process, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert only_run(trace).reasons == ("late attach",)
    state = docker_daemon.run("inspect", "-f", "{{.State.Running}}", name).stdout
    assert state == "true\n"
    docker_daemon.run("kill", name)


@pytest.mark.parametrize("recorder", RECORDERS)
def test_attaching_goes_on_over_restarts(
    agent: RunAgent, docker_daemon: Docker, trace: Path, name: str, tmp_path: Path, recorder: str
) -> None:
    """By the restart policy, by hand, and by hand while the agent was held up."""
    script = (
        "n=$(cat /count 2>/dev/null || echo 0); echo $((n + 1)) > /count;"
        "case $n in 1) cat /etc/issue;; 2) cat /etc/debian_version;; 3) exec 7< /etc/fstab;; esac;"
        "echo $n > /started; while ! test -e /go$n; do sleep 0.1; done; exit 1"
    )
    docker_daemon.run(
        *RUN[1:], "-d", "--restart", "on-failure:1", "--name", name, IMAGE, "sh", "-c", script
    )
    ready = tmp_path / "ready"
    process = agent.start(
        *("record", "-o", trace, "--recorder", recorder, "--ready-file", ready),
        *("--container", name),
        env=docker_daemon.env,
    )
    wait_for(ready.exists)
    others = ("run", "--rm", "--network", "none", IMAGE, "cat", "/etc/shells")
    docker_daemon.run("exec", name, "touch", "/go0")
    wait_for(lambda: _started(docker_daemon, name) == "1\n")
    docker_daemon.run("restart", "--time", "0", name)
    wait_for(lambda: _started(docker_daemon, name) == "2\n")
    os.kill(process.pid, signal.SIGSTOP)
    docker_daemon.run("restart", "--time", "0", name)
    docker_daemon.run(*others)
    wait_for(lambda: _started(docker_daemon, name) == "3\n")
    os.kill(process.pid, signal.SIGCONT)
    time.sleep(3)
    docker_daemon.run("rm", "--force", name)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    run = only_run(trace)
    assert run.reasons == ("late attach",)
    found = {file.path for file in run.files() if not file.held}
    assert {"/etc/issue", "/etc/debian_version", "/usr/bin/dash"} <= found
    assert {"/etc/issue", "/etc/debian_version"} <= paths_of(run, "container")
    assert "/etc/fstab" in paths_of(run, "container")
    assert "/etc/shells" not in paths(run)


def test_a_container_that_dockers_own_containerd_has_too_is_dockers(
    agent: RunAgent, docker_daemon: Docker, trace: Path, name: str
) -> None:
    docker_daemon.run(*RUN[1:], "-d", "--name", name, IMAGE, "sleep", "30")
    id_ = docker_daemon.run("inspect", "--format", "{{.Id}}", name).stdout.strip()
    space = Path(docker_daemon.env["DOCKER_HOST"].removeprefix("unix://")).parent
    below = {"CONTAINERD_ADDRESS": str(space / "exec" / "containerd" / "containerd.sock")}
    witness = ["ctr", "--namespace", "moby", "containers", "list", "--quiet"]
    known = subprocess.run(witness, env={**os.environ, **below}, check=True, stdout=-1).stdout
    assert id_ in known.decode().split()
    done = agent(
        *("record", "-o", trace, "--duration", "0.5s", "--container", id_),
        env={**docker_daemon.env, **below},
    )
    assert done.returncode == 0, done.stderr
    run = only_run(trace)
    assert run.image is not None
    assert (run.image.reference, run.image.identity) == (IMAGE, _identity(docker_daemon))
    docker_daemon.run("kill", name)


def _started(docker: Docker, name: str) -> str:
    return docker.run("exec", name, "cat", "/started", check=False).stdout


@pytest.mark.parametrize("state", ["absent", "ended"])
def test_a_container_that_cannot_be_attached_to(
    agent: RunAgent, docker_daemon: Docker, trace: Path, name: str, state: str
) -> None:
    if state == "ended":
        docker_daemon.run(*RUN[1:], "--name", name, IMAGE, "true")
    done = agent("record", "-o", trace, "--container", name, env=docker_daemon.env)
    assert done.returncode == 125
    cause = "it does not run" if state == "ended" else "no container of that name"
    line = done.stderr.splitlines()[0]
    assert line.startswith(f"error: cannot attach to container {name}: ")
    assert cause in line
    assert not trace.exists()


def test_sigkill_leaves_docker_and_its_container_alone(
    agent: RunAgent, docker_daemon: Docker, trace: Path, name: str
) -> None:
    process = agent.start(
        *("record", "-o", trace, "--", *RUN, "--rm", "--name", name, IMAGE),
        *("sh", "-c", "echo up; sleep 30"),
        env=docker_daemon.env,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(1.2)
    process.kill()
    process.wait()
    run = only_run(trace)
    assert run.trailer is None
    assert "/usr/bin/dash" in paths(run)
    assert docker_daemon.run("inspect", "-f", "{{.State.Running}}", name).stdout == "true\n"
    docker_daemon.run("kill", name)
