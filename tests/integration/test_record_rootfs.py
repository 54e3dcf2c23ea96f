"""``record --rootfs``: a usable container, its signals and status, and nothing left behind."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from container_tools import (
    RunAgent,
    interrupt,
    only_run,
    paths,
    paths_of,
    processes,
    wait_for,
)
from paredown_schemas.identity import directory_identity, host_platform, scan_tree

RECORDERS = ("fanotify", "ebpf-tracepoints")


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "app.trace"


def _fingerprint(tree: Path) -> str:
    return directory_identity(scan_tree(tree))


@pytest.mark.parametrize("recorder", RECORDERS)
def test_records_and_leaves_the_directory_alone(
    agent: RunAgent, nginx_rootfs: Path, trace: Path, recorder: str
) -> None:
    before = _fingerprint(nginx_rootfs)
    script = "echo changed > /etc/passwd; rm -r /usr/share/doc; mkdir /new; cat /etc/debian_version"
    done = agent(
        *("record", "-o", trace, "--recorder", recorder, "--scenario", "smoke"),
        *("--rootfs", nginx_rootfs, "--", "sh", "-c", script),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (nginx_rootfs / "etc/debian_version").read_text()
    assert _fingerprint(nginx_rootfs) == before
    run = only_run(trace)
    assert (run.header.target, run.header.recorder, run.header.scenario) == (
        *("rootfs", recorder, "smoke"),
    )
    assert run.header.platform == host_platform()
    assert run.image is not None
    assert run.image.identity == before
    assert run.verdict == "complete", run.reasons
    assert {"/usr/bin/dash", "/usr/bin/cat", "/etc/debian_version"} <= paths(run)
    assert "/etc/passwd" in paths(run, "write")
    assert done.stderr.splitlines()[-1].startswith("Recorded ")
    assert f"paredown plan dir:{nginx_rootfs} --trace {trace} -o plan.json" in done.stderr


def test_the_container_is_usable(agent: RunAgent, nginx_rootfs: Path, trace: Path) -> None:
    script = """
        set -e
        test $$ = 1; test "$(id -u)" = 0; pwd
        test -r /proc/self/status; test -c /dev/null; test -d /dev/pts; test -d /dev/mqueue
        echo x > /tmp/x; echo x > /dev/shm/x; ! touch /sys/x 2>/dev/null
        ! touch /etc/hosts 2>/dev/null || ! echo x >> /etc/hosts
        hostname; cat /etc/hostname; grep -c "$(hostname)" /etc/hosts
        ulimit -n; stat -c %a /tmp /; ls /sys/class/net | grep -x lo
        grep NoNewPrivs /proc/self/status; echo error >&2; cat
    """
    process = agent.start("record", "-o", trace, "--rootfs", nginx_rootfs, "--", "sh", "-c", script)
    stdout, stderr = process.communicate("from stdin", timeout=60)
    assert process.returncode == 0, stderr
    lines = stdout.split("\n")
    hostname = nginx_rootfs.name
    assert lines[:4] == ["/", hostname, hostname, "1"]
    assert lines[5:7] == ["1777", oct(nginx_rootfs.stat().st_mode)[-3:]]
    assert lines[7:] == ["lo", "NoNewPrivs:\t0", "from stdin"]
    assert stderr.startswith("error\n")


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["perl", "-e", "exit 0"], 0),
        (["sh", "-c", "sh -c 'kill -TERM $$'"], 143),
    ],
)
def test_the_exit_status_is_the_commands(
    agent: RunAgent, nginx_rootfs: Path, trace: Path, command: list[str], status: int
) -> None:
    done = agent("record", "-o", trace, "--rootfs", nginx_rootfs, "--", *command)
    assert done.returncode == status, done.stderr
    assert trace.exists()


@pytest.mark.parametrize(
    ("command", "status", "cause"),
    [
        ("no-such\nprogram", 127, "not found"),
        ("/usr/bin/no-such-program", 127, "not found"),
        ("/etc/passwd", 126, "not executable"),
        ("/usr/bin", 126, "not executable"),
        # Found on the host and not in DIR, whose links stay in DIR.
        ("wrk", 127, "not found"),
    ],
)
def test_a_command_that_cannot_be_started_is_one_line(
    agent: RunAgent, nginx_rootfs: Path, trace: Path, command: str, status: int, cause: str
) -> None:
    done = agent("record", "-o", trace, "--rootfs", nginx_rootfs, "--", command)
    name = command.replace("\n", "\\x0a")
    assert done.stderr == f"error: cannot start {name}: {cause}\n"
    assert done.returncode == status
    assert not trace.exists()


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH"])
def test_signals_pass_through(agent: RunAgent, nginx_rootfs: Path, trace: Path, name: str) -> None:
    script = f"trap 'echo got {name}; exit 9' {name}; echo up; while :; do sleep 0.05; done"
    process = agent.start("record", "-o", trace, "--rootfs", nginx_rootfs, "--", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    interrupt(process, signal.Signals[f"SIG{name}"])
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (9, f"got {name}\n"), stderr
    assert only_run(trace).verdict == "complete"


def test_a_second_signal_ends_recording_and_container(
    agent: RunAgent, nginx_rootfs: Path, trace: Path
) -> None:
    script = "trap 'echo first' INT; trap 'exit 4' TERM; echo up; while :; do sleep 0.05; done"
    process = agent.start("record", "-o", trace, "--rootfs", nginx_rootfs, "--", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    interrupt(process, signal.SIGINT)
    assert process.stdout.readline() == "first\n"
    interrupt(process, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 4
    assert only_run(trace).trailer is not None


def test_duration_stops_the_container(agent: RunAgent, nginx_rootfs: Path, trace: Path) -> None:
    began = time.monotonic()
    script = "trap 'exit 6' TERM; while :; do sleep 0.05; done"
    done = agent(
        *("record", "-o", trace, "--duration", "1s"),
        *("--rootfs", nginx_rootfs, "--", "sh", "-c", script),
    )
    assert 1 <= time.monotonic() - began < 8
    assert done.returncode == 6, done.stderr
    assert only_run(trace).verdict == "complete"


def test_ready_file_appears_before_the_command_runs(
    agent: RunAgent, nginx_rootfs: Path, trace: Path, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    ready.write_text("of an earlier run")
    process = agent.start(
        *("record", "-o", trace, "--ready-file", ready),
        *("--rootfs", nginx_rootfs, "--", "sh", "-c", "echo up; cat"),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    assert ready.read_text() == f"{process.pid}\n"
    process.communicate("", timeout=30)
    assert ready.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_sigkill_leaves_a_readable_trace_and_nothing_else(
    agent: RunAgent, nginx_rootfs: Path, trace: Path
) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    cgroups = set(Path("/sys/fs/cgroup").glob("**/paredown-*"))
    word = f"31{random.randrange(10**6):06}"
    process = agent.start(
        *("record", "-o", trace, "--rootfs", nginx_rootfs, "--"),
        *("sh", "-c", f"cat /etc/debian_version; sleep {word} & sleep {word}"),
    )
    wait_for(lambda: len(processes(word)) == 2)
    time.sleep(1.2)
    process.kill()
    process.wait()
    wait_for(lambda: not processes(word))
    run = only_run(trace)
    assert run.verdict == "partial"
    assert run.trailer is None
    assert {"/etc/debian_version", "/usr/bin/sleep"} <= paths(run)
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert set(Path("/sys/fs/cgroup").glob("**/paredown-*")) == cgroups


def test_sigkill_at_any_moment(agent: RunAgent, nginx_rootfs: Path, tmp_path: Path) -> None:
    word = f"32{random.randrange(10**6):06}"
    for turn in range(20):
        trace = tmp_path / f"{turn}.trace"
        process = agent.start("record", "-o", trace, "--rootfs", nginx_rootfs, "--", "sleep", word)
        time.sleep(random.uniform(0.02, 0.7))
        process.kill()
        process.wait()
        wait_for(lambda: not processes(word))
        if trace.exists() and trace.stat().st_size:
            assert only_run(trace).verdict == "partial"


def test_a_missing_tmp_is_made_and_odd_names_do_no_harm(
    agent: RunAgent, nginx_rootfs: Path, trace: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "a,b:c\\d e\n"
    shutil.copytree(nginx_rootfs / "usr/bin", odd / "bin", symlinks=True)
    for name in ("lib", "lib64"):
        shutil.copytree(nginx_rootfs / name, odd / name, symlinks=True)
    done = agent(
        *("record", "-o", trace, "--rootfs", odd, "--"),
        *("sh", "-c", "stat -c %a /tmp; touch /tmp/x"),
    )
    assert (done.returncode, done.stdout) == (0, "1777\n"), done.stderr
    assert not (odd / "tmp").exists()
    assert "\n" not in done.stderr.rstrip("\n")


def test_nothing_that_a_second_container_does_is_recorded(
    agent: RunAgent, nginx_rootfs: Path, trace: Path, tmp_path: Path
) -> None:
    first = agent.start(
        "record", "-o", trace, "--rootfs", nginx_rootfs, "--", "sh", "-c", "echo up; cat"
    )
    assert first.stdout is not None
    assert first.stdout.readline() == "up\n"
    other = tmp_path / "other.trace"
    agent("record", "-o", other, "--rootfs", nginx_rootfs, "--", "cat", "/etc/debian_version")
    first.communicate("", timeout=30)
    assert "/etc/debian_version" in paths(only_run(other))
    assert "/etc/debian_version" not in paths(only_run(trace))
    assert paths_of(only_run(trace), "injected") == set()


def test_armed_in_a_second_with_little_memory(
    agent: RunAgent, nginx_rootfs: Path, tmp_path: Path
) -> None:
    # The best of a few: the machine does other things too.
    armed, resident = zip(
        *(_measure(agent, nginx_rootfs, tmp_path / str(turn)) for turn in range(4)), strict=True
    )
    assert min(armed) < 1
    assert max(resident) < 60_000, f"{resident} kB"


def _measure(agent: RunAgent, rootfs: Path, space: Path) -> tuple[float, int]:
    """Seconds from the start to armed, and resident kB afterwards."""
    space.mkdir()
    began = time.monotonic()
    process = agent.start(
        *("record", "-o", space / "trace", "--ready-file", space / "ready"),
        *("--rootfs", rootfs, "--", "sh", "-c", "echo up; cat"),
    )
    wait_for((space / "ready").exists)
    armed = time.monotonic() - began
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(0.5)
    status = Path(f"/proc/{process.pid}/status").read_text()
    (resident,) = [int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line]
    process.communicate("", timeout=30)
    return armed, resident
