"""Whose use of a file it was: the container's, one from outside, a command's, nobody's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from fixture_types import Require
from paredown_agent.recorder.base import Recorder
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import Coverage, Process, Record, Session
from recording import PATIENCE, begun, files, follow, paths, run, settle, shell, start, watch

WAITING = "read line; cat /etc/issue"


def sessions(records: list[Record]) -> list[str]:
    return [record.kind for record in records if isinstance(record, Session)]


def users(records: list[Record], path: str) -> set[int]:
    return {record.session for record in files(records) if record.path == path}


def inject(recorder: Recorder, pid: int, *command: str) -> list[Record]:
    return run(recorder, ["nsenter", "--target", str(pid), "--mount", "--root", *command])


def first_pid(records: list[Record]) -> int:
    return next(record.pid for record in records if isinstance(record, Session))


def test_what_comes_from_outside_hides_nothing(watching: Recorder, root: Path) -> None:
    container = start(shell(root, WAITING))
    records = begun(watching)
    records += inject(watching, first_pid(records), "cat", "/etc/issue")
    records += inject(watching, first_pid(records), "cat", "/etc/issue")
    assert container.stdin is not None
    container.stdin.write(b"\n")
    container.stdin.flush()
    records += follow(watching, container)
    assert sessions(records) == ["container", "injected", "injected"]
    assert users(records, "/etc/issue") == {1, 2, 3}


def step(container: subprocess.Popen[bytes]) -> None:
    assert container.stdin is not None
    container.stdin.write(b"\n")
    container.stdin.flush()


def exes(records: list[Record], path: str, session: int) -> set[str | None]:
    return {each.exe for each in files(records) if (each.path, each.session) == (path, session)}


@pytest.mark.parametrize("first", ["injected", "container"])
def test_whoever_comes_first_the_containers_own_use_is_seen(
    watching: Recorder, root: Path, first: str
) -> None:
    """The same program, run by both, and the same file, read by both."""
    container = start(shell(root, "read line; cat /etc/issue; read line; id"))
    records = begun(watching)
    leader = first_pid(records)
    if first == "container":
        step(container)
        records += settle(watching)
        records += inject(watching, leader, "cat", "/etc/issue")
    else:
        records += inject(watching, leader, "cat", "/etc/issue")
        records += settle(watching)
        step(container)
        records += settle(watching)
    step(container)
    records += follow(watching, container)
    assert sessions(records) == ["container", "injected"]
    assert 1 in users(records, "/etc/issue")
    assert 1 in users([each for each in files(records) if each.how == "exec"], "/usr/bin/cat")
    # What is told of who used it is true, or left open.
    for session in users(records, "/etc/issue"):
        assert exes(records, "/etc/issue", session) <= {"/usr/bin/cat", None}
    assert exes(records, "/usr/bin/cat", 1) <= {"/usr/bin/dash", None}


def test_what_an_injected_process_leaves_behind_is_still_injected(
    watching: Recorder, root: Path
) -> None:
    """A daemon's parent is the container's first process, as an orphan's of the container is."""
    container = start(shell(root, "read line"))
    records = begun(watching)
    daemon = "setsid sh -c 'sleep 0.4; cat /etc/issue' >/dev/null 2>&1 &"
    records += inject(watching, first_pid(records), "sh", "-c", daemon)
    records += settle(watching, 1.2)
    step(container)
    records += follow(watching, container)
    assert sessions(records) == ["container", "injected"]
    assert users(records, "/etc/issue") == {2}


def test_a_container_that_starts_again_is_the_container(watching: Recorder, root: Path) -> None:
    records = run(watching, shell(root, "cat /etc/issue"))
    records += run(watching, shell(root, "cat /etc/issue"))
    assert sessions(records) == ["container", "container"]


def test_the_host_is_not_recorded(watching: Recorder, root: Path) -> None:
    subprocess.run(["cat", root / "etc/issue"], check=True, stdout=subprocess.DEVNULL)
    assert not [record for record in settle(watching) if not isinstance(record, Coverage)]


def test_reading_a_program_does_not_hide_running_it(watching: Recorder, root: Path) -> None:
    records = run(watching, shell(root, "cat /usr/bin/id; sleep 0.2; id"))
    assert "/usr/bin/id" in paths(records, "exec")


def test_adopts_what_runs_already(recorder: Recorder, root: Path) -> None:
    container = start(shell(root, "cat; cat /etc/issue"))
    settle(recorder)
    watch(recorder, root)
    (unshared,) = _children(container.pid)
    assert recorder.adopt(unshared, "container") == 1
    assert container.stdin is not None
    container.stdin.close()
    records = [*settle(recorder), *watching_end(recorder, container)]
    assert sessions(records) == ["container"]
    assert users(records, "/etc/issue") == {1}
    started = {record.exe for record in records if isinstance(record, Process)}
    assert {"/usr/bin/dash", "/usr/bin/cat"} <= started


def test_adopts_no_container_that_has_ended(recorder: Recorder) -> None:
    """As long as nobody has waited for its process, that is there still, without a root."""
    with start(["true"]) as process:
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        with pytest.raises(ParedownError, match=f"cannot record process {process.pid}"):
            recorder.adopt(process.pid, "container")
    assert not sessions(list(recorder.drain()))


def watching_end(recorder: Recorder, process: subprocess.Popen[bytes]) -> list[Record]:
    process.wait(10 * PATIENCE)
    return [*recorder.drain(), *recorder.finish()]


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    return [int(child) for child in text.split()]


def test_a_command_keeps_to_itself(recorder: Recorder, root: Path) -> None:
    waiting = subprocess.Popen(
        ["chroot", str(root), "/bin/sh", "-c", "read line; exec cat /etc/issue"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert recorder.adopt(waiting.pid, "command") == 1
    watch(recorder, root)
    records = run(recorder, shell(root, "cat /etc/fstab"))  # same root, of no session
    waiting.communicate(b"\n")
    records += [*settle(recorder), *recorder.finish()]
    assert sessions(records) == ["command"]
    assert "/etc/issue" in paths(records)
    assert "/etc/fstab" not in paths(records)


def test_counts_pids_as_the_agent_does(root: Path, recorder: Recorder, require: Require) -> None:
    """Inside a pid namespace, BPF and fanotify number processes differently by themselves."""
    probe = subprocess.run(["unshare", "-pf", "--mount-proc", "true"], check=False)
    require(probe.returncode == 0, "no pid namespace can be made")
    agent = textwrap.dedent("""
        import json, os, sys
        from pathlib import Path
        from paredown_agent.recorder.base import Clock
        from paredown_agent.recorder.registry import choose
        from paredown_schemas.trace import Session
        from recording import files, run, watch
        recorder = choose(sys.argv[1], Clock())
        watch(recorder, Path(sys.argv[2]))
        records = run(recorder, ["chroot", sys.argv[2], "cat", "/etc/issue"])
        records += recorder.finish()
        pids = [record.pid for record in records if isinstance(record, Session)]
        print(json.dumps([pids, [record.path for record in files(records)]]))
    """)
    ran = subprocess.run(
        ["unshare", "-pf", "--mount-proc", sys.executable, "-c", agent, recorder.name, root],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        stdout=subprocess.PIPE,
    )
    pids, found = json.loads(ran.stdout)
    assert len(pids) == 1
    assert pids[0] < 100
    assert {"/usr/bin/cat", "/etc/issue"} <= set(found)
