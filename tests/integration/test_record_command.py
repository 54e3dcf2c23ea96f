"""``record -- COMMAND``: on a host, and as the wrapper of a container's entrypoint."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from container_tools import RunAgent, interrupt, only_run, paths, wait_for

RECORDERS = ("fanotify", "ebpf-tracepoints")


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "app.trace"


def _finished(trace: Path) -> bool:
    return trace.exists() and trace.stat().st_size > 0 and only_run(trace).trailer is not None


@pytest.mark.parametrize("recorder", RECORDERS)
def test_only_the_command_and_its_descendants_are_recorded(
    agent: RunAgent, trace: Path, tmp_path: Path, recorder: str
) -> None:
    other, mine, late = tmp_path / "other", tmp_path / "mine", tmp_path / "late"
    for path in (other, mine, late):
        path.write_text("x")
    process = agent.start(
        *("record", "-o", trace, "--recorder", recorder, "--", "sh", "-c"),
        f"echo $$; read x; cat {mine}; (sleep 0.5; cat {late} >/dev/null) & exit 5",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"{process.pid}\n"
    subprocess.run(["cat", other], check=True, capture_output=True)
    stdout, _ = process.communicate("\n", timeout=30)
    assert (process.returncode, stdout) == (5, "x")
    wait_for(lambda: _finished(trace))
    run = only_run(trace)
    assert run.verdict == "complete", run.reasons
    assert {str(mine), str(late)} <= paths(run)
    assert str(other) not in paths(run)
    assert [session.kind for session in run.sessions().values()] == ["command"]
    assert run.image is not None
    assert run.image.identity is None
    # The recorder itself is no part of the session.
    assert not any("paredown" in path for path in paths(run) - {str(mine), str(late)})


def test_the_command_has_no_unknown_child_and_its_own_signals(agent: RunAgent, trace: Path) -> None:
    script = "grep -E '^Sig(Blk|Ign)' /proc/self/status; cat /proc/$$/task/$$/children; echo;"
    script += "ls /proc/$$/fd"
    # What ignores SIGHUP here, as under nohup(1), does so there, and nothing else.
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        done = agent("record", "-o", trace, "--", "sh", "-c", script)
    finally:
        signal.signal(signal.SIGHUP, before)
    blocked, ignored, *rest = done.stdout.splitlines()
    assert int(blocked.split()[1], 16) == 0
    assert int(ignored.split()[1], 16) == 1 << signal.SIGHUP - 1
    children, *descriptors = rest
    assert len(children.split()) == 1, "cat itself"
    assert descriptors == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("command", "status", "cause"),
    [("no-such-program", 127, "not found"), ("/etc/passwd", 126, "not executable")],
)
def test_a_command_that_cannot_be_started(
    agent: RunAgent, trace: Path, command: str, status: int, cause: str
) -> None:
    done = agent("record", "-o", trace, "--", command)
    assert done.returncode == status
    assert done.stderr == f"error: cannot start {command}: {cause}\n"
    assert not trace.exists()


def test_a_signal_kills_the_command_and_the_trace_is_whole(agent: RunAgent, trace: Path) -> None:
    process = agent.start("record", "-o", trace, "--", "sh", "-c", "echo up; exec sleep 30")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    interrupt(process, signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    wait_for(lambda: _finished(trace))
    assert only_run(trace).verdict == "complete"


def test_control_c_reaches_the_command_and_not_the_recorder(recording: None, trace: Path) -> None:
    del recording
    words = ["record", "-o", str(trace), "--", "sh", "-c", "echo up; exec sleep 30"]
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-m", "paredown_agent", *words])
    read = b""
    while b"up" not in read:
        read += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGINT
    wait_for(lambda: _finished(trace))
    os.close(terminal)
    assert only_run(trace).verdict == "complete"


def test_duration_ends_the_recording_alone(agent: RunAgent, trace: Path, tmp_path: Path) -> None:
    late = tmp_path / "late"
    late.write_text("x")
    done = agent(
        *("record", "-o", trace, "--duration", "1s", "--"),
        *("sh", "-c", f"sleep 2; cat {late}; exit 3"),
    )
    assert (done.returncode, done.stdout) == (3, "x")
    run = only_run(trace)
    assert run.verdict == "complete"
    assert str(late) not in paths(run)


def test_sigkill_of_the_recorder_leaves_command_and_trace(agent: RunAgent, trace: Path) -> None:
    process = agent.start("record", "-o", trace, "--", "sh", "-c", "echo up; sleep 3; exit 6")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(1.2)
    (recorder,) = [each for each in psutil.process_iter(["cmdline"]) if _is_recorder(each, trace)]
    recorder.kill()
    process.communicate(timeout=30)
    assert process.returncode == 6
    run = only_run(trace)
    assert run.trailer is None
    assert "/usr/bin/dash" in paths(run)


def _is_recorder(process: psutil.Process, trace: Path) -> bool:
    return str(trace) in (process.info["cmdline"] or []) and "paredown_agent" in " ".join(
        process.info["cmdline"]
    )
