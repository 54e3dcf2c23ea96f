"""The agent's bundle in images that it knows nothing of, as the wrapper of PID 1."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from container_tools import IMAGE, Docker, RunAgent, only_run, paths, wait_for
from fixture_types import Require
from paredown_schemas.trace import Run
from portable import (
    AGENT,
    ATTACH,
    NODE,
    WRAP,
    build,
    grant,
    import_root,
    make_bundle,
    make_musl_root,
    make_static_root,
)

NGINX_NEEDS = ("CHOWN", "SETUID", "SETGID", "DAC_OVERRIDE")
GREETING = "pid 1, LD_PRELOAD /no/such.so, LC_CTYPE unset\n"
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
        # In a queue of fanotify's what the runtime opened before may stand for both.
        arguments = ("--recorder", "ebpf", "--")
        options = ("--rm", "--name", name, "--network", "none")
        words = ("docker", "run", *options, images[name], *command)
        process = agent.start("record", "-o", trace, *arguments, *words, env=docker_daemon.env)
        _load_and_stop(docker_daemon, name)
        process.communicate(timeout=60)
        agent.close()
        assert only_run(trace).verdict == "complete"
        found[name] = _opened(only_run(trace))
    return found


def _load_and_stop(docker: Docker, name: str) -> None:
    def _runs() -> bool:
        if name == "nginx":
            return "worker process" in docker.run("top", name, check=False).stdout
        return "pid 1" in docker.run("logs", name, check=False).stdout

    wait_for(_runs)
    time.sleep(1)  # what a recorder has not read when it is killed, on a busy machine, is lost
    docker.run("stop", name)


def _options(name: str) -> list[str]:
    own = NGINX_NEEDS if name == "nginx" else ()
    environment = ("--env", "LD_PRELOAD=/no/such.so")
    return ["--name", name, "--network", "none", *grant(*WRAP, *own), *environment]


def _volume(bundle: Path) -> list[str]:
    return ["--volume", f"{bundle}:/paredown:ro"]


def _end(docker: Docker, name: str) -> tuple[int, str]:
    """Remove a container; return its status and output."""
    status = docker.run("inspect", "--format", "{{.State.ExitCode}}", name).stdout
    output = docker.run("logs", name).stdout
    docker.run("rm", "--force", name)
    return int(status), output


def _opened(run: Run) -> set[str]:
    """What was changed by name shows in an upper layer, which is out of reach from inside."""
    return {file.path for file in run.files() if (file.kind, file.how) != ("directory", "write")}


def _check(run: Run, seen: set[str]) -> None:
    assert _opened(run) == seen
    (session,) = run.sessions().values()
    assert (session.kind, session.pid) == ("command", 1)


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
    # What it writes lies on the image's own superblock too.
    words = (AGENT, "record", "-o", "/app.trace", "--ready-file", "/ready", "--recorder", recorder)
    started = ("run", "--detach", *_options(name), images[f"{name}-copied"], *words, "--")
    docker_daemon.run(*started, *COMMANDS[name])
    _load_and_stop(docker_daemon, name)
    docker_daemon.run("cp", f"{name}:/app.trace", str(tmp_path))
    status, output = _end(docker_daemon, name)
    if name != "nginx":
        # docker stop's SIGTERM reached it as PID 1.
        assert (status, output) == (7, GREETING)
    run = only_run(tmp_path / "app.trace")
    assert run.header.recorder.startswith(recorder)
    # PID 1's end takes the recorder along.
    assert run.reasons == ("the recorder ended without a trailer",)
    _check(run, seen_from_outside[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_mounted_into_the_container_and_ended_in_time_its_trace_is_complete(
    bundle: Path,
    images: dict[str, str],
    docker_daemon: Docker,
    seen_from_outside: dict[str, set[str]],
    tmp_path: Path,
    name: str,
) -> None:
    (out := tmp_path / "out").mkdir()
    options = (*_options(name), *_volume(bundle), "--volume", f"{out}:/traces", "--read-only")
    options += ("--tmpfs", "/run", "--tmpfs", "/var/log/nginx", "--tmpfs", "/var/lib/nginx")
    words = (AGENT, "record", "-o", "/traces/app.trace", "--duration", "3s", "--")
    docker_daemon.run("run", "--detach", *options, images[name], *words, *COMMANDS[name])
    wait_for(lambda: _verdict(out / "app.trace") == "complete")
    _load_and_stop(docker_daemon, name)
    _end(docker_daemon, name)
    written = {"/run/nginx.pid", "/var/log/nginx/access.log", "/var/log/nginx/error.log"}
    _check(
        only_run(out / "app.trace"), seen_from_outside[name] - written - {"/etc/at-the-end.conf"}
    )


def _verdict(trace: Path) -> str:
    return only_run(trace).verdict if trace.exists() and trace.stat().st_size > 8 else ""


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (grant(), "CAP_SYS_ADMIN"),
        ([*grant(*WRAP), "--user", "1000"], "CAP_SYS_ADMIN"),
    ],
)
def test_one_capability_less_is_told_by_its_name(
    bundle: Path,
    images: dict[str, str],
    docker_daemon: Docker,
    options: list[str],
    cause: str,
) -> None:
    started = ("run", "--rm", "--network", "none", *options, *_volume(bundle), images["static"])
    for recorder in ("fanotify", "ebpf", "auto"):
        words = (AGENT, "record", "-o", "/dev/null", "--force", "--recorder", recorder, "--")
        done = docker_daemon.run(*started, *words, "/bin/app", check=False)
        assert done.returncode == 125
        assert cause in done.stderr
    done = docker_daemon.run(*started, AGENT, "doctor", check=False)
    assert done.returncode == 1
    missing = [line for line in done.stdout.splitlines() if line.startswith("CAP_SYS_ADMIN")]
    assert missing == [missing[0]]
    assert missing[0].split()[1:] == ["no", "missing"]


def test_the_doctor_of_the_bundle_finds_all_that_a_recording_takes(
    bundle: Path, images: dict[str, str], docker_daemon: Docker
) -> None:
    options = ("--rm", "--network", "none", *grant(*WRAP), *_volume(bundle))
    done = docker_daemon.run("run", *options, images["static"], AGENT, "doctor")
    for recorder in ("fanotify", "ebpf-tracepoints"):
        assert re.search(rf"^recorder {recorder} +yes", done.stdout, re.MULTILINE)


@pytest.fixture
def running(images: dict[str, str], docker_daemon: Docker) -> Iterator[str]:
    """A container with another user's process, which holds a file open."""
    script = "exec 5</etc/app.conf; while :; do sleep 1; done"
    options = ("--name", "app", "--user", "1000", "--network", "none")
    docker_daemon.run(
        "run", "--detach", "--interactive", *options, images["musl"], "/bin/sh", "-c", script
    )
    yield "app"
    docker_daemon.run("rm", "--force", "app")


