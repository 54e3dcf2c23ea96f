"""What fifty traces cost a plan, in processor time, beside one."""

from __future__ import annotations

import dataclasses
import functools
import resource
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness import Row, Table, say, turns

import rootfs
from applications import PAREDOWN
from many_runs import make_traces
from paredown_schemas.trace import File, Record, Trailer, read_trace
from traces import write_trace

RUNS = 50
FILES = 10_000
POOL = 10_500
TURNS = 5
BAR = 3.0


def measure(space: Path) -> Table:
    """Make the table."""
    tree = rootfs.cached("postgres")
    say("runs: traces")
    traces = make_traces(tree, space, RUNS, FILES, POOL)
    union = _union(traces, space / "union.trace")
    taken = turns(
        TURNS,
        {
            "one": functools.partial(_plan, tree, traces[:1], space / "one.json"),
            "union": functools.partial(_plan, tree, [union], space / "union.json"),
            "fifty": functools.partial(_plan, tree, traces, space / "fifty.json"),
        },
    )
    middle = {name: statistics.median(times) for name, times in taken.items()}
    more = statistics.median(a - b for a, b in zip(taken["fifty"], taken["one"], strict=True))
    rest = statistics.median(a - b for a, b in zip(taken["fifty"], taken["union"], strict=True))
    sizes = {name: (space / f"{name}.json").stat().st_size / 1e6 for name in middle}
    rows = [
        Row(f"{RUNS} traces more than one", f"{BAR:.0f} s", f"{more:.2f} s", more < BAR),
        Row(f"{RUNS} traces more than one of all their files", "", f"{rest:.2f} s", None),
        *(
            Row(f"plan from {name}", "", f"{time:.2f} s, {sizes[name]:.1f} MB", None)
            for name, time in middle.items()
        ),
    ]
    method = (
        f"`paredown plan` of PostgreSQL's image with {RUNS} traces, each of {FILES:,} files out of "
        f"{POOL:,}, with one of them, and with one that has all of the files: processor time of "
        f"the command, user and system. Medians of {TURNS} turns, differences turn by turn; and "
        "how long the plan is."
    )
    return Table("Many runs", method, rows)


def _plan(tree: Path, traces: Sequence[Path], plan: Path) -> float:
    before = _used()
    command = [PAREDOWN, "plan", f"dir:{tree}", "--trace", *map(str, traces), "-o", str(plan)]
    subprocess.run([*command, "--force"], check=True, capture_output=True)
    return _used() - before


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _union(traces: Sequence[Path], path: Path) -> Path:
    """Write one run that used what any of them did."""
    files: dict[str, File] = {}
    for trace in traces:
        for run in read_trace(trace).runs:
            for file in run.files():
                files.setdefault(file.path, file)
    (first,) = read_trace(traces[0]).runs
    others = [record for record in first.records if not isinstance(record, File)]
    trailer = Trailer(len(files), 0, "complete", (), 10**12)
    records: list[Record] = [dataclasses.replace(first.header), *others, *files.values(), trailer]
    return write_trace(path, records)
