"""What tests with real containers share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import runc_without_limits
from container_tools import IMAGE, Docker, Engine, RunAgent
from containerd_daemon import Containerd
from fixture_types import Require


@pytest.fixture(scope="session")
def recording(require: Require) -> None:
    """Need a host on which a recorder works and containers can be made."""
    require(os.geteuid() == 0, "recording takes root")
    doctor = subprocess.run(
        [sys.executable, "-m", "paredown_agent", "doctor"],
        capture_output=True,
        text=True,
        check=False,
    )
    require(doctor.returncode == 0, f"no recorder works here: {doctor.stdout}")


@pytest.fixture
def agent(recording: None) -> Iterator[RunAgent]:
    """Return what starts the agent; all that it started is gone afterwards."""
    del recording
    run = RunAgent()
    yield run
    run.close()


@pytest.fixture(scope="session")
def docker_daemon(require: Require, nginx_rootfs: Path) -> Iterator[Docker]:
    """A dockerd of the tests' own, with the image IMAGE; DOCKER_HOST leads to it."""
    for program in ("dockerd", "docker"):
        require(shutil.which(program) is not None, f"{program} is not installed")
    space = Path(tempfile.mkdtemp(prefix="paredown-docker-"))
    process = _start_daemon(space)
    docker = Docker(f"unix://{space}/socket")
    try:
        _await_daemon(docker, process, space, require)
        with subprocess.Popen(["tar", "-C", nginx_rootfs, "-c", "."], stdout=-1) as tar:
            docker.run("import", "-", IMAGE, stdin=tar.stdout)
        yield docker
        for container in docker.run("ps", "--all", "--quiet").stdout.split():
            docker.run("rm", "--force", container)
    finally:
        process.terminate()
        process.wait(30)
        _unmount(space)
        shutil.rmtree(space, ignore_errors=True)


@pytest.fixture(scope="session")
def podman_engine(require: Require, nginx_rootfs: Path) -> Iterator[Engine]:
    """A podman with images, containers and configuration of its own, and the image IMAGE."""
    for program in ("podman", "conmon", "runc"):
        require(shutil.which(program) is not None, f"{program} is not installed")
    space = Path(tempfile.mkdtemp(prefix="paredown-podman-"))
    podman = Engine("podman", _podman_configuration(space))
    try:
        with subprocess.Popen(["tar", "-C", nginx_rootfs, "-c", "."], stdout=-1) as tar:
            podman.run("import", "-", IMAGE, stdin=tar.stdout)
        probe = podman.run("run", "--rm", IMAGE, "true", check=False)
        require(probe.returncode == 0, f"podman runs no container here: {probe.stderr}")
        yield podman
    finally:
        podman.run("rm", "--all", "--force", "--time", "0", check=False)
        _unmount(space)
        shutil.rmtree(space, ignore_errors=True)


@pytest.fixture(scope="session")
def containerd(require: Require, nginx_rootfs: Path) -> Iterator[Containerd]:
    """A containerd of the tests' own, Kubernetes' interface included, with the image IMAGE."""
    for program in ("containerd", "ctr", "runc", "clang"):
        require(shutil.which(program) is not None, f"{program} is not installed")
    space = Path(tempfile.mkdtemp(prefix="paredown-containerd-"))
    daemon = Containerd(space)
    try:
        try:
            daemon.start()
        except RuntimeError as error:
            require(False, f"containerd does not start: {error}")
        daemon.import_images(nginx_rootfs)
        yield daemon
    finally:
        daemon.close()
        _unmount(space)
        shutil.rmtree(space, ignore_errors=True)


def _podman_configuration(space: Path) -> dict[str, str]:
    """What is under /var/lib/containers, and how the machine's own podman is set, stays."""
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


def _await_daemon(
    docker: Docker, process: subprocess.Popen[bytes], space: Path, require: Require
) -> None:
    deadline = time.monotonic() + 30
    while docker.run("version", check=False).returncode != 0:
        gone = process.poll() is not None or time.monotonic() > deadline
        require(not gone, f"dockerd does not start: {(space / 'log').read_text()[-500:]}")
        time.sleep(0.2)


def _unmount(space: Path) -> None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if (mount_point := line.split()[4]).startswith(str(space)):
            subprocess.run(["umount", "--lazy", mount_point], check=False)
