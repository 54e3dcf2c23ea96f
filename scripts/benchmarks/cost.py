"""What recording costs: nginx under load, loops of single system calls, and the agent itself."""

from __future__ import annotations

import contextlib
import functools
import math
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from harness import Row, Table, ratio, say, spread, turns

import server
from applications import AGENT, NGINX, run

HERE = Path(__file__).resolve().parent
TURNS = 30
LOOPS = {  # what: arguments, the bar
    "open and close": (["open", "/etc/debian_version", "1000000"], 1.2),
    "getppid": (["getppid", "5000000"], 1.05),
    "fork and exec": (["fork", "/usr/bin/true", "2000"], 1.1),
}


def recorded(tree: Path, trace: Path, *command: str) -> list[str]:
    """Return the command line that runs ``command`` in ``tree`` under the agent."""
    return [AGENT, "record", "--rootfs", str(tree), "-o", str(trace), "--force", "--", *command]


def unrecorded(tree: Path, *command: str) -> list[str]:
    """Return the command line that runs it in a like container without a recorder."""
    return [sys.executable, str(HERE / "unrecorded.py"), str(tree), *command]


def measure(space: Path) -> Table:
    """Make the table."""
    tree = NGINX.source
    rows = [*_nginx(tree, space), *_loops(tree, space), *_agent(tree, space)]
    method = (
        "Each measure is taken recorded (`--recorder auto`), not recorded, and not recorded once "
        "more, one after the other in rotating order; figures are medians of the turns' ratios, "
        "with quartiles. All run in the same kind of container (`scripts/benchmarks/unrecorded.py`"
        " is the agent's own without a recorder), on an overlay over ext4. Instructions are "
        "`perf stat`'s of nginx's processes, kernel included; CPU time is their schedstat's."
    )
    return Table("Cost of recording", method, rows)


class Nginx:
    """A running nginx, and what a second of load on it takes."""

    def __init__(self, running: server.Server, space: Path) -> None:
        self._server = running
        self._report = space / "perf.txt"
        processes = psutil.Process(running.process.pid).children(recursive=True)
        self._pids = [p.pid for p in processes if p.name() == "nginx"]
        self.rates: list[float] = []
        self.cpu: list[float] = []  # ns per request

    def work(self) -> float:
        """Load it for a second; return instructions per request, NaN without counters."""
        perf = ["perf", "stat", "-x", ",", "-e", "instructions", "-o", str(self._report)]
        wrk = ["wrk", "-t1", "-c16", "-d1s", "http://127.0.0.1/"]
        before = self._on_cpu()
        printed = self._server.run([*perf, "-p", ",".join(map(str, self._pids)), "--", *wrk])
        spent = self._on_cpu() - before
        requests = int(re.findall(r"(\d+) requests in", printed)[0])
        self.rates.append(float(re.findall(r"Requests/sec:\s+([\d.]+)", printed)[0]))
        self.cpu.append(spent / requests)
        counted = re.findall(r"^(\d+),", self._report.read_text(), re.MULTILINE)
        return int(counted[0]) / requests if counted else math.nan

    def _on_cpu(self) -> int:
        """Return the ns that nginx's processes ran, user and kernel (proc(5), schedstat)."""
        return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in self._pids)


def _nginx(tree: Path, space: Path) -> list[Row]:
    say("cost: nginx under wrk")
    commands = {
        "recorded": recorded(tree, space / "nginx.trace", *NGINX.command),
        "not": unrecorded(tree, *NGINX.command),
        "itself": unrecorded(tree, *NGINX.command),
    }
    with contextlib.ExitStack() as stack:
        running = {
            name: Nginx(stack.enter_context(server.serve(command, 80)), space)
            for name, command in commands.items()
        }
        instructions = turns(TURNS, {name: nginx.work for name, nginx in running.items()})
    cpu = {name: nginx.cpu for name, nginx in running.items()}
    rates = {name: nginx.rates for name, nginx in running.items()}
    counted = not math.isnan(instructions["not"][0])
    if counted:
        rows = [_against_itself("instructions per request", instructions, "1.02 times")]
    else:
        text = "this machine has no hardware counters (`perf stat`: not supported)"
        rows = [Row("nginx under wrk: instructions per request", "1.02 times", text, None)]
    bar = "" if counted else "1.02 times, in place of instructions"
    rows.append(_against_itself("CPU time per request", cpu, bar))
    rows.append(_against_itself("requests per second", rates, ""))
    return rows


def _against_itself(what: str, taken: dict[str, list[float]], bar: str) -> Row:
    more = ratio(taken["recorded"], taken["not"])
    return Row(
        f"nginx under wrk: {what}",
        bar,
        f"{more:.3f} times ({spread(taken['recorded'], taken['not'])}); against itself "
        f"{ratio(taken['itself'], taken['not']):.3f} ({spread(taken['itself'], taken['not'])}); "
        f"medians {statistics.median(taken['recorded']):,.0f} recorded, "
        f"{statistics.median(taken['not']):,.0f} not; {TURNS} turns",
        more <= 1.02 if bar else None,
    )


def _loops(tree: Path, space: Path) -> list[Row]:
    own = space / "loops-tree"
    run("cp", "-a", tree, own)
    run("clang", "-O2", "-static", "-o", own / "usr/bin/loops", HERE / "loops.c")
    rows = []
    for name, (arguments, bar) in LOOPS.items():
        say(f"cost: {name}")
        command = ["loops", *arguments]
        taken = turns(
            9,
            {
                "recorded": functools.partial(_loop, recorded(own, space / "l.trace", *command)),
                "not": functools.partial(_loop, unrecorded(own, *command)),
                "itself": functools.partial(_loop, unrecorded(own, *command)),
            },
        )
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


def _loop(command: Sequence[str]) -> float:
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(result.stdout.split()[0])


def _agent(tree: Path, space: Path) -> list[Row]:
    say("cost: the agent itself")
    armed, resident = zip(*(_start(tree, space) for _ in range(7)), strict=True)
    return [
        Row(
            "agent: from start to armed",
            "under 1 s",
            f"{statistics.median(armed):.2f} s (at most {max(armed):.2f})",
            statistics.median(armed) < 1,
        ),
        Row(
            "agent: resident memory",
            "at most 60 MB",
            f"{max(resident) / 1e6:.1f} MB, the most of {len(resident)} recordings",
            max(resident) <= 60e6,
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
