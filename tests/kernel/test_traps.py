"""Ways of using files, and of using processes, that a recorder can fall over."""

from __future__ import annotations

import collections
import contextlib
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fixture_types import Require
from paredown_agent.libbpf import Object
from paredown_agent.recorder import fanotify, startup
from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.recorder.programs import Programs
from paredown_agent.recorder.registry import RECORDERS
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import Loss, Record, SessionKind
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
    # TOMOYO, where the kernel has it, looks for /dev/fd/NUMBER.
    script = f"mount -t proc proc /proc; {by_descriptor}; {in_memory}; cat /etc/issue"
    records = [*run(watching, shell(root, script)), *watching.finish()]
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


@pytest.mark.usefixtures("errors")
def test_a_leased_file_holds_up_nobody(fanotify_recorder: Recorder, root: Path) -> None:
    """fcntl(2), F_SETLEASE: opening it waits for its holder, unless one asks not to wait."""
    lease = perl(
        '$SIG{IO} = "IGNORE"; open F, "</etc/issue" or die; fcntl(F, 1024, 0) or die "$!";'
        'open G, "+</etc/fstab" or die; fcntl(G, 1024, 1) or die "$!";'
        'open H, ">/tmp/held" or die; <STDIN>'
    )
    process = start(shell(root, lease))
    while not (root / "tmp/held").exists():
        assert process.poll() is None
        time.sleep(0.05)
    before = time.monotonic()
    records = settle(fanotify_recorder)
    assert time.monotonic() - before < 1.5 * PATIENCE
    told = {loss.where for loss in losses(records) if loss.where.startswith("fanotify event")}
    assert told or "/etc/fstab" in paths(records)
    process.communicate()


# Waits for a line, opens files in the root, and becomes the program that it is given.
RUNTIME = """
import os, sys
os.mkdir(sys.argv[1] + "/opt/up")
sys.stdin.readline()
os.chroot(sys.argv[1])
for path in ("/etc/shells", "/etc/issue", "/etc"):
    os.close(os.open(path, os.O_RDONLY))
os.execv(sys.argv[2], sys.argv[2:])
"""
SYSTEM_CALLS = "tp_name:\tsys_exit"


def runtime(root: Path, *command: str) -> subprocess.Popen[bytes]:
    """Return one that waits."""
    process = start([sys.executable, "-c", RUNTIME, str(root), *command])
    while not (root / "opt/up").exists():
        time.sleep(0.02)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Let it go on, and wait for it without reading what was recorded."""
    process.communicate(b"\n")
    assert process.returncode == 0


def attached(to: str) -> int:
    """Return how many of this process's BPF links are attached there."""
    found = 0
    for info in Path("/proc/self/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            found += to in info.read_text("ascii")
    return found


def below_etc(records: Sequence[Record]) -> dict[str, set[str | None]]:
    """Return who used what there."""
    found: dict[str, set[str | None]] = {}
    for file in files(records):
        if file.path.startswith("/etc/"):
            found.setdefault(file.path, set()).add(file.exe)
    return found


@pytest.mark.parametrize("kind", ["container", "command"])
def test_what_a_container_opens_again_is_its_own(
    recorder: Recorder, root: Path, kind: SessionKind
) -> None:
    """Fanotify makes one event of two equal ones while nobody has read the first."""
    process = runtime(root, "/bin/cat", "/etc/issue", "/etc/debian_version")
    if kind == "command":
        recorder.adopt(process.pid, kind)
    watch(recorder, root)
    end(process)
    records = [*recorder.drain(), *recorder.finish()]
    found = below_etc(records)
    assert {"/etc/issue", "/etc/debian_version"} <= set(found)
    assert "/etc/shells" not in found
    assert "/usr/bin/cat" in found["/etc/issue"]
    assert set().union(*found.values()) <= {"/usr/bin/cat", None}
    assert not losses(records)


def test_what_may_be_either_is_the_containers(
    root: Path, require: Require, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel lets nobody look again."""
    require(fanotify.probe().works, fanotify.probe().why)
    attach = Programs.attach

    def refuse(self: Programs, program: str) -> None:
        if program == "opened_again":
            raise ParedownError("cannot attach")
        attach(self, program)

    monkeypatch.setattr(Programs, "attach", refuse)
    recorder = fanotify.FanotifyRecorder(Clock())
    try:
        watch(recorder, root)
        end(runtime(root, "/bin/cat", "/etc/issue"))
        found = below_etc([*recorder.drain(), *recorder.finish()])
    finally:
        recorder.close()
    assert found["/etc/issue"] == found["/etc/shells"] == {None}


def test_system_calls_are_looked_at_while_a_container_starts_only(
    fanotify_recorder: Recorder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert attached(SYSTEM_CALLS) == 1
    process = start(shell(root, "cat; cat /etc/issue"))
    while not paths(fanotify_recorder.drain(), "exec"):
        time.sleep(0.02)
    settle(fanotify_recorder)
    assert attached(SYSTEM_CALLS) == 0
    watch(fanotify_recorder, root)  # it is not new
    assert attached(SYSTEM_CALLS) == 0
    process.communicate()
    # Nor for long where nothing starts.
    monkeypatch.setattr(startup, "_PATIENCE", 100_000_000)
    other = fanotify.FanotifyRecorder(Clock())
    watch(other, root)
    assert attached(SYSTEM_CALLS) == 1
    settle(other)
    assert attached(SYSTEM_CALLS) == 0
    other.close()


def test_a_failed_exec_makes_nothing_before_it_a_runtimes(watching: Recorder, root: Path) -> None:
    """Where it is read apart from the exec that began the session."""
    (root / "opt/no-program").write_text("#!/nowhere\n", "ascii")
    (root / "opt/no-program").chmod(0o755)
    names = [f"/opt/file{number}" for number in range(400)]
    for name in names:
        (root / name[1:]).touch()
    script = (
        'for (0..399) { open F, "</opt/file$_" or die; close F } exec {"/opt/no-program"} "x"; 1'
    )
    process = start(["chroot", str(root), "perl", "-e", script])
    process.communicate()
    records = [*watching.drain(), *watching.finish()]
    assert not {*names} - paths(records)
    assert not losses(records)


@pytest.mark.parametrize("read", [True, False])
def test_a_use_by_either_of_two_programs_is_nobodys_for_certain(
    watching: Recorder, root: Path, read: bool
) -> None:
    """A process execs and opens the same files again, with its start read or not."""
    (root / "opt/written").touch()
    script = (
        "exec 3>>/opt/written; read line; exec 3>&-; read line </etc/issue || true;"
        "exec cat /etc/issue /opt/written"
    )
    process = start(["chroot", str(root), "sh", "-euc", script])
    records = settle(watching) if read else []
    end(process)
    records += [*watching.drain(), *watching.finish()]
    for path in ("/etc/issue", "/opt/written"):
        users = {f.exe for f in files(records) if f.path == path}
        certain = {"/usr/bin/dash", "/usr/bin/cat"}
        merged = {None} if path == "/etc/issue" or not read else {None, "/usr/bin/dash"}
        assert users == (merged if watching.name == "fanotify" else certain)
