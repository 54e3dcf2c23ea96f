"""What tests with real containers share."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import engines
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
    with contextlib.ExitStack() as stack:
        try:
            docker = stack.enter_context(engines.docker())
        except RuntimeError as error:
            require(False, str(error))
        engines.import_tree(docker, nginx_rootfs, IMAGE)
        yield docker


@pytest.fixture(scope="session")
def podman_engine(require: Require, nginx_rootfs: Path) -> Iterator[Engine]:
    """A podman with images, containers and configuration of its own, and the image IMAGE."""
    for program in ("podman", "conmon", "runc"):
        require(shutil.which(program) is not None, f"{program} is not installed")
    with engines.podman() as podman:
        engines.import_tree(podman, nginx_rootfs, IMAGE)
        probe = podman.run("run", "--rm", IMAGE, "true", check=False)
        require(probe.returncode == 0, f"podman runs no container here: {probe.stderr}")
        yield podman


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
        engines.unmount_below(space)
        shutil.rmtree(space, ignore_errors=True)
