"""Overlays that come and go under the same names and numbers, as docker's do."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fixture_types import Require
from paredown_agent.mountinfo import read_mounts
from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.target.overlays import OverlayWatch
from paredown_schemas.trace import Process, Session
from recording import files, paths, run

Mount = Callable[[str], int]


@pytest.fixture
def mount(tmp_path: Path, nginx_rootfs: Path, require: Require) -> Iterator[Mount]:
    """Return ``mount(name)``, which mounts an overlay there and returns its st_dev."""
    base = tmp_path / "base"
    base.mkdir()
    probe = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", base], check=False)
    require(probe.returncode == 0, "nothing can be mounted")

    def make(name: str) -> int:
        for part in ("upper", "work", "merged"):
            (base / name / part).mkdir(parents=True, exist_ok=True)
        options = f"lowerdir={nginx_rootfs},upperdir={base}/{name}/upper,workdir={base}/{name}/work"
        command = ["mount", "-t", "overlay", "overlay", "-o", options, f"{base}/{name}/merged"]
        subprocess.run(command, check=True)
        return os.stat(f"{base}/{name}/merged").st_dev

    yield make
    for found in read_mounts().mounts:
        if found.mount_point.startswith(f"{base}/"):
            subprocess.run(["umount", "--lazy", found.mount_point], check=True)
    subprocess.run(["umount", "--lazy", base], check=True)


def unmount(recorder: Recorder, base: Path) -> None:
    recorder.drain()  # an event that waits holds its mount
    for found in read_mounts().mounts:
        if found.mount_point.startswith(f"{base}/"):
            subprocess.run(["umount", found.mount_point], check=True)


def mount_again(mount: Mount, name: str, device: int, recorder: Recorder, base: Path) -> None:
    """The kernel gives the lowest number that is free, which others may take meanwhile."""
    for _ in range(50):
        if mount(name) == device:
            return
        unmount(recorder, base)
        time.sleep(0.1)
    pytest.fail("the kernel gave other numbers: this test sees nothing")


def test_a_superblock_that_was_replaced_unseen_is_watched_again(
    recorder: Recorder, mount: Mount, tmp_path: Path
) -> None:
    clock = Clock()
    overlays = OverlayWatch(clock)
    device = mount("a")
    assert overlays.look(recorder)
    during = clock.now()
    assert not overlays.look(recorder)
    unmount(recorder, tmp_path / "base")
    mount_again(mount, "a", device, recorder, tmp_path / "base")
    unseen = clock.now()
    # To ebpf it is the same one, of which it misses nothing.
    assert bool(overlays.look(recorder)) == (recorder.name == "fanotify")
    assert overlays.find(device, clock.now()) is not None
    assert (overlays.find(device, unseen) is None) == (recorder.name == "fanotify")
    assert overlays.find(device, during) is not None
    overlays.close()


def test_a_number_that_was_reused_names_both(
    recorder: Recorder, mount: Mount, tmp_path: Path
) -> None:
    clock = Clock()
    overlays = OverlayWatch(clock)
    device = mount("a")
    overlays.look(recorder)
    during = clock.now()
    unmount(recorder, tmp_path / "base")
    overlays.look(recorder)
    between = clock.now()
    mount_again(mount, "b", device, recorder, tmp_path / "base")
    assert overlays.look(recorder)
    first, none, second = (overlays.find(device, at) for at in (during, between, clock.now()))
    assert first is not None
    assert first.mount_point.endswith("/a/merged")
    assert none is None
    assert second is not None
    assert second.mount_point.endswith("/b/merged")
    overlays.close()


def test_one_that_cannot_be_opened_is_passed_over(
    recorder: Recorder, mount: Mount, tmp_path: Path
) -> None:
    """As one that is gone again by then; what is mounted over it is another superblock."""
    overlays, merged = OverlayWatch(Clock()), tmp_path / "base/a/merged"
    device = mount("a")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", merged], check=True)
    assert not overlays.look(recorder)
    assert overlays.current(device) is None
    subprocess.run(["umount", merged], check=True)
    subprocess.run(["umount", merged], check=True)
    assert not overlays.look(recorder)
    mount("a")
    assert overlays.look(recorder)
    overlays.close()


def test_each_overlay_of_a_number_has_its_own_upper_layer(
    recorder: Recorder, mount: Mount, tmp_path: Path
) -> None:
    base, overlays = tmp_path / "base", OverlayWatch(Clock())
    device = mount("a")
    overlays.look(recorder)
    records = run(recorder, ["chroot", str(base / "a/merged"), "touch", "/opt/made"])
    unmount(recorder, base)
    mount_again(mount, "b", device, recorder, base)
    overlays.look(recorder)
    records += run(recorder, ["chroot", str(base / "b/merged"), "touch", "/srv/made"])
    overlays.close()
    uses = [f for f in files([*records, *recorder.finish()]) if f.how == "write"]
    written = {(f.session, f.path) for f in uses if f.kind == "directory"}
    # The upper layer itself was made the moment before, which counts as written to.
    assert {each for each in written if each[1] != "/"} == {(1, "/opt"), (2, "/srv")}


def test_what_was_mounted_before_and_what_is_transient_is_left_alone(
    recorder: Recorder, mount: Mount
) -> None:
    before = mount("a")
    overlays = OverlayWatch(Clock())
    transient = mount("b-init")
    assert not overlays.look(recorder)
    assert overlays.find(before, 0) is None
    assert overlays.find(transient, 0) is None
    overlays.close()


def test_only_what_is_wanted_stays_watched(
    recorder: Recorder, mount: Mount, tmp_path: Path
) -> None:
    overlays = OverlayWatch(Clock())
    mount("a")
    mount("b")
    overlays.look(recorder)
    overlays.narrow(recorder, lambda point: point.endswith("/a/merged"))
    mount("c")
    overlays.look(recorder)
    roots = (tmp_path / "base" / name / "merged" for name in ("a", "b", "c"))
    told = [files(run(recorder, ["chroot", str(root), "cat", "/etc/issue"])) for root in roots]
    assert [len(each) > 3 for each in told] == [True, False, False]
    assert not told[1]
    assert not told[2]
    overlays.close()


def test_the_agents_own_root_is_never_watched(
    recorder: Recorder, mount: Mount, tmp_path: Path
) -> None:
    devices = {name: mount(name) for name in ("a", "b")}
    overlays = OverlayWatch(Clock(), also_mounted=True, own_root=devices["a"])
    assert any(point.endswith("/b/merged") for point in overlays.look(recorder))
    assert overlays.current(devices["b"])
    assert not overlays.current(devices["a"])
    records = []
    for name in devices:
        root = tmp_path / "base" / name / "merged"
        records += run(recorder, ["chroot", str(root), "cat", "/etc/issue"])
    # Others of this machine are watched as well.
    told = {recorder.superblock(each.id) for each in records if isinstance(each, Session)}
    assert told & set(devices.values()) == {devices["b"]}
    overlays.close()


def _mount_tmpfs(place: Path, device: int) -> None:
    """Mount one with that number, the lowest that is free but for what others do meanwhile."""
    place.mkdir()
    for _ in range(50):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
        if os.stat(place).st_dev == device:
            return
        subprocess.run(["umount", place], check=True)
        time.sleep(0.1)
    pytest.fail("the kernel gave other numbers: this test sees nothing")


def test_another_filesystem_with_an_overlays_number_is_not_it(
    recorder: Recorder, mount: Mount, tmp_path: Path
) -> None:
    """Not what lies there, nor what programs there are called; and no session begins there."""
    base = tmp_path / "base"
    overlays = OverlayWatch(Clock())
    device = mount("a")
    overlays.look(recorder)
    unmount(recorder, base)
    _mount_tmpfs(base / "other", device)
    build = ["clang", "-static", "-xc", "-", "-o", str(base / "other/program")]
    subprocess.run(build, input=b"int main(void) { return 0; }", check=True)
    mount("b")
    overlays.look(recorder)
    alone = run(recorder, ["chroot", str(base / "other"), "/program"])
    script = 'mount --bind "$1/other" "$1/b/merged/mnt"; exec chroot "$1/b/merged" sh -ec "$2"'
    inner = "cat /etc/issue /mnt/program; /mnt/program"
    records = run(recorder, ["unshare", "--mount", "sh", "-ec", script, "-", str(base), inner])
    overlays.close()
    assert not alone
    assert "/etc/issue" in paths(records)
    assert "/program" not in paths(records)
    programs = {record.exe for record in records if isinstance(record, Process)}
    assert {"/usr/bin/cat", None} <= programs
    assert "/program" not in programs
