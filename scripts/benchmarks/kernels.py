"""What recording costs in instructions, with each recorder on each kernel of the matrix."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from harness import Row, Table, say

import guest
from applications import run

HERE = Path(__file__).resolve().parent
TURNS = 3
RECORDERS = ("ebpf-trampolines", "fanotify", "ebpf-tracepoints")
BARS: dict[str, dict[str, float]] = {
    "open and close": {"ebpf-trampolines": 1.12, "fanotify": 1.12, "ebpf-tracepoints": 1.25},
    # Of those, auto takes the tracepoints last: any costs every system call.
    "getppid": {"ebpf-trampolines": 1.02, "fanotify": 1.02},
    "fork and exec": dict.fromkeys(RECORDERS, 1.05),
}
KERNELS = ("5.10", "6.1", "6.12", "newest")


def measure(space: Path) -> Table:
    """Make the table."""
    loops = space / "loops"
    run("clang", "-O2", "-static", "-o", loops, HERE / "loops.c")
    rows = [row for kernel in KERNELS for row in _kernel(kernel, loops, space / kernel)]
    method = (
        "In QEMU, on one processor whose clock counts executed instructions (`-icount shift=0`): "
        "instructions per turn, kernel, container and agent together. Medians of "
        f"{TURNS} turns. Each runs in the same kind of container, recorded and not, on an overlay "
        "over ext4, and each loop begins half a second after its program. The clock is checked by "
        "a loop of known length."
    )
    return Table("Instructions, by kernel", method, rows)


def _kernel(kernel: str, loops: Path, place: Path) -> list[Row]:
    say(f"kernels: {kernel}")
    place.mkdir()
    outcome = guest.run(
        kernel,
        ["python3", "scripts/benchmarks/in_guest.py", str(TURNS), *RECORDERS],
        place,
        trees=(),
        machine=guest.Machine(exact=True),
        carried={"cache/loops": loops},
        timeout=1800,
    )
    if outcome.status != 0:
        text = outcome.console[-300:].replace("\n", " ")
        return [Row(f"{kernel}: loops", "", f"the guest failed: {text}", False)]
    found = json.loads((outcome.results / "loops.json").read_text())
    known = Row(f"{kernel}: 1,000 instructions", "", f"{found['known']:,.0f} on the clock", None)
    return [known, *(_row(kernel, what, taken) for what, taken in found["loops"].items())]


def _row(kernel: str, what: str, taken: dict[str, list[float]]) -> Row:
    median = {name: statistics.median(values) for name, values in taken.items()}
    ratios = {name: median[name] / median[""] for name in RECORDERS}
    measured = ", ".join(f"`{name}` {ratio:.3f}" for name, ratio in ratios.items())
    bars = BARS[what]
    bar = ", ".join(f"`{name}` {bar}" for name, bar in bars.items())
    return Row(
        f"{kernel}: {what} in a loop",
        bar,
        f"{median['']:,.0f} not recorded; {measured} times",
        all(ratios[name] <= bar for name, bar in bars.items()),
    )
