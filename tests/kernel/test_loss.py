"""What cannot be told is counted where it happened, and nobody waits for the recorder."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixture_types import Require
from paredown_agent.recorder import ebpf, fanotify
from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.recorder.registry import Kind
from paredown_schemas.trace import Loss
from recorders import NAMES, opened
from recording import PATIENCE, files, paths, run, settle, shell, watch

QUEUE_LIMIT = Path("/proc/sys/fs/fanotify/max_queued_events")
MANY = "ls -R /usr/share /etc /var; cat /etc/*.conf"


@pytest.fixture(params=NAMES)
def cramped(request: pytest.FixtureRequest, require: Require, root: Path) -> Iterator[Recorder]:
    """A recorder with room for a few events only, watching."""
    recorder = opened(request.param, require, _with_little_room)
    watch(recorder, root)
    yield recorder
    recorder.close()


def _with_little_room(kind: Kind) -> Recorder:
    if isinstance(kind, ebpf.EbpfKind):
        return kind.open_recorder(Clock(), ring=4096)
    return fanotify.FanotifyRecorder(Clock(), queue=16)


def test_tells_of_loss_and_goes_on(cramped: Recorder, root: Path) -> None:
    subprocess.run(shell(root, MANY), check=True, stdout=subprocess.DEVNULL, timeout=30 * PATIENCE)
    losses = [record for record in settle(cramped) if isinstance(record, Loss)]
    where = "fanotify queue" if cramped.name == "fanotify" else "ring buffer"
    assert {loss.where for loss in losses} == {where}
    counts = [loss.count for loss in losses]
    assert counts == [None] if cramped.name == "fanotify" else sum(filter(None, counts)) > 10
    again = run(cramped, shell(root, "cat /etc/debian_version"))
    assert "/etc/debian_version" in paths(again)
    assert not [record for record in again if isinstance(record, Loss)]


def test_nobody_waits_for_a_recorder_that_stopped(watching: Recorder, root: Path) -> None:
    start = time.monotonic()
    subprocess.run(shell(root, MANY), check=True, stdout=subprocess.DEVNULL, timeout=30 * PATIENCE)
    assert time.monotonic() - start < 10 * PATIENCE
    records = settle(watching)
    assert "/etc/host.conf" in paths(records)
    assert not any(record.truncated for record in files(records))


@pytest.mark.load
def test_tells_of_processes_that_ended_too_long_ago(root: Path, require: Require) -> None:
    works = fanotify.probe()
    require(works.works, works.why)
    recorder = fanotify.FanotifyRecorder(Clock())
    try:
        watch(recorder, root)
        forks = "cat /etc/issue; i=0; while [ $i -lt 12000 ]; do i=$((i+1)); ( : ); done"
        subprocess.run(shell(root, forks), check=True, stdout=subprocess.DEVNULL, timeout=60)
        records = settle(recorder)
        assert "ended processes" in {r.where for r in records if isinstance(r, Loss)}
    finally:
        recorder.close()


def test_leaves_the_hosts_limit_as_it_was(require: Require) -> None:
    works = fanotify.probe()
    require(works.works, works.why)
    before = QUEUE_LIMIT.read_text("ascii")
    fanotify.FanotifyRecorder(Clock(), queue=77).close()
    assert QUEUE_LIMIT.read_text("ascii") == before


@pytest.mark.usefixtures("errors")
def test_tells_of_events_that_no_descriptor_was_left_for(root: Path, require: Require) -> None:
    works = fanotify.probe()
    require(works.works, works.why)
    recorder = fanotify.FanotifyRecorder(Clock())
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        watch(recorder, root)
        run(recorder, shell(root, "cat /etc/issue"))
        subprocess.run(
            shell(root, MANY), check=True, stdout=subprocess.DEVNULL, timeout=30 * PATIENCE
        )
        room = len(os.listdir("/proc/self/fd")) + 10
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, limits[1]))
        records = settle(recorder)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert "fanotify event: Too many open files" in {
            record.where for record in records if isinstance(record, Loss)
        }
        assert "/etc/debian_version" in paths(run(recorder, shell(root, "cat /etc/debian_version")))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        recorder.close()


def test_closes_what_it_opened(recorder: Recorder, root: Path) -> None:
    watch(recorder, root)
    run(recorder, shell(root, MANY))
    before = len(os.listdir("/proc/self/fd"))
    run(recorder, shell(root, "cat /etc/debian_version /etc/fstab; id; env true"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_second_use_costs_no_event(root: Path, require: Require) -> None:
    works = fanotify.probe()
    require(works.works, works.why)
    recorder = fanotify.FanotifyRecorder(Clock())
    try:
        watch(recorder, root)
        use = "cat /etc/issue; ls /etc/apt; echo x >>/tmp/log"
        # What the run itself made may yet be renamed: it is looked at some times more.
        log = "for i in $(seq 20); do (echo x >>/tmp/log); done"
        run(recorder, shell(root, f"{use}; sleep 0.2; {use}; {log}; ls /etc/apt/*.d"))
        subprocess.run(shell(root, f"{use}; {use}"), check=True, stdout=subprocess.DEVNULL)
        assert recorder._group.read() == ()
        # A directory's mark hides the directory alone, not what is opened in it.
        records = run(recorder, shell(root, "cat /etc/debian_version; cat /etc/apt/*.d/*"))
        assert "/etc/debian_version" in paths(records)
    finally:
        recorder.close()


def test_a_path_too_long_to_print_is_told_of(watching: Recorder, root: Path) -> None:
    deep = 'for (1..20) { $n = "n" x 250; mkdir $n; chdir $n or die } open F, ">file" or die'
    records = [*run(watching, shell(root, f"cd /tmp; perl -e '{deep}'")), *watching.finish()]
    if watching.name == "fanotify":
        assert "path longer than 4095 bytes" in {r.where for r in records if isinstance(r, Loss)}
    else:
        (record,) = [record for record in files(records) if record.truncated]
        assert record.path.endswith("n/file")


def test_a_path_of_4000_bytes_is_whole(watching: Recorder, root: Path) -> None:
    name = "/tmp" + ("/" + "n" * 249) * 15 + "/" + "f" * 200
    make = f"mkdir -p {os.path.dirname(name)}; echo x >{name}; cat {name}"
    records = [*run(watching, shell(root, make)), *watching.finish()]
    assert name in paths(records)
    assert not any(record.truncated for record in files(records))
