"""What recording costs real programs in instructions, on a kernel in QEMU."""

from __future__ import annotations

import json
import statistics
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypedDict

from harness import Row, Table, say
from kernels import RECORDERS

import guest

TURNS = 2
KERNELS = ("6.1",)
TREES = ("nginx", "redis", "postgres", "flask", "compiler")
BAR = 1.02
AUTO = ("ebpf-trampolines", "fanotify")  # where auto never takes another


class Figures(TypedDict):
    """Of one load with one recorder, in instructions; ``work`` and ``agent`` for each unit."""

    unit: str
    first: float
    work: list[float]
    agent: list[float]


def measure(space: Path) -> Table:
    """Make the table."""
    with ThreadPoolExecutor(len(KERNELS)) as pool:
        rows = [row for rows in pool.map(partial(_kernel, space), KERNELS) for row in rows]
    method = (
        "In QEMU, on one processor whose clock counts executed instructions (`-icount shift=0`): "
        "those of the program's processes for each unit of work, user and kernel, by their CPU "
        f"time. Medians of {TURNS} turns after one that warms up. Each runs in the same kind of "
        "container, recorded and not, on an overlay over ext4. *Agent*: its own instructions "
        "meanwhile, for each unit. *First*: what the program's processes took to start and to "
        "answer each view once, or for the first turn of the compile; recorded, how much more. "
        "`auto` takes the trampolines, and fanotify where there are none; tracepoints are shown "
        "beside."
    )
    return Table("Instructions under load", method, rows)


def _kernel(space: Path, kernel: str) -> list[Row]:
    say(f"instructions: {kernel}")
    place = space / kernel
    place.mkdir()
    outcome = guest.run(
        kernel,
        ["python3", "scripts/benchmarks/loads_in_guest.py", str(TURNS), *RECORDERS],
        place,
        trees=TREES,
        machine=guest.Machine(exact=True),
        timeout=7200,
    )
    if outcome.status != 0:
        text = outcome.console[-300:].replace("\n", " ")
        return [Row(f"{kernel}: loads", "", f"the guest failed: {text}", False)]
    found = json.loads((outcome.results / "loads.json").read_text())
    return [_row(f"{kernel}: {what}", taken) for what, taken in found.items()]


def _row(what: str, taken: dict[str, Figures]) -> Row:
    without = taken[""]
    median = {name: statistics.median(figures["work"]) for name, figures in taken.items()}
    ratios = {name: median[name] / median[""] for name in RECORDERS}
    measured = [
        f"`{name}` {ratios[name]:.3f} times"
        f" (agent {statistics.median(taken[name]['agent']):,.0f};"
        f" first {(taken[name]['first'] - without['first']) / 1e6:+,.1f} million)"
        for name in RECORDERS
    ]
    return Row(
        f"{what}: instructions per {without['unit']}",
        f"{BAR} times",
        f"{median['']:,.0f} not recorded (first {without['first'] / 1e6:,.0f} million); "
        + ", ".join(measured),
        all(ratios[name] <= BAR for name in AUTO),
    )
