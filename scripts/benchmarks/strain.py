"""What much at once costs the agent, and what it loses: many files, programs and processes."""

from __future__ import annotations

import dataclasses
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from harness import Row, Table, say
from loads import recorded, unrecorded

from applications import NGINX, run
from paredown_schemas.trace import read_trace

HERE = Path(__file__).resolve().parent
FILES, PROGRAMS, PROCESSES = 200_000, 1000, 100_000
WARM = 10  # seconds


@dataclasses.dataclass(frozen=True)
class Strained:
    """One recording: of the workload and the agent, ``turn`` and ``cpu`` in ns per turn."""

    turn: float
    cpu: float
    drained: float  # s from the workload's end until the agent was idle
    warm: float  # of a core, afterwards
    resident: int  # bytes, the most there ever was
    files: int
    losses: int


def measure(space: Path) -> Table:
    """Make the table."""
    tree = space / "tree"
    run("cp", "-a", NGINX.source, tree)
    run("clang", "-O2", "-o", tree / "usr/bin/strain", HERE / "strain.c")
    _fill(tree)
    say("strain: files")
    rates = [_burst(tree, space, recorder) for recorder in ("fanotify", "ebpf-tracepoints")]
    files = _record(tree, space, "open", "/data", FILES)
    say("strain: programs")
    programs = _record(tree, space, "exec", "/programs", PROGRAMS)
    say("strain: processes")
    processes = _record(tree, space, "fork", "-", PROCESSES)
    method = (
        "`scripts/benchmarks/strain.c` in a container of the agent's (`--recorder auto`, an overlay"
        f" over ext4): {FILES:,} files opened once each, {PROGRAMS:,} programs executed once each,"
        f" {PROCESSES:,} processes that end at once. CPU time is the agent's schedstat, from the "
        "workload's start until the agent is idle; memory is VmHWM."
    )
    return Table("Strain", method, [*rates, *_rows(files, programs, processes)])


def _burst(tree: Path, space: Path, recorder: str) -> Row:
    """The workload's own pace while nothing of it is lost, and its pace without a recorder."""
    free = statistics.median(_unrecorded(tree) for _ in range(3))
    burst = _record(tree, space, "open", "/data", FILES, recorder)
    rate = 1e9 / burst.turn
    return Row(
        f"distinct files per second without loss, {recorder}",
        "100,000",
        f"{rate:,.0f}, not recorded {1e9 / free:,.0f}; {burst.files:,} files in the trace, "
        f"{burst.losses} losses; all of them written {burst.drained:.1f} s after the last was "
        f"opened; {burst.cpu / 1000:.1f} µs of the agent's CPU for each",
        burst.losses == 0 and burst.files >= FILES and rate >= 100_000,
    )


def _unrecorded(tree: Path) -> float:
    """Return the ns per file of the same in a like container."""
    command = unrecorded(tree, "strain", "open", "/data", str(FILES))
    result = subprocess.run(command, input="\n", check=True, capture_output=True, text=True)
    return float(result.stdout.split()[1])


def _rows(files: Strained, programs: Strained, processes: Strained) -> list[Row]:
    most = max(strained.resident for strained in (files, programs, processes))
    return [
        Row(
            "CPU of the agent for a new file",
            "20 µs",
            f"{files.cpu / 1000:.1f} µs",
            files.cpu <= 20_000,
        ),
        Row(
            "CPU of the agent for a new program, each executed for itself",
            "",
            f"{programs.cpu / 1000:.0f} µs: most of it waking up, twice in each exec",
            None,
        ),
        Row(
            "CPU of the agent for a process of a known program",
            "20 µs",
            f"{processes.cpu / 1000:.2f} µs; {processes.losses} losses",
            processes.cpu <= 20_000 and processes.losses == 0,
        ),
        Row(
            "CPU of the agent when the workload is warm",
            "0.5 % of a core",
            f"{files.warm:.2%}",
            files.warm < 0.005,
        ),
        Row("memory of the agent", "40 MB", f"{most / 1e6:.1f} MB", most <= 40e6),
    ]


def _fill(tree: Path) -> None:
    for number in range(FILES):
        path = tree / "data" / str(number // 1000) / str(number % 1000)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for number in range(PROGRAMS):
        path = tree / "programs" / str(number // 1000) / str(number % 1000)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree / "usr/bin/strain", path)


def _record(
    tree: Path, space: Path, what: str, directory: str, count: int, recorder: str = "auto"
) -> Strained:
    trace = space / "strain.trace"
    command = recorded(tree, trace, "strain", what, directory, str(count), recorder=recorder)
    agent = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert agent.stdin is not None
    assert agent.stdout is not None
    assert agent.stdout.readline() == "up\n"
    _until_idle(agent.pid)
    before = _cpu(agent.pid)
    agent.stdin.write("\n")
    agent.stdin.flush()
    turn = float(agent.stdout.readline())
    drained = _until_idle(agent.pid)
    cpu = (_cpu(agent.pid) - before) / count
    before = _cpu(agent.pid)
    time.sleep(WARM)
    warm = (_cpu(agent.pid) - before) / 1e9 / WARM
    resident = _peak(agent.pid)
    agent.communicate(timeout=60)  # the end of its input ends the command
    (run_,) = read_trace(trace).runs
    files = len({file.path for file in run_.files() if file.path.startswith("/data/")})
    losses = run_.trailer.losses if run_.trailer is not None else 1
    return Strained(turn, cpu, drained, warm, resident, files, losses)


def _until_idle(pid: int) -> float:
    """Return the seconds until a process took hardly any CPU time for two seconds."""
    start = last = time.monotonic()
    while last > time.monotonic() - 2:
        before = _cpu(pid)
        time.sleep(0.25)
        if _cpu(pid) - before > 10_000_000:
            last = time.monotonic()
    return last - start


def _cpu(pid: int) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
