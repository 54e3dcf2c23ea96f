"""Ways of using files, and of using processes, that a recorder can fall over."""

from __future__ import annotations

import collections
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixture_types import Require
from paredown_agent.libbpf import Object
from paredown_agent.recorder import fanotify
from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.recorder.registry import RECORDERS
from paredown_schemas.trace import Loss
from recording import PATIENCE, files, follow, paths, run, settle, shell, start, watch

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


@pytest.fixture
def fanotify_recorder(root: Path, require: Require) -> Iterator[Recorder]:
    """The recorder that sees what is no system call of opening; watching."""
    works = fanotify.probe()
    require(works.works, works.why)
    recorder = fanotify.FanotifyRecorder(Clock())
    watch(recorder, root)
    yield recorder
    recorder.close()


def perl(program: str) -> str:
    return "perl -e '" + program + "'"


def losses(records: object) -> list[Loss]:
    return [r for r in records if isinstance(r, Loss)] if isinstance(records, list) else []


def test_each_use_is_told_once_and_by_its_name_in_the_overlay(
    watching: Recorder, root: Path
) -> None:
    """An overlay opens the file below it too, which has other numbers and another name."""
    script = "for i in 1 2 3; do cat /etc/issue; done; echo x >>/etc/issue; cat /etc/issue"
    records = [*run(watching, shell(root, script)), *watching.finish()]
    uses = collections.Counter(
        (f.session, f.path, f.how, f.exe) for f in files(records) if f.path == "/etc/issue"
    )
    assert uses
    assert set(uses.values()) == {1}
    # Copied up meanwhile: other numbers, the same file of the image.
    assert {how for _, _, how, _ in uses} == {"read", "write"}
    assert {f.path for f in files(records) if "issue" in f.path} == {"/etc/issue"}


def test_programs_without_a_name_in_the_image(
    watching: Recorder, root: Path, require: Require
) -> None:
    """Execs by descriptor, of a program in memory and of one's own: told by what they are."""
    require(platform.machine() == "x86_64", "the numbers of system calls are x86_64's")
    exec_ = '$s = ""; $a = pack "pQ", "x", 0; $e = pack "Q", 0; '
    exec_ += "syscall 322, fileno(F), $s, $a, $e, 4096"
    by_descriptor = perl('open F, "</usr/bin/id" or die; ' + exec_ + "; die")
    in_memory = perl(
        '$n = "m"; $f = syscall(319, $n, 0); open F, "+<&=", $f or die; '
        'open T, "</usr/bin/true" or die; '
        "undef $/; syswrite F, <T>; " + exec_ + "; die"
    )
    records = [
        *run(watching, shell(root, f"{by_descriptor}; {in_memory}; cat /etc/issue")),
        *watching.finish(),
    ]
    assert "/usr/bin/id" in paths(records, "exec")
    assert "/etc/issue" in paths(records)
    assert "/usr/bin/true" not in paths(records, "exec")
    assert not [path for path in paths(records) if "memfd" in path]
    assert not losses(records)


def test_what_a_runtime_opens_in_the_root_is_not_the_containers(
    watching: Recorder, root: Path
) -> None:
    """Also when it is read late, and whoever opened it has long become the container."""
    runtime = (
        "import os, sys; os.chroot(sys.argv[1]); os.close(os.open('/etc/shells', os.O_RDONLY));"
        "os.execv('/bin/cat', ['cat', '/etc/issue'])"
    )
    command = [sys.executable, "-c", runtime, str(root)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = paths([*settle(watching), *watching.finish()])
    assert {"/usr/bin/cat", "/etc/issue"} <= found
    assert "/etc/shells" not in found


def test_what_lies_on_a_mounted_volume_is_not_the_images(watching: Recorder, root: Path) -> None:
    script = (
        "mount -t tmpfs none /etc/apt; echo x >/etc/apt/trusted.gpg; cat /etc/apt/trusted.gpg;"
        "cat /etc/issue; sleep 0.2; umount /etc/apt; cat /etc/shells"
    )
    records = [*run(watching, shell(root, script)), *watching.finish()]
    assert {"/etc/issue", "/etc/shells"} <= paths(records)
    assert not [path for path in paths(records) if "trusted" in path]


def test_a_number_of_an_ended_process_may_be_anothers(watching: Recorder, root: Path) -> None:
    """A process of the host gets the number of one of the container, and reads the same tree."""
    records = run(watching, shell(root, "cat /etc/issue"))
    began = {f.session for f in files(records)}
    assert began
    # The last processes of the session, by the numbers that the recorder knows them by.
    first = max(record.pid for record in records if hasattr(record, "pid"))
    for _ in range(50):
        LAST_PID.write_text(str(first - 1), "ascii")
        stranger = subprocess.Popen(["cat", root / "etc/shells"], stdout=subprocess.DEVNULL)
        stranger.wait()
        if stranger.pid == first:
            break
    else:
        pytest.fail("the kernel gave other numbers: this test sees nothing")
    assert "/etc/shells" not in paths(settle(watching))


def test_few_descriptors_lose_nothing(root: Path, require: Require) -> None:
    """Each event brings a descriptor: what a read has no room for is lost."""
    works = fanotify.probe()
    require(works.works, works.why)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = len(os.listdir("/proc/self/fd")) + 60
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, limits[1]))
    try:
        recorder = fanotify.FanotifyRecorder(Clock())
        watch(recorder, root)
        process = start(shell(root, "cat /usr/share/doc/*/copyright"))
        process.wait(30 * PATIENCE)
        records = [*follow(recorder, process), *recorder.finish()]
        recorder.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert not losses(records)
    copyrights = sorted(root.glob("usr/share/doc/*/copyright"))
    assert len(copyrights) > 100
    named = {f"/{path.relative_to(root)}" for path in copyrights if not path.parent.is_symlink()}
    assert named <= paths(records)


def test_a_full_table_of_processes_is_told_of(
    root: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Object.load

    def with_small_table(self: Object) -> None:
        self.resize("tasks", 8)
        load(self)

    monkeypatch.setattr(Object, "load", with_small_table)
    cramped = RECORDERS[recorder.name].open_recorder(Clock())
    try:
        watch(cramped, root)
        many = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 0.3 & done; wait; cat /etc/issue"
        records = [*run(cramped, shell(root, many)), *cramped.finish()]
    finally:
        cramped.close()
    assert sum(loss.count or 0 for loss in losses(records) if loss.where == "process table") >= 4


def test_a_leased_file_holds_up_nobody(fanotify_recorder: Recorder, root: Path) -> None:
    """fcntl(2), F_SETLEASE: opening it waits for its holder, unless one asks not to wait."""
    lease = perl(
        '$SIG{IO} = "IGNORE"; open F, "</etc/issue" or die; fcntl(F, 1024, 0) or die "$!";'
        'open G, "+</etc/fstab" or die; fcntl(G, 1024, 1) or die "$!";'
        f"sleep {3 * PATIENCE}"
    )
    process = start(shell(root, lease))
    time.sleep(1 * PATIENCE)
    before = time.monotonic()
    records = settle(fanotify_recorder)
    assert time.monotonic() - before < 1.5 * PATIENCE
    told = {loss.where for loss in losses(records) if loss.where.startswith("fanotify event")}
    assert told or "/etc/fstab" in paths(records)
    process.kill()
    process.communicate()
