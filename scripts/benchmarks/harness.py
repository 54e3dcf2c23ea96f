"""What every table needs: containers recorded and not, numbers, and the text they end up as."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "helpers"))


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table: what, the bar, what was measured, whether it holds."""

    what: str
    bar: str
    measured: str
    holds: bool | None  # None: shown beside, no bar


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of docs/benchmarks.md."""

    title: str
    method: str
    rows: Sequence[Row]

    def markdown(self) -> str:
        """Return the table as docs/benchmarks.md has it."""
        lines = [f"## {self.title}", "", self.method, ""]
        lines += ["| what | bar | measured | holds |", "| --- | --- | --- | --- |"]
        mark = {True: "yes", False: "**no**", None: ""}
        lines += [f"| {r.what} | {r.bar} | {r.measured} | {mark[r.holds]} |" for r in self.rows]
        return "\n".join(lines) + "\n"


def say(text: str) -> None:
    """Tell what is being measured."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """A directory on the disk, where users' trees lie too, that vanishes."""
    path = Path(
        tempfile.mkdtemp(prefix="paredown-bench-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    )
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def seconds(*command: str | Path) -> float:
    """Return the wall-clock time of a command that must work."""
    start = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return time.perf_counter() - start


def turns(count: int, measures: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Take each measure once a turn, in an order that rotates, so that drift hits all alike."""
    names = list(measures)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(count):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            taken[name].append(measures[name]())
    return taken


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Return the median of the turns' ratios: each pair ran side by side."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def spread(over: Sequence[float], under: Sequence[float]) -> str:
    """Return the quartiles of the turns' ratios."""
    low, _, high = statistics.quantiles([a / b for a, b in zip(over, under, strict=True)], n=4)
    return f"{low:.3f} to {high:.3f}"


def totals(plan: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Return packages, files and bytes before and after, as the plan has them."""
    data = json.loads(plan.read_text())
    return data["before"], data["after"]
