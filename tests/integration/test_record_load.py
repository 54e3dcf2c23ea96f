"""Much at once: nobody waits for the agent, its memory is bounded, and what it lost it tells."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from container_tools import IMAGE, Docker, RunAgent, only_run, paths, processes, wait_for
from paredown_schemas.trace import File, Loss

RECORDERS = ("fanotify", "ebpf-tracepoints")
# How often 40,000 files are opened to overflow it, and what the loss is called.
# How often each file is opened while nobody reads, and below how many names of 250 bytes.
_TO_LOSE = [("fanotify", 7, 0, "fanotify queue"), ("ebpf-tracepoints", 1, 4, "ring buffer")]
# New files all the time, so that every turn makes events; tells how many in a second.
_RATE = r"""
$SIG{TERM} = sub { exit }; $| = 1; my $n = 0; my $t = time;
while (1) {
    open F, ">/tmp/f" . $n++ % 2000 or die; close F;
    select undef, undef, undef, 0.001 if $n % 20 == 0;
    if (time != $t) { print "$n\n"; $n = 0; $t = time }
}
"""
_MANY = r"""
for (1..50000) { open F, ">/tmp/f$_" or die; close F }
for (1..50000) { open F, "</tmp/f$_" or die }
$| = 1; print "done\n"; <STDIN>;
"""
# More than any queue holds: the second time round a file's event is too far back to be merged with.
_TOO_MANY = r"""
$| = 1; my $n = 40000; my ($times, $deep) = @ARGV; mkdir "/tmp/new" or die;
for (1..$n) { open F, ">/tmp/new/f$_" or die; close F }
print "up\n"; <STDIN>; chdir "/tmp" or die;
for (1..$deep) { my $d = "d" x 250; mkdir $d or die; chdir $d or die }
rename "/tmp/new", "old" or die; chdir "old" or die;
for (1..$times) { for (1..$n) { open F, "<f$_" or die } }
print "done\n"; <STDIN>;
open F, "</etc/issue" or die;
"""
_ONE_AFTER_THE_OTHER = r"""
my $n = 0;
while (1) { open F, ">/tmp/f" . $n++ or die; close F; select undef, undef, undef, 0.0005 }
"""
_FORKS = (
    'for (1..3000) { my $p = fork // die; exit if !$p; waitpid $p, 0 } exec "cat", "/etc/issue"'
)
_ONE_FILE = """
my $end = time + 1; fork;
while (time < $end) { open F, "</etc/issue" or die for 1..1000 }
exec "cat", "/etc/debian_version"
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "app.trace"


def _losses(trace: Path) -> int:
    trailer = only_run(trace).trailer
    assert trailer is not None
    return trailer.losses


