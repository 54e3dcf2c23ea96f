"""Servers under load and a parallel compile, and the CPU time that a unit of their work takes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import harness  # noqa: F401 - before the test helpers: it makes them importable

import server
from applications import AGENT, GUNICORN, NGINX, PGBENCH, POSTGRES, REDIS, Application, load

HERE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Load:
    """A second of work for a server at most; the client tells how many ``unit`` were done."""

    application: Application
    client: tuple[str, ...]
    done: re.Pattern[str]
    unit: str
    inside: bool = False  # the client is the tree's own program
    before: tuple[tuple[str, ...], ...] = ()  # which of the application's clients prepare it

    @property
    def name(self) -> str:
        """Return what a table calls it."""
        return f"{self.application.name} under {os.path.basename(self.client[0])}"


_REQUESTS = re.compile(r"(\d+) requests in")
LOADS = (
    Load(NGINX, ("wrk", "-t1", "-c16", "-d1s", "http://127.0.0.1:80/"), _REQUESTS, "request"),
    Load(
        REDIS,
        ("redis-benchmark", "-t", "get", "-n", "20000", "-c", "16"),
        re.compile(r"(\d+) requests completed in"),
        "request",
        inside=True,
    ),
    Load(
        POSTGRES,
        (*PGBENCH, "-c", "4", "-t", "250"),
        re.compile(r"number of transactions actually processed: (\d+)"),
        "transaction",
        inside=True,
        before=POSTGRES.clients[:2],
    ),
    Load(GUNICORN, ("wrk", "-t1", "-c4", "-d1s", "http://127.0.0.1:8000/"), _REQUESTS, "request"),
)

# Open and exec heavy: each file is a compiler driver, a compiler, an assembler, and headers.
_COMPILE = r"""
mkdir -p /tmp/build; cd /tmp/build
for i in $(seq $1); do
  printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <sys/socket.h>\n'
  printf 'int f%d(char *s) { return puts(s) + abs(%d) + (int)strlen(s); }\n' $i $i
done | split -l 5 -d -a 3 --additional-suffix=.c - f
TIMEFORMAT='%3U %3S'
for turn in $(seq $2); do time (ls *.c | xargs -n 1 -P 2 gcc -O1 -c); done
"""
_TIMES = re.compile(r"^(\d+\.\d+) (\d+\.\d+)$", re.MULTILINE)


def compile_command(files: int, turns: int) -> tuple[str, ...]:
    """Return what compiles C files in parallel, ``turns`` times; see ``compile_times``."""
    return ("bash", "-c", f"{{ {_COMPILE} }} 2>&1", "compile", str(files), str(turns))


def compile_times(printed: str) -> list[float]:
    """Return the CPU time of each turn in ns."""
    return [(float(user) + float(system)) * 1e9 for user, system in _TIMES.findall(printed)]


def recorded(
    tree: Path, trace: Path, *command: str, recorder: str = "auto", also: str = ""
) -> list[str]:
    """Return the command line that runs ``command`` in ``tree`` under the agent."""
    options = ["--recorder", recorder, "-o", str(trace), "--force"]
    options += ["--also", also] if also else []
    return [AGENT, "record", "--rootfs", str(tree), *options, "--", *command]


def unrecorded(tree: Path, *command: str) -> list[str]:
    """Return the command line that runs it in a like container without a recorder."""
    return [sys.executable, str(HERE / "unrecorded.py"), str(tree), *command]


class Loaded:
    """A running server, and what each turn of load took."""

    def __init__(self, what: Load, running: server.Server, group: Path) -> None:
        """``group`` is the control group of the server and of whatever runs it."""
        self._load = what
        self._server = running
        self._group = group
        tree = str(what.application.source)
        self._client = ["chroot", tree, *what.client] if what.inside else list(what.client)
        self.rates: list[float] = []  # units per second
        self.agent: list[float] = []  # CPU time of whatever runs it, in ns per unit
        load(dataclasses.replace(what.application, clients=what.before), running)
        self.first = self._on_cpu()  # CPU time of its start and of each view's first use

    def work(self) -> float:
        """Load it once; return the CPU time of the server's processes, in ns per unit."""
        before, agent, start = self._on_cpu(), self._agent(), time.perf_counter()
        printed = self._server.run(self._client)
        spent, seconds = self._on_cpu() - before, time.perf_counter() - start
        done = sum(map(int, self._load.done.findall(printed)))
        self.rates.append(done / seconds)
        self.agent.append((self._agent() - agent) / done)
        return spent / done

    def _on_cpu(self) -> int:
        """Return ns, user and kernel, of the group without the one process that runs the server."""
        return _usage(self._group) - self._agent()

    def _agent(self) -> int:
        return process_time(self._server.process.pid)


@contextlib.contextmanager
def serving(what: Load, command: Sequence[str]) -> Iterator[Loaded]:
    """Run ``command``, which runs the server, in a control group of its own."""
    with _control_group() as group:
        enter = ["sh", "-c", f'echo $$ >{group}/cgroup.procs; exec "$@"', "sh"]
        with server.serve([*enter, *command], what.application.port) as running:
            yield Loaded(what, running, group)


def process_time(pid: int) -> int:
    """Return the CPU time of a process's threads, ended ones too, in ns: clock_getcpuclockid(3)."""
    return time.clock_gettime_ns(~pid << 3 | 2)


@contextlib.contextmanager
def _control_group() -> Iterator[Path]:
    """The cpuacct of version 1 where that is mounted; version 2 counts in any group."""
    first = Path("/sys/fs/cgroup/cpuacct")
    group = (
        first if first.is_dir() else Path("/sys/fs/cgroup")
    ) / f"paredown-bench-{time.time_ns()}"
    group.mkdir()
    try:
        yield group
    finally:
        while (group / "cgroup.procs").read_text():
            time.sleep(0.05)
        group.rmdir()


def _usage(group: Path) -> int:
    """Return the CPU time of everything that is or was in the group, in ns."""
    first = group / "cpuacct.usage"
    if first.exists():
        return int(first.read_text())
    (microseconds,) = re.findall(
        r"^usage_usec (\d+)$", (group / "cpu.stat").read_text(), re.MULTILINE
    )
    return int(microseconds) * 1000
