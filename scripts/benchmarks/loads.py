"""Servers under load and a parallel compile, and the CPU time that a unit of their work takes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import harness  # noqa: F401 - before the test helpers: it makes them importable

import server
from applications import AGENT, GUNICORN, NGINX, PGBENCH, POSTGRES, REDIS, Application, load

HERE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Load:
    """A second of work for a server; the client's output tells how many ``unit`` were done."""

    application: Application
    client: tuple[str, ...]
    done: re.Pattern[str]
    unit: str
    inside: bool = False  # the client is the tree's own program

    @property
    def name(self) -> str:
        """Return what a table calls it."""
        return f"{self.application.name} under {os.path.basename(self.client[0])}"


_REQUESTS = re.compile(r"(\d+) requests in")
LOADS = (
    Load(NGINX, ("wrk", "-t1", "-c16", "-d1s", "http://127.0.0.1/"), _REQUESTS, "request"),
    Load(
        REDIS,
        ("redis-benchmark", "-t", "get", "-n", "50000", "-c", "16"),
        re.compile(r"(\d+) requests completed in"),
        "request",
        inside=True,
    ),
    Load(
        POSTGRES,
        (*PGBENCH, "-c", "4", "-T", "1"),
        re.compile(r"number of transactions actually processed: (\d+)"),
        "transaction",
        inside=True,
    ),
    Load(GUNICORN, ("wrk", "-t1", "-c4", "-d1s", "http://127.0.0.1:8000/"), _REQUESTS, "request"),
)

# Open and exec heavy: each file is a compiler driver, a compiler, an assembler, and headers.
COMPILE = r"""
mkdir -p /tmp/build; cd /tmp/build
for i in $(seq 60); do
  printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <sys/socket.h>\n'
  printf 'int f%d(char *s) { return puts(s) + abs(%d) + (int)strlen(s); }\n' $i $i
done | split -l 5 -d -a 3 --additional-suffix=.c - f
TIMEFORMAT='%3U %3S'; time (ls *.c | xargs -n 1 -P 2 gcc -O1 -c)
"""


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
    """A running server, and what each second of load took."""

    def __init__(self, what: Load, running: server.Server, group: Path) -> None:
        """``group`` is the control group of the server and of whatever runs it."""
        self._load = what
        self._server = running
        self._group = group
        tree = str(what.application.source)
        self._client = ["chroot", tree, *what.client] if what.inside else list(what.client)
        self.rates: list[float] = []  # units per second
        load(what.application, running)

    def work(self) -> float:
        """Load it once; return the CPU time of the server's processes, in ns per unit."""
        before, start = self._on_cpu(), time.perf_counter()
        printed = self._server.run(self._client)
        spent, seconds = self._on_cpu() - before, time.perf_counter() - start
        done = sum(map(int, self._load.done.findall(printed)))
        self.rates.append(done / seconds)
        return spent / done

    def _on_cpu(self) -> int:
        """Return ns, user and kernel, of the group without the one process that runs the server."""
        runner = Path(f"/proc/{self._server.process.pid}/schedstat").read_text().split()[0]
        return _usage(self._group) - int(runner)


@contextlib.contextmanager
def serving(what: Load, command: Sequence[str]) -> Iterator[Loaded]:
    """Run ``command``, which runs the server, in a control group of its own."""
    with _control_group() as group:
        enter = ["sh", "-c", f'echo $$ >{group}/cgroup.procs; exec "$@"', "sh"]
        with server.serve([*enter, *command], what.application.port) as running:
            yield Loaded(what, running, group)


def compiling(command: Sequence[str], run: Callable[..., str]) -> Callable[[], float]:
    """Return what runs ``command``, which ends in COMPILE, and returns its CPU time in ns."""

    def work() -> float:
        user, system = re.findall(r"^(\d+\.\d+) (\d+\.\d+)$", run(*command), re.MULTILINE)[-1]
        return (float(user) + float(system)) * 1e9

    return work


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