def _attach(bundle: Path, out: Path, capabilities: Sequence[str]) -> list[str]:
    """The command of the recipe, but for the image."""
    shared = ("--rm", "--pid", "container:app", "--network", "none", "--volume", f"{out}:/traces")
    return ["run", *shared, *grant(*capabilities), *_volume(bundle)]


def test_it_attaches_from_a_container_beside(
    bundle: Path, images: dict[str, str], docker_daemon: Docker, running: str, tmp_path: Path
) -> None:
    options = _attach(bundle, tmp_path, ATTACH)
    words = (AGENT, "record", "-o", "/traces/app.trace", "--ready-file", "/traces/ready")
    with subprocess.Popen(
        ["docker", *options, images["static"], *words, "--duration", "3s", "--pid", "1"],
        env={**os.environ, **docker_daemon.env},
    ) as sidecar:
        wait_for((tmp_path / "ready").exists)
        docker_daemon.run("exec", running, "/bin/sh", "-c", "read x </etc/at-the-end.conf")
        assert sidecar.wait(30) == 0
    run = only_run(tmp_path / "app.trace")
    assert run.reasons == ("late attach",)
    assert paths(run) >= {"/bin/sh", "/etc/app.conf", "/etc/at-the-end.conf"}
    assert not any("paredown" in path or "python" in path for path in paths(run))


@pytest.mark.parametrize("missing", ATTACH)
def test_an_attach_with_one_capability_less_is_told_by_its_name(
    bundle: Path,
    images: dict[str, str],
    docker_daemon: Docker,
    running: str,
    tmp_path: Path,
    missing: str,
) -> None:
    del running
    options = _attach(bundle, tmp_path, [name for name in ATTACH if name != missing])
    words = (AGENT, "record", "-o", "/traces/app.trace", "--pid", "1")
    done = docker_daemon.run(*options, images["static"], *words, check=False)
    assert done.returncode == 125
    assert f"CAP_{missing}" in done.stderr


