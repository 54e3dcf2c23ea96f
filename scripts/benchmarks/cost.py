"""What recording costs: servers under load, a compile, loops of single system calls, the agent."""

from __future__ import annotations

import contextlib
import functools
import shutil
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from harness import Row, Table, ratio, say, spread, turns
from loads import LOADS, Load, compile_command, compile_times, recorded, serving, unrecorded

import rootfs
from applications import NGINX, run

HERE = Path(__file__).resolve().parent
TURNS = 30
LOOPS = {  # what: arguments, the bar
    "open and close": (["open", "/etc/debian_version", "1000000"], 1.12),
    "getppid": (["getppid", "5000000"], 1.02),
    "fork and exec": (["fork", "/usr/bin/true", "2000"], 1.05),
}


def measure(space: Path) -> Table:
    """Make the table."""
    tree = NGINX.source
    loads = [row for what in LOADS for row in _load(what, space)]
    rows = [*loads, _compile(space), *_loops(tree, space), *_agent(tree, space)]
    method = (
        "Each measure is taken recorded (`--recorder auto`), not recorded, and not recorded once "
        "more, one after the other in rotating order; figures are medians of the turns' ratios, "
        "with quartiles. All run in the same kind of container (`scripts/benchmarks/unrecorded.py`"
        " is the agent's own without a recorder), on an overlay over ext4. CPU time is that of the "
        "server's processes, user and kernel, by its control group. Instructions: see below."
    )
    return Table("Cost of recording", method, rows)


def _load(what: Load, space: Path) -> list[Row]:
    say(f"cost: {what.name}")
    tree, command = what.application.source, what.application.command
    commands = _thrice(tree, space, *command)
    with contextlib.ExitStack() as stack:
        running = {
            name: stack.enter_context(serving(what, line)) for name, line in commands.items()
        }
        cpu = turns(TURNS, {name: loaded.work for name, loaded in running.items()})
    rates = {name: loaded.rates for name, loaded in running.items()}
    return [
        _against_itself(f"{what.name}: CPU time per {what.unit}", cpu, "1.02 times"),
        _against_itself(f"{what.name}: {what.unit}s per second", rates, ""),
    ]


def _compile(space: Path) -> Row:
    say("cost: a parallel compile")
    commands = _thrice(rootfs.cached("compiler"), space, *compile_command(60, 1))
    taken = turns(
        TURNS // 3, {name: functools.partial(_compiled, line) for name, line in commands.items()}
    )
    return _against_itself("parallel compile of 60 C files: CPU time", taken, "1.02 times")


def _compiled(command: Sequence[str]) -> float:
    (taken,) = compile_times(run(*command))
    return taken


def _thrice(tree: Path, space: Path, *command: str) -> dict[str, list[str]]:
    return {
        "recorded": recorded(tree, space / "cost.trace", *command),
        "not": unrecorded(tree, *command),
        "itself": unrecorded(tree, *command),
    }


def _against_itself(what: str, taken: dict[str, list[float]], bar: str) -> Row:
    more = ratio(taken["recorded"], taken["not"])
    return Row(
        what,
        bar,
        f"{more:.3f} times ({spread(taken['recorded'], taken['not'])}); against itself "
        f"{ratio(taken['itself'], taken['not']):.3f} ({spread(taken['itself'], taken['not'])}); "
        f"medians {statistics.median(taken['recorded']):,.0f} recorded, "
        f"{statistics.median(taken['not']):,.0f} not; {len(taken['not'])} turns",
        more <= 1.02 if bar else None,
    )


def _loops(tree: Path, space: Path) -> list[Row]:
    own = loops_tree(tree, space)
    rows = []
    for name, (arguments, bar) in LOOPS.items():
        say(f"cost: {name}")
        command = ["loops", *arguments]
        lines = _thrice(own, space, *command)
        taken = turns(9, {key: functools.partial(loop, line) for key, line in lines.items()})
        more = ratio(taken["recorded"], taken["not"])
        nanoseconds = {key: statistics.median(value) for key, value in taken.items()}
        rows.append(
            Row(
                f"{name} in a loop",
                f"{bar} times",
                f"{nanoseconds['recorded']:,.0f} ns, not recorded {nanoseconds['not']:,.0f} ns: "
                f"{more:.3f} times ({spread(taken['recorded'], taken['not'])}); against itself "
                f"{ratio(taken['itself'], taken['not']):.3f}",
                more <= bar,
            )
        )
    shutil.rmtree(own)
    return rows


def loops_tree(tree: Path, space: Path) -> Path:
    """Return a copy of ``tree`` that has loops.c, compiled."""
    own = space / "loops-tree"
    run("cp", "-a", tree, own)
    run("clang", "-O2", "-static", "-o", own / "usr/bin/loops", HERE / "loops.c")
    return own


def loop(command: Sequence[str]) -> float:
    """Return the ns per turn that a command line with loops in it prints."""
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(result.stdout.split()[0])


def _agent(tree: Path, space: Path) -> list[Row]:
    say("cost: the agent itself")
    armed, resident = zip(*(_start(tree, space) for _ in range(7)), strict=True)
    return [
        Row(
            "agent: from start to armed",
            "at most 0.3 s",
            f"{statistics.median(armed):.2f} s (at most {max(armed):.2f})",
            statistics.median(armed) <= 0.3,
        ),
        Row(
            "agent: resident memory",
            "at most 40 MB",
            f"{max(resident) / 1e6:.1f} MB, the most of {len(resident)} recordings",
            max(resident) <= 40e6,
        ),
    ]


def _start(tree: Path, space: Path) -> tuple[float, int]:
    """Return the seconds until a recording is armed, and its memory after some work."""
    ready, trace = space / "ready", space / "agent.trace"
    ready.unlink(missing_ok=True)
    command = recorded(tree, trace, "sh", "-c", "find /usr -type f -exec cat {} + >/dev/null; cat")
    command[2:2] = ["--ready-file", str(ready)]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    while not ready.exists():
        time.sleep(0.002)
    armed = time.perf_counter() - begin
    time.sleep(3)
    resident = psutil.Process(process.pid).memory_info().rss
    process.communicate(timeout=60)  # end of input ends the command
    return armed, resident
