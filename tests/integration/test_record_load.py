"""Much at once: nobody waits for the agent, its memory is bounded, and what it lost it tells."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from container_tools import IMAGE, Docker, RunAgent, only_run, paths

RECORDERS = ("fanotify", "ebpf-tracepoints")
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


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "app.trace"


def _losses(trace: Path) -> int:
    trailer = only_run(trace).trailer
    assert trailer is not None
    return trailer.losses


@pytest.mark.parametrize("recorder", RECORDERS)
def test_the_workload_does_not_wait_for_a_stopped_agent(
    agent: RunAgent, nginx_rootfs: Path, trace: Path, recorder: str
) -> None:
    process = agent.start(
        *("record", "-o", trace, "--recorder", recorder),
        *("--rootfs", nginx_rootfs, "--", "perl", "-e", _RATE),
    )
    assert process.stdout is not None
    rates = [int(process.stdout.readline()) for _ in range(2)]
    os.kill(process.pid, signal.SIGSTOP)
    stopped = [int(process.stdout.readline()) for _ in range(2)]
    os.kill(process.pid, signal.SIGCONT)
    process.terminate()
    process.communicate(timeout=60)
    # The machine is shared: what counts is that it never stands still.
    assert stopped[1] > rates[1] / 3, (rates, stopped)
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
    status = Path(f"/proc/{process.pid}/status").read_text()
    (resident,) = [int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line]
    process.communicate("\n", timeout=60)
    found = sum(path.startswith("/tmp/f") for path in paths(only_run(trace)))
    assert found == 50000 or _losses(trace) > 0
    assert found > 10000
    assert resident < 100_000, f"{resident} kB"


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