def test_for_a_node_it_enters_the_hosts_mount_namespace(
    bundle: Path, images: dict[str, str], docker_daemon: Docker, running: str, tmp_path: Path
) -> None:
    (out := tmp_path / "traces").mkdir()
    options = ("--rm", "--name", "agent", "--pid", "host", "--network", "none", *grant(*NODE))
    socket = ("--env", f"DOCKER_HOST={docker_daemon.env['DOCKER_HOST']}")
    enter = ("nsenter", "--target", str(os.getpid()), "--mount", "--")
    words = (str(bundle / "paredown-agent"), "record", "-o", str(out), "--all-containers")
    ready = tmp_path / "ready"
    with subprocess.Popen(
        [
            *("docker", "run", *options, *socket, images["nginx"], *enter, *words),
            *("--duration", "6s", "--ready-file", str(ready)),
        ],
        env={**os.environ, **docker_daemon.env},
    ) as agent:
        wait_for(ready.exists)
        later = ("run", "--rm", "--name", "later", "--network", "none", images["nginx"])
        docker_daemon.run(*later, "cat", "/etc/shells")
        assert agent.wait(40) == 0
    traces = {path.name.rpartition("-")[0]: only_run(path) for path in out.iterdir()}
    assert {running, "later"} <= set(traces)
    assert "agent" not in traces
    assert traces[running].reasons == ("late attach",)
    assert "/etc/app.conf" in paths(traces[running])
    assert traces["later"].verdict == "complete"
    assert {"/usr/bin/cat", "/etc/shells"} <= paths(traces["later"])


@pytest.mark.parametrize(
    ("held", "recorder", "status"),
    [
        ("sys_admin", "fanotify", 0),
        ("sys_admin", "ebpf", 0),
        ("bpf,+perfmon", "ebpf", 0),
        ("bpf", "ebpf", 125),
        ("perfmon", "ebpf", 125),
        ("bpf,+perfmon", "fanotify", 125),
    ],
)
def test_each_recorder_takes_the_capabilities_that_the_recipes_say(
    recording: None, bundle: Path, tmp_path: Path, held: str, recorder: str, status: int
) -> None:
    """Docker of Debian 12 knows no CAP_BPF: without a container, but with one's capabilities."""
    del recording
    limits = [f"--bounding-set=-all,+{held}", f"--inh-caps=-all,+{held}"]
    agent = [str(bundle / "paredown-agent"), "record", "-o", str(tmp_path / "app.trace")]
    words = ["setpriv", *limits, *agent, "--recorder", recorder, "--", "true"]
    mount = 'mount -t tracefs nodev /sys/kernel/tracing && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, "sh", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    if status:
        lacked = {"bpf": "CAP_PERFMON", "perfmon": "CAP_BPF"}.get(held, "CAP_SYS_ADMIN")
        assert lacked in done.stderr


def test_the_image_is_planned_for_and_not_the_one_that_was_recorded(
    images: dict[str, str], docker_daemon: Docker, tmp_path: Path
) -> None:
    """The bundle is the recording image's entrypoint; the application's image has none of it."""
    words = ("record", "-o", "/app.trace", "--duration", "2s", "--")
    started = (*_options("nginx"), images["nginx-copied"], AGENT, *words, *COMMANDS["nginx"])
    docker_daemon.run("run", "--detach", *started)
    trace = tmp_path / "app.trace"

    def _written() -> bool:
        docker_daemon.run("cp", "nginx:/app.trace", str(trace), check=False)
        return _verdict(trace) == "complete"

    wait_for(_written)
    _load_and_stop(docker_daemon, "nginx")
    _end(docker_daemon, "nginx")
    plan = tmp_path / "plan.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "paredown_minimizer", "plan", f"docker:{images['nginx']}"),
            *("--trace", str(trace), "-o", str(plan)),
        ],
        env={**os.environ, **docker_daemon.env},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    text = plan.read_text()
    assert "/usr/sbin/nginx" in text
    assert "paredown-agent" not in text


def test_it_is_small_and_made_the_same_again(bundle: Path, tmp_path: Path) -> None:
    size = sum(path.stat().st_size for path in bundle.rglob("*"))
    assert size < 30e6
    make_bundle(tmp_path)
    (first,), (again,) = (path.glob("*.tar.gz") for path in (bundle.parent, tmp_path))
    assert first.read_bytes() == again.read_bytes()
    for path in bundle.rglob("*"):
        assert path.stat().st_mode & 0o444 == 0o444
    assert {"libc6", "libbpf1", "python3.11-minimal"} <= set(os.listdir(bundle / "licenses"))