def _peak(process: subprocess.Popen[str]) -> int:
    """Return the most memory that the agent ever had, in kB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (resident,) = [int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line]
    return resident


@pytest.mark.parametrize("recorder", RECORDERS)
def test_the_workload_does_not_wait_for_a_stopped_agent(
    agent: RunAgent, nginx_rootfs: Path, trace: Path, recorder: str
) -> None:
    process = agent.start(
        *("record", "-o", trace, "--recorder", recorder),
        *("--rootfs", nginx_rootfs, "--", "perl", "-e", _RATE),
    )
    assert process.stdout is not None
    process.stdout.readline()
    rates: dict[int, list[int]] = {signal.SIGSTOP: [], signal.SIGCONT: []}
    for number in (signal.SIGSTOP, signal.SIGCONT) * 2:
        os.kill(process.pid, number)
        process.stdout.readline()  # of a second that is half one, half the other
        rates[number].append(int(process.stdout.readline()))
    process.terminate()
    process.communicate(timeout=60)
    # The machine is shared, and both took turns: what counts is that it never stands still.
    assert max(rates[signal.SIGSTOP]) > max(rates[signal.SIGCONT]) / 3, rates
    assert only_run(trace).trailer is not None
    assert _losses(trace) > 0 or only_run(trace).verdict == "complete"


@pytest.mark.parametrize("recorder", RECORDERS)
def test_fifty_thousand_files(
    agent: RunAgent, nginx_rootfs: Path, trace: Path, recorder: str
) -> None:
    process = agent.start(
        *("record", "-o", trace, "--recorder", recorder),
        *("--rootfs", nginx_rootfs, "--", "perl", "-e", _MANY),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    time.sleep(1)
    resident = _peak(process)
    process.communicate("\n", timeout=60)
    found = sum(path.startswith("/tmp/f") for path in paths(only_run(trace)))
    assert found == 50000 or (recorder != "fanotify" and _losses(trace) > 0)
    assert found > 10000
    assert resident < 40_000, f"{resident} kB"


@pytest.mark.parametrize(("recorder", "times", "deep", "where"), _TO_LOSE)
def test_what_a_stopped_agent_missed_stands_where_it_was_missed(
    agent: RunAgent,
    nginx_rootfs: Path,
    trace: Path,
    recorder: str,
    times: int,
    deep: int,
    where: str,
) -> None:
    process = agent.start(
        *("record", "-o", trace, "--recorder", recorder),
        *("--rootfs", nginx_rootfs, "--", "perl", "-e", _TOO_MANY, str(times), str(deep)),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    os.kill(process.pid, signal.SIGSTOP)
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"
    os.kill(process.pid, signal.SIGCONT)
    wait_for(lambda: _is_idle(process.pid))
    resident = _peak(process)
    process.communicate("\n", timeout=60)
    records = only_run(trace).records
    lost = [n for n, record in enumerate(records) if isinstance(record, Loss)]
    issue = [n for n, r in enumerate(records) if isinstance(r, File) and r.path == "/etc/issue"]
    first = next(
        n for n, r in enumerate(records) if isinstance(r, File) and r.path == "/tmp/new/f1"
    )
    assert {record.where for record in records if isinstance(record, Loss)} == {where}
    assert first < lost[0] <= lost[-1] < issue[0]
    assert resident < 40_000, f"{resident} kB"


def _is_idle(pid: int) -> bool:
    """Say whether a process sleeps, and hardly ran or waited for a CPU for half a second."""
    before, begin = _busy_time(pid), time.monotonic_ns()
    time.sleep(0.5)
    busy = (_busy_time(pid) - before) / (time.monotonic_ns() - begin)
    return psutil.Process(pid).status() == psutil.STATUS_SLEEPING and busy < 0.3


def _busy_time(pid: int) -> int:
    ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(ran) + int(waited)


@pytest.mark.parametrize("recorder", RECORDERS)
def test_killed_at_any_moment_the_trace_reads(
    agent: RunAgent, nginx_rootfs: Path, trace: Path, recorder: str
) -> None:
    """What it holds is the beginning of what there was, and nothing is left behind."""
    moments = random.Random(recorder)
    ready = trace.with_name("ready")
    mounts = Path("/proc/self/mountinfo").read_text().count(str(nginx_rootfs))
    found = 0
    for turn in range(6):
        ready.unlink(missing_ok=True)
        process = agent.start(
            *("record", "-o", trace, "--force", "--recorder", recorder, "--ready-file", ready),
            *("--rootfs", nginx_rootfs),
            *("--", "perl", "-e", _ONE_AFTER_THE_OTHER, str(trace)),
        )
        if turn > 1:  # the first two may die before they are armed
            wait_for(ready.exists)
        time.sleep(moments.uniform(0.1, 1.5))
        process.kill()
        process.wait()
        found += _check_prefix(trace)
        wait_for(lambda: not processes(str(trace)))
    assert found > 0, "each was killed before it recorded anything"
    assert Path("/proc/self/mountinfo").read_text().count(str(nginx_rootfs)) == mounts


def _check_prefix(trace: Path) -> int:
    """Return how many files the killed agent's trace, where there is one, holds."""
    if not trace.exists() or trace.stat().st_size == 0:
        return 0
    run = only_run(trace)
    trace.unlink()
    assert run.trailer is None
    assert run.verdict == "partial"
    numbers = {int(path[6:]) for path in paths(run) if path.startswith("/tmp/f")}
    assert numbers == set(range(len(numbers)))
    return len(numbers)


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("script", [_FORKS, _ONE_FILE], ids=["processes", "one file"])
def test_much_of_the_same_loses_nothing(
    agent: RunAgent, nginx_rootfs: Path, trace: Path, recorder: str, script: str
) -> None:
    done = agent(
        *("record", "-o", trace, "--recorder", recorder),
        *("--rootfs", nginx_rootfs, "--", "perl", "-e", script),
    )
    assert done.returncode == 0, done.stderr
    run = only_run(trace)
    assert run.verdict == "complete", run.reasons
    assert {"/etc/issue", "/usr/bin/cat"} <= paths(run)


@pytest.mark.parametrize("recorder", RECORDERS)
def test_many_short_processes(
    agent: RunAgent, nginx_rootfs: Path, trace: Path, recorder: str
) -> None:
    programs = ["cat", "head", "tail", "wc", "sort", "md5sum", "cksum", "od", "nl", "fold"]
    loop = f"for n in $(seq 20); do for p in {' '.join(programs)}; do $p /etc/issue; done; done"
    done = agent(
        *("record", "-o", trace, "--recorder", recorder),
        *("--rootfs", nginx_rootfs, "--", "sh", "-c", f"{loop} >/dev/null"),
    )
    assert done.returncode == 0, done.stderr
    run = only_run(trace)
    assert run.verdict == "complete", run.reasons
    assert {f"/usr/bin/{program}" for program in programs} <= paths(run, "exec")
    assert "/etc/issue" in paths(run)


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_storm_of_forks(
    agent: RunAgent, docker_daemon: Docker, trace: Path, recorder: str
) -> None:
    storm = "my $end = time + 3; fork while time < $end; exec 'true' if $$ != 1"
    done = agent(
        *("record", "-o", trace, "--recorder", recorder, "--"),
        *("docker", "run", "--rm", "--network", "none", "--pids-limit", "100", IMAGE),
        *("sh", "-c", f"perl -e '{storm}'; cat /etc/debian_version"),
        env=docker_daemon.env,
    )
    assert done.returncode == 0, done.stderr
    run = only_run(trace)
    assert run.verdict == "complete" or _losses(trace) > 0, run.reasons
    assert {"/etc/debian_version", "/usr/bin/perl"} <= paths(run)
