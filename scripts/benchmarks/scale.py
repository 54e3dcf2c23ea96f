"""Plan and apply of large images: time beside the tools' own, memory, and how both grow."""

from __future__ import annotations

import dataclasses
import os
import shlex
import statistics
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import many_paths
from harness import Row, Table, say, turns
from speed import LARGE

import rootfs
from applications import AGENT, PAREDOWN, run
from container_tools import only_run
from traces import trace_records, write_trace
from tree_witness import regular_bytes

TURNS = 3
TIMES = 3  # of what the tools take
MOST = 600  # MB resident
# Keeps about three tenths of the image.
USES = "cd /tmp; echo 'int main() {}' >a.cc; g++ a.cc; ./a.out; java -version; nginx -t"
COUNTS = (200_000, 400_000, 800_000)
GROWTH = 1.15  # times linear


@dataclasses.dataclass(frozen=True)
class Used:
    """What a command took: wall clock and CPU time in seconds, peak resident memory in MB."""

    wall: float
    cpu: float
    resident: float


def measure(space: Path) -> Table:
    """Make the table."""
    rootfs.RECIPES.setdefault("large", LARGE)
    tree = rootfs.cached("large")
    method = (
        "*Large*: docker-archive to oci-archive, one layer of real packages and their database, "
        "with a trace of compiling C++ and starting Java and nginx. Wall clock (and CPU time) of "
        "`paredown plan` and `paredown apply` with their interpreter's start, in turns with "
        "`sha256sum` and `gzip -1` of a tar of what was kept, one after the other; medians of "
        f"{TURNS} turns. *Paths*: CPU time of `paredown plan` of a docker-archive, the less of 2. "
        "Names, owners and package lists are the large image's, again and again below directories "
        "of their own; content is cut to 400 bytes, but for ELF files of up to 20 kB; of each "
        "third package a file was used. Memory is the most that was resident (VmHWM)."
    )
    return Table("Large images", method, [*_large(tree, space), *_growth(tree, space)])


def _large(tree: Path, space: Path) -> list[Row]:
    say("scale: large")
    plan, slim, kept = (space / name for name in ("plan.json", "slim.tar", "kept"))
    trace, layer = _trace(tree, space), space / "layer.tar"
    run("tar", "-C", tree, "--xattrs", "-cf", layer, ".")
    source = f"docker-archive:{many_paths.docker_archive(layer, space / 'large.tar')}"
    planning = [PAREDOWN, "plan", source, "--trace", str(trace), "-o", str(plan), "--force"]
    applying = [PAREDOWN, "apply", str(plan), source, "-o", f"oci-archive:{slim}", "--force"]
    used(planning)
    run(PAREDOWN, "apply", plan, source, "-o", f"dir:{kept}")
    run("tar", "-C", kept, "-cf", space / "kept.tar", ".")
    words = shlex.quote(str(space / "kept.tar"))
    tools = ["sh", "-c", f"sha256sum {words}; gzip -1 <{words}"]
    ours: list[tuple[Used, Used]] = []
    theirs: list[Used] = []

    def take(command: list[str]) -> float:
        theirs.append(used(command))
        return theirs[-1].wall

    def take_both() -> float:
        ours.append((used(planning), used(applying)))
        return sum(each.wall for each in ours[-1])

    taken = turns(TURNS, {"ours": take_both, "tools": lambda: take(tools)})
    wall, beside = statistics.median(taken["ours"]), statistics.median(taken["tools"])
    cpu = statistics.median(sum(each.cpu for each in both) for both in ours)
    cpu_beside = statistics.median(each.cpu for each in theirs)
    before, after = regular_bytes(tree), regular_bytes(kept)
    paths = run("find", tree, "-printf", ".").count(".")
    resident = [max(both[index].resident for both in ours) for index in (0, 1)]
    return [
        Row(
            f"large ({before / 1e6:,.0f} MB, {paths:,} paths, {1 - after / before:.0%} gone): "
            "plan and apply",
            f"{TIMES} times `sha256sum` and `gzip -1`",
            f"{wall:.1f} s ({cpu:.1f} s); {beside:.1f} s ({cpu_beside:.1f} s): "
            f"{wall / beside:.2f} times",
            wall <= TIMES * beside,
        ),
        Row(
            "large: resident memory",
            f"{MOST} MB",
            f"plan {resident[0]:.0f} MB, apply {resident[1]:.0f} MB",
            max(resident) <= MOST,
        ),
    ]


def _trace(tree: Path, space: Path) -> Path:
    """Record in the tree, and say so of any image: the archive has another identity."""
    recorded = space / "recorded.trace"
    run(AGENT, "record", "--rootfs", tree, "-o", recorded, "--", "sh", "-ec", USES)
    return write_trace(space / "large.trace", trace_records(only_run(recorded).files()))


def _growth(tree: Path, space: Path) -> list[Row]:
    rows: list[Row] = []
    first: Used | None = None
    for count in COUNTS:
        taken = _plan_of(tree, count, space)
        first = first or taken
        times = count / COUNTS[0]
        growth = taken.cpu / first.cpu, taken.resident / first.resident
        measured = f"{taken.cpu:.1f} s, {taken.resident:,.0f} MB"
        if count != COUNTS[0]:
            measured += f": {growth[0]:.2f} and {growth[1]:.2f} times"
        bar = f"at most {times * GROWTH:.1f} times the first" if count != COUNTS[0] else ""
        holds = max(growth) <= times * GROWTH if bar else None
        rows.append(Row(f"plan, {count:,} paths", bar, measured, holds))
    return rows


def _plan_of(tree: Path, count: int, space: Path) -> Used:
    say(f"scale: {count:,} paths")
    # In a process of its own: a child is said to have had resident what its parent has.
    with ProcessPoolExecutor(1) as aside:
        archive, trace = aside.submit(many_paths.make, tree, count, space).result()
    plan = [PAREDOWN, "plan", f"docker-archive:{archive}", "--trace", str(trace)]
    taken = [used([*plan, "-o", str(space / "paths.json"), "--force"]) for _ in range(2)]
    archive.unlink()
    return min(taken, key=lambda each: each.cpu)


def used(command: list[str]) -> Used:
    """Run a command that must work; what it prints is of no interest."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    assert status == 0, f"{command}: {said.decode()}"
    return Used(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)
