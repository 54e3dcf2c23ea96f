"""A docker daemon and a podman of the tests' own: nothing of the machine's is seen or changed."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import runc_without_limits
from container_tools import Docker, Engine


@contextlib.contextmanager
def docker() -> Iterator[Docker]:
    """Start a daemon with a storage of its own; its containers vanish with it.

    Raises:
        RuntimeError: it does not start, with what it said.
    """
    space = Path(tempfile.mkdtemp(prefix="paredown-docker-"))
    process = _start_daemon(space)
    engine = Docker(f"unix://{space}/socket")
    try:
        _await_daemon(engine, process, space)
        yield engine
        for container in engine.run("ps", "--all", "--quiet").stdout.split():
            engine.run("rm", "--force", container)
    finally:
        process.terminate()
        process.wait(30)
        unmount_below(space)
        shutil.rmtree(space, ignore_errors=True)


@contextlib.contextmanager
def podman() -> Iterator[Engine]:
    """Give a podman with a storage and configuration of its own; its containers vanish with it."""
    space = Path(tempfile.mkdtemp(prefix="paredown-podman-"))
    engine = Engine("podman", _podman_configuration(space))
    try:
        yield engine
    finally:
        engine.run("rm", "--all", "--force", "--time", "0", check=False)
        unmount_below(space)
        shutil.rmtree(space, ignore_errors=True)


def import_tree(engine: Engine, tree: Path, reference: str) -> None:
    """Make an image of one layer and no configuration from a root filesystem."""
    with subprocess.Popen(["tar", "-C", tree, "-c", "."], stdout=subprocess.PIPE) as tar:
        engine.run("import", "-", reference, stdin=tar.stdout)


def unmount_below(space: Path) -> None:
    """Unmount what an engine left in its directory."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if (mount_point := line.split()[4]).startswith(str(space)):
            subprocess.run(["umount", "--lazy", mount_point], check=False)


def _podman_configuration(space: Path) -> dict[str, str]:
    wrapper = space / "runtime"
    script = Path(runc_without_limits.__file__).resolve()
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
    wrapper.chmod(0o755)
    (space / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\nrunroot = "{space}/run"\ngraphroot = "{space}/data"\n'
    )
    (space / "containers.conf").write_text(
        '[containers]\nnetns = "none"\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "wrapped"\n'
        f'tmp_dir = "{space}/tmp"\nlock_type = "file"\n'
        f'[engine.runtimes]\nwrapped = ["{wrapper}"]\n'
    )
    return {
        "CONTAINERS_STORAGE_CONF": f"{space}/storage.conf",
        "CONTAINERS_CONF": f"{space}/containers.conf",
    }


def _start_daemon(space: Path) -> subprocess.Popen[bytes]:
    # "--bridge none" deletes a docker0 that is there already, a developer's: not from in here.
    command = ["unshare", "--net", "dockerd", "--bridge", "none"]
    command += ["--iptables=false", "--ip6tables=false", "--host", f"unix://{space}/socket"]
    command += ["--data-root", f"{space}/data", "--exec-root", f"{space}/exec"]
    with (space / "log").open("wb") as log:
        return subprocess.Popen([*command, "-p", f"{space}/pid"], stdout=log, stderr=log)


def _await_daemon(engine: Docker, process: subprocess.Popen[bytes], space: Path) -> None:
    deadline = time.monotonic() + 30
    while engine.run("version", check=False).returncode != 0:
        gone = process.poll() is not None or time.monotonic() > deadline
        if gone:
            raise RuntimeError(f"dockerd does not start: {(space / 'log').read_text()[-500:]}")
        time.sleep(0.2)
