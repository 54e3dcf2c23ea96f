"""Bad surroundings: one clear line, exit code 125, and no half-made trace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_tools import RunAgent, only_run, paths
from fixture_types import Require
from recorders import NAMES, opened

UP = "echo up; read line"


@pytest.fixture
def small_disk(require: Require, tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 64 kB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=False
    )
    require(mounted.returncode == 0, "a tmpfs cannot be mounted")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize(
    ("place", "cause"),
    [("missing", "No such file or directory"), ("file", "Not a directory"), ("/", "own root")],
)
def test_a_directory_that_is_none(agent: RunAgent, tmp_path: Path, place: str, cause: str) -> None:
    (tmp_path / "file").write_text("")
    trace = tmp_path / "app.trace"
    done = agent("record", "-o", trace, "--rootfs", tmp_path / place, "--", "true")
    assert done.returncode == 125
    assert done.stderr.startswith("error: cannot run a container in ")
    assert cause in done.stderr
    assert not trace.exists()


def test_an_output_that_exists_or_cannot_be_made(
    agent: RunAgent, nginx_rootfs: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "app.trace"
    trace.write_text("old")
    marker = tmp_path / "ran"
    for output in (trace, tmp_path / "missing/app.trace"):
        for target in (["--rootfs", str(nginx_rootfs)], []):
            done = agent("record", "-o", output, *target, "--", "touch", marker)
            assert done.returncode == 125
            assert done.stderr.startswith(f"error: cannot write {output}: ")
    assert trace.read_text() == "old"
    assert not marker.exists()


def test_a_full_disk_stops_the_recording_and_not_the_workload(
    agent: RunAgent, nginx_rootfs: Path, small_disk: Path
) -> None:
    trace = small_disk / "app.trace"
    script = "find /usr -type f -exec grep -l paredown {} + >/dev/null; sleep 1; echo done; exit {}"
    for own, status in ((0, 125), (9, 9)):
        done = agent(
            *("record", "--force", "-o", trace, "--rootfs", nginx_rootfs, "--"),
            *("sh", "-c", script.replace("exit {}", f"exit {own}")),
        )
        assert done.stdout == "done\n"
        assert done.returncode == status
        assert f"cannot write {trace}: No space left on device" in done.stderr
        run = only_run(trace)
        assert run.verdict == "partial"
        assert "/usr/bin/find" in paths(run)


def test_without_capabilities(recording: None, tmp_path: Path) -> None:
    del recording
    script = "import sys; sys.path[:] = %r; from paredown_agent.cli import main; sys.exit(main())"
    done = subprocess.run(
        [
            *("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--reuid", "0"),
            *(sys.executable, "-c", script % sys.path),
            *("record", "-o", str(tmp_path / "app.trace"), "--", "true"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 125
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: cannot record on this host: ")
    assert "CAP_" in "".join(lines[1:])
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "app.trace").exists()


_HIDDEN = {
    "BTF": (
        "mount -t tmpfs none /sys/kernel/btf",
        "this kernel has no BTF",
        "CONFIG_DEBUG_INFO_BTF",
    ),
    "libbpf": (
        "for f in $(find /usr/lib -name 'libbpf.so.*'); do mount --bind /dev/null $f; done",
        "libbpf is not installed",
        "apt-get install libbpf1",
    ),
    "runc": ("mount --bind /dev/null $(which runc)", "runc is not installed", "install runc"),
}


@pytest.mark.parametrize("lacking", _HIDDEN)
def test_a_host_that_lacks_something(
    recording: None, nginx_rootfs: Path, tmp_path: Path, lacking: str
) -> None:
    """It is one line with the cause, one with what to do, and so says the doctor."""
    del recording
    hide, cause, hint = _HIDDEN[lacking]
    agent = f"{sys.executable} -m paredown_agent"
    record = f"{agent} record -o {tmp_path}/trace --recorder ebpf --rootfs {nginx_rootfs} -- true"
    hidden = ["unshare", "--mount", "sh", "-c", f"{hide}; {agent} doctor; exec {record}"]
    done = subprocess.run(hidden, capture_output=True, text=True, check=False)
    assert done.returncode == 125
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("error: cannot ")
    assert cause in lines[0]
    assert lines[1].startswith("hint: ")
    assert hint in lines[1]
    assert not (tmp_path / "trace").exists()
    table = done.stdout.splitlines()
    (number,) = [n for n, line in enumerate(table) if line.split()[:2] == [lacking, "no"]]
    assert hint in table[number + 1]


_NO_TRACEFS = "umount -q /sys/kernel/tracing /sys/kernel/debug/tracing"


@pytest.mark.parametrize("recorder", NAMES)
def test_nobody_need_mount_tracefs(
    recording: None, nginx_rootfs: Path, tmp_path: Path, recorder: str, require: Require
) -> None:
    del recording
    opened(recorder, require).close()
    agent = f"{sys.executable} -m paredown_agent"
    options = f"-o {tmp_path}/trace --recorder {recorder} --rootfs {nginx_rootfs}"
    script = f"{_NO_TRACEFS}; {agent} doctor; {agent} record {options} -- cat /etc/issue"
    script += "; grep -c tracefs /proc/self/mountinfo"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert "/etc/issue" in {file.path for file in only_run(tmp_path / "trace").files()}
    assert [line.split()[1] for line in done.stdout.splitlines() if "tracefs" in line] == ["yes"]
    assert done.stdout.splitlines()[-1] == "0"


def test_a_tracefs_that_is_refused(recording: None, tmp_path: Path) -> None:
    del recording
    agent = f"{sys.executable} -m paredown_agent"
    record = f"{agent} record -o {tmp_path}/trace --recorder ebpf -- true"
    script = f"{_NO_TRACEFS}; exec setpriv --bounding-set -sys_admin {record}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 125
    assert "cannot open tracefs: Operation not permitted, and none is mounted" in done.stderr
    assert "mount -t tracefs" in done.stderr


def test_doctor_for_nobody(recording: None, require: Require) -> None:
    del recording
    nobody = ["setpriv", "--reuid", "65534", "--clear-groups", sys.executable]
    probe = subprocess.run([*nobody, "-c", "import paredown_agent"], check=False)
    require(probe.returncode == 0, "this Python is not for every user")
    done = subprocess.run(
        [*nobody, "-m", "paredown_agent", "doctor"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "CAP_SYS_ADMIN" in done.stdout
    assert "5.8" not in done.stdout


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_no_engine(agent: RunAgent, tmp_path: Path, engine: str) -> None:
    path = {"PATH": "/nowhere"}
    done = agent("record", "-o", tmp_path / "a", "--", engine, "run", "x", env=path)
    assert done.stderr == f"error: cannot start {engine}: not installed\n"
    assert done.returncode == 127
    done = agent("record", "-o", tmp_path / "a", "--container", "x", env=path)
    assert done.stderr.endswith("none of docker, podman, ctr, crictl is installed\n")
    assert done.returncode == 125
    assert os.listdir(tmp_path) == []


def test_a_daemon_that_is_down(agent: RunAgent, require: Require, tmp_path: Path) -> None:
    require(shutil.which("docker") is not None, "docker is not installed")
    down = {"DOCKER_HOST": "unix:///nowhere"}
    done = agent("record", "-o", tmp_path / "a", "--", "docker", "run", "x", env=down, timeout=20)
    assert done.returncode == 125
    assert "no container was seen, nothing was recorded" in done.stderr.splitlines()[-1]


def test_a_trace_that_vanished(agent: RunAgent, nginx_rootfs: Path, tmp_path: Path) -> None:
    trace = tmp_path / "there/app.trace"
    trace.parent.mkdir()
    process = agent.start("record", "-o", trace, "--rootfs", nginx_rootfs, "--", "sh", "-c", UP)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    shutil.rmtree(trace.parent)
    _, stderr = process.communicate("\n", timeout=30)
    assert stderr == f"cannot write {trace}: it was removed meanwhile\n"
    assert process.returncode == 125


def test_a_trace_in_the_directory_itself(agent: RunAgent, tmp_path: Path) -> None:
    done = agent("record", "-o", tmp_path / "a", "--rootfs", tmp_path, "--", "no-such-program")
    assert done.returncode == 127
    assert os.listdir(tmp_path) == []


def test_a_directory_that_nothing_can_lie_over(
    agent: RunAgent, small_disk: Path, nginx_rootfs: Path, tmp_path: Path
) -> None:
    lower = nginx_rootfs
    for name in ("one", "two"):
        parts = {part: small_disk / name / part for part in ("upper", "work", "root")}
        for part in parts.values():
            part.mkdir(parents=True)
        options = f"lowerdir={lower},upperdir={parts['upper']},workdir={parts['work']}"
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(parts["root"])]
        subprocess.run(mount, check=True)
        lower = parts["root"]
    try:
        done = agent("record", "-o", tmp_path / "a", "--rootfs", lower, "--", "true")
    finally:
        for name in ("two", "one"):
            subprocess.run(["umount", small_disk / name / "root"], check=True)
    assert done.returncode == 125
    assert "hint: no overlay can lie over this filesystem" in done.stderr


@pytest.mark.parametrize("kind", ["tmpfs", "read-only"])
def test_directories_on_other_filesystems(
    agent: RunAgent, nginx_rootfs: Path, tmp_path: Path, kind: str
) -> None:
    place = tmp_path / "root"
    place.mkdir()
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
        shutil.copytree(nginx_rootfs / "usr/bin", place / "bin", symlinks=True)
        for name in ("lib", "lib64"):
            shutil.copytree(nginx_rootfs / "usr" / name, place / name, symlinks=True)
    else:
        subprocess.run(["mount", "--bind", nginx_rootfs, place], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
    try:
        done = agent("record", "-o", tmp_path / "a", "--rootfs", place, "--", "mkdir", "/new")
    finally:
        subprocess.run(["umount", place], check=True)
    assert done.returncode == 0, done.stderr
    assert only_run(tmp_path / "a").verdict == "complete"


def test_an_unknown_recorder(agent: RunAgent, tmp_path: Path) -> None:
    done = agent("record", "-o", tmp_path / "a", "--recorder", "magic", "--", "true")
    assert done.returncode == 125
    assert "cannot use recorder 'magic'" in done.stderr
    assert os.listdir(tmp_path) == []
