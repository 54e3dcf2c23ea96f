"""Recorders on real kernels: a container's root is an overlay of a real root filesystem."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixture_types import Require
from paredown_agent.recorder.base import Recorder
from recorders import NAMES, opened
from recording import watch


@pytest.fixture
def root(nginx_rootfs: Path, tmp_path: Path, require: Require) -> Iterator[Path]:
    """A fresh writable overlay of the nginx root filesystem, gone after the test."""
    base = tmp_path / "overlay"
    base.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", base], check=False)
    require(mounted.returncode == 0, "nothing can be mounted")
    for name in ("upper", "work", "merged"):
        (base / name).mkdir()
    options = f"lowerdir={nginx_rootfs},upperdir={base}/upper,workdir={base}/work"
    overlay = ["mount", "-t", "overlay", "overlay", "-o", options, str(base / "merged")]
    try:
        require(subprocess.run(overlay, check=False).returncode == 0, "no overlay can be mounted")
        yield base / "merged"
    finally:
        subprocess.run(["umount", "-q", base / "merged"], check=False)
        subprocess.run(["umount", "-l", base], check=True)


@pytest.fixture(params=NAMES)
def recorder(request: pytest.FixtureRequest, require: Require) -> Iterator[Recorder]:
    """Each recorder that works here, watching nothing yet."""
    recorder = opened(request.param, require)
    yield recorder
    recorder.close()


@pytest.fixture
def watching(recorder: Recorder, root: Path) -> Recorder:
    """The recorder, watching the overlay."""
    watch(recorder, root)
    return recorder


@pytest.fixture(params=["told", "not told"])
def errors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether events tell why they have no descriptor, where the kernel has that."""
    if request.param == "not told":
        monkeypatch.setattr("paredown_agent.fanotify._FAN_REPORT_FD_ERROR", 0)
