"""A late attach: everything that a container's processes hold, and nothing of anybody else's.

The witness is a program that knows what it holds (tests/data/holder.c).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.target import members
from paredown_agent.target.attach import attach
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import File, Record, Session
from recording import inside, settle, shell, watch

SOURCE = Path(__file__).parent.parent / "data" / "holder.c"

# What each way holds, and how: "exec" is the program of that name itself.
HELD = {
    "opened": {("/etc/issue", "read"), ("/opt/written", "write"), ("/var/cache", "directory")},
    "mapped": {("/opt/libmapped.so", "library")},
    "deleted": {
        ("/etc/fstab", "read"),
        ("/opt/named (deleted)", "read"),
        ("/opt/after", "read"),
    },
    "in_memory": set(),
    "working_directory": {("/var/log", "directory")},
    "own_mounts": {("/etc/security/limits.conf", "read")},
    "changed_root": {("/var/lib", "directory"), ("/var/lib/dpkg/status", "read")},
    "own_table": {("/etc/shells", "read"), ("/var/spool", "directory")},
    "ended_leader": {("/etc/services", "read")},
    "registered": {("/etc/debian_version", "read")},
    "passed_on": {("/etc/gai.conf", "read")},
    "deleted_program": set(),
}


@pytest.fixture
def holder(root: Path) -> Path:
    """The root filesystem with the witness in it."""
    build = ["clang", "-static", "-pthread", "-o", str(root / "opt/holder"), str(SOURCE)]
    subprocess.run(build, check=True)
    library = ["clang", "-shared", "-fPIC", "-xc", "/dev/null", "-o", f"{root}/opt/libmapped.so"]
    subprocess.run(library, check=True)
    for name in ("named (deleted)", "before"):
        (root / "opt" / name).touch()
    for name in ("etc/fstab", "etc/services", "etc/gai.conf"):
        (root / name).touch()
    return root


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _start(command: Sequence[str], lines: int, started: list[subprocess.Popen[bytes]]) -> int:
    """Start a container; return its first process once that many lines have come."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    started.append(process)
    assert process.stdout is not None
    for _ in range(lines):
        assert process.stdout.readline()
    (first,) = _children(process.pid)
    return first


def _uses(records: Sequence[Record]) -> set[tuple[str, str]]:
    return {(each.path, each.how) for each in records if isinstance(each, File)}


def test_everything_that_is_held(
    recorder: Recorder, holder: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    first = _start(inside(holder, "/opt/holder", *HELD), len(HELD), started)
    watch(recorder, holder)
    records = attach(first, recorder, Clock())
    found = [each for each in records if isinstance(each, File)]
    for way, expected in HELD.items():
        assert {(f"/opt/{way}", "exec"), *expected} <= _uses(found), way
        held = {(each.path, each.how) for each in found if each.exe == f"/opt/{way}"}
        other = {("/", "directory"), (f"/opt/{way}", "exec")}
        spelt = {("/opt/named", "read")}  # the other reading of a name that ends as deleted ones do
        assert held - other - spelt == expected, way
    assert all(each.held for each in found)
    assert not any("not-the-images" in each.path or "secret" in each.path for each in found)
    assert not any(each.truncated for each in found)


def test_nothing_that_happens_meanwhile_falls_through(
    recorder: Recorder, root: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """What execs between the watch and the adoption is the container's own."""
    script = "echo up; while :; do cat /etc/issue; done"
    first = _start(shell(root, script), 1, started)
    watch(recorder, root)
    time.sleep(0.1)
    records = list(attach(first, recorder, Clock()))
    records += settle(recorder)
    kinds = [record.kind for record in records if isinstance(record, Session)]
    assert kinds == ["container"]
    assert ("/etc/issue", "read") in _uses(records)


def test_neighbours_in_one_pid_namespace_are_apart(
    recorder: Recorder, root: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """Both in the host's: a container with --pid=host beside the host's own programs."""
    command = ["unshare", "--mount", "--fork", "chroot", str(root), "/bin/sh", "-c"]
    orphan = "unshare --mount sh -c 'exec 7< /etc/shells; echo up; sleep 99; true' &"
    script = f'sh -c "{orphan}"; exec 8< /etc/issue; echo up; read line'
    first = _start([*command, script], 2, started)
    with (root / "etc/debian_version").open() as file:
        watch(recorder, root)
        records = [*attach(first, recorder, Clock()), *settle(recorder)]
        assert file.readable()
    held = _uses(records)
    assert {("/etc/shells", "read"), ("/etc/issue", "read"), ("/usr/bin/sleep", "exec")} <= held
    assert ("/etc/debian_version", "read") not in held
    assert {each.kind for each in records if isinstance(each, Session)} == {"container"}


def test_the_first_process_of_where_one_lives(
    root: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    first = _start(shell(root, "sh -c 'echo up; read line; true'"), 1, started)
    (child,) = _children(first)
    enter = ["nsenter", "--target", str(first), "--mount", "--pid", "--root"]
    injected = subprocess.Popen([*enter, "cat"], stdin=subprocess.PIPE, start_new_session=True)
    started.append(injected)
    time.sleep(0.2)
    entered = [injected.pid, *_children(injected.pid)][-1]
    assert [members.first_process(pid) for pid in (first, child, entered)] == [first] * 3


def test_a_process_of_the_host_is_refused() -> None:
    with pytest.raises(ParedownError, match="its root is the host's own") as raised:
        members.first_process(os.getppid())
    assert "--pid takes a process inside a container" in raised.value.hint
    with pytest.raises(ParedownError, match="no such process"):
        members.first_process(2**22 + 1)
