"""``record --pid`` with containers of no engine, and with what is none."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from container_tools import RunAgent, held, interrupt, only_run, paths, processes, wait_for


def test_a_container_of_no_engine(agent: RunAgent, nginx_rootfs: Path, tmp_path: Path) -> None:
    """Of bare runc, as --rootfs starts it, by a process deep in it."""
    script = "exec 7< /etc/issue; sh -c 'sleep 71; cat /etc/fstab'; true"
    container = agent.start(
        *("record", "-o", tmp_path / "own", "--rootfs", nginx_rootfs, "--", "sh", "-c", script)
    )
    wait_for(lambda: processes("71"))
    ready, trace = tmp_path / "ready", tmp_path / "app.trace"
    (pid,) = processes("71")
    process = agent.start("record", "-o", trace, "--ready-file", ready, "--pid", str(pid))
    wait_for(lambda: ready.exists() or process.poll() is not None)
    os.kill(pid, signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    interrupt(container)
    container.communicate(timeout=30)
    run = only_run(trace)
    assert run.reasons == ("late attach",)
    assert run.image is None
    assert run.header.target == "container"
    assert {"/etc/issue", "/usr/bin/dash", "/usr/bin/sleep"} <= {each.path for each in held(run)}
    assert "/etc/fstab" in paths(run)
    assert len(run.sessions()) == 1


@pytest.mark.parametrize(
    ("pid", "cause"),
    [
        (os.getpid(), "its root is the host's own, it is in no container"),
        (2**22 + 1, "no such process"),
        (-1, "no such process"),
    ],
)
def test_what_is_no_container(agent: RunAgent, tmp_path: Path, pid: int, cause: str) -> None:
    done = agent("record", "-o", tmp_path / "t", f"--pid={pid}")
    assert done.returncode == 125
    error, hint = done.stderr.splitlines()
    assert error == f"error: cannot attach to process {pid}: {cause}"
    assert hint.startswith("hint: ")
    assert not (tmp_path / "t").exists()


def test_a_directory_of_the_hosts_disk_as_root(agent: RunAgent, tmp_path: Path) -> None:
    """Its superblock is the host's: everything of the host would be watched."""
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(shutil.which("busybox") or "", root / "sleep")
    script = f"mount --bind {root} {root}; exec chroot {root} /sleep 72"
    with subprocess.Popen(["unshare", "--mount", "sh", "-c", script]) as container:
        try:
            wait_for(lambda: processes("72"))
            done = agent("record", "-o", tmp_path / "t", "--pid", str(processes("72")[0]))
        finally:
            container.kill()
    assert done.returncode == 125
    assert "its root is a directory of a larger filesystem" in done.stderr
    assert "--rootfs" in done.stderr
