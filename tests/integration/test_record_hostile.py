"""Root filesystems made to harm: nothing outside of them changes, and nothing hangs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from container_tools import RunAgent
from trees import table

# What the container's runtime puts in its place, or the agent makes.
PLACES = ("dev", "etc", "etc/resolv.conf", "proc", "sys", "tmp")


@pytest.fixture
def root(nginx_rootfs: Path, tmp_path: Path) -> Path:
    tree = tmp_path / "root"
    shutil.copytree(nginx_rootfs / "usr/bin", tree / "bin", symlinks=True)
    for name in ("lib", "lib64"):
        shutil.copytree(nginx_rootfs / name, tree / name, symlinks=True)
    return tree


def _linked(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def _climbing(place: Path, outside: Path) -> None:
    place.symlink_to("../" * 20 + str(outside).lstrip("/"))


def _looping(place: Path, _: Path) -> None:
    place.symlink_to(place.name)


def _piped(place: Path, _: Path) -> None:
    os.mkfifo(place)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        *((name, make) for name in PLACES for make in (_linked, _climbing)),
        *((name, make) for name in PLACES[:3] for make in (_looping, _piped)),
    ],
)
def test_nothing_outside_changes(
    agent: RunAgent, root: Path, tmp_path: Path, name: str, make: Callable[[Path, Path], None]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for inside in ("resolv.conf", "hosts", "hostname", "null", "passwd"):
        (outside / inside).write_text("of the host")
    (root / name).parent.mkdir(exist_ok=True)
    make(root / name, outside / "passwd" if "/" in name else outside)
    before = table(outside), table(root)
    done = agent(
        *("record", "-o", tmp_path / "a.trace", "--rootfs", root, "--"),
        *("/bin/sh", "-c", "echo x >/etc/resolv.conf; echo x >/tmp/x; echo x >/etc/new; echo up"),
    )
    assert (table(outside), table(root)) == before
    if done.returncode == 125:
        assert done.stderr.count("\n") == 1, done.stderr  # the agent's own, or runc's
    else:
        assert done.stdout == "up\n", done.stderr
    assert done.returncode == 125 or name not in ("dev", "proc", "sys")
    assert "Traceback" not in done.stderr


def test_pipes_hold_up_nobody(agent: RunAgent, root: Path, tmp_path: Path) -> None:
    (root / "etc/nsswitch.conf").mkdir(parents=True)
    for name in ("etc/os-release", "etc/debian_version", "etc/machine-id"):
        os.mkfifo(root / name)
    trace = tmp_path / "a.trace"
    done = agent("record", "-o", trace, "--rootfs", root, "--", "/bin/ls", "/etc")
    assert done.returncode == 0, done.stderr
    assert "os-release" in done.stdout
    assert trace.stat().st_size > 0


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("name", ["passwd", "group"])
def test_accounts_that_are_no_files(
    agent: RunAgent, root: Path, tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    """As runc reads them: at a FIFO it would wait for ever."""
    (root / "etc").mkdir()
    make(root / f"etc/{name}")
    done = agent("record", "-o", tmp_path / "a.trace", "--rootfs", root, "--", "/bin/true")
    assert done.returncode == 125
    assert done.stderr.endswith(f"its /etc/{name} is no regular file\n")
