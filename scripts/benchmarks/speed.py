"""How long the minimizer takes: plan and apply, both commands with their start."""

from __future__ import annotations

import functools
import os
import statistics
import time
from pathlib import Path

from harness import Row, Table, say, seconds, turns

import rootfs
from applications import NGINX, PAREDOWN, record, run

# Real packages of many kinds, about 1.2 GB: compilers, a JDK, Node, Ruby, PHP, NumPy.
LARGE = rootfs.Recipe(
    (
        "nginx",
        "g++",
        "git",
        "nodejs",
        "npm",
        "openjdk-17-jdk-headless",
        "perl-doc",
        "php-cli",
        "python3-scipy",
        "ruby",
    )
)


def measure(space: Path) -> Table:
    """Make the table."""
    rootfs.RECIPES.setdefault("large", LARGE)
    rows = []
    for name, count in (("nginx", 7), ("large", 5)):
        tree = rootfs.cached(name)
        say(f"speed: {name}")
        trace, plan = space / f"{name}.trace", space / "plan.json"
        record(NGINX, tree, trace)
        taken = turns(
            count,
            {
                "both": functools.partial(_both, tree, trace, plan, space),
                "copy": functools.partial(_copy, tree, space),
            },
        )
        both, copy = statistics.median(taken["both"]), statistics.median(taken["copy"])
        size = run("du", "-sm", "--apparent-size", tree).split()[0]
        files = run("find", tree, "-printf", ".").count(".")
        what = f"plan and apply, {name} ({size} MB, {files:,} paths)"
        beside = f"{both:.2f} s; `cp -a` {copy:.2f} s ({both / copy:.1f} times)"
        bar = "2.5 s" if name == "nginx" else "3 times `cp -a`"
        rows.append(Row(what, bar, beside, both <= (2.5 if name == "nginx" else 3 * copy)))
    method = (
        "`paredown plan` and `paredown apply`, dir to dir, wall clock of both commands together "
        "with their interpreter's start, in turns with `cp -a` of the whole tree, each after a "
        "sync; medians."
    )
    return Table("Speed of the minimizer", method, rows)


def _both(tree: Path, trace: Path, plan: Path, space: Path) -> float:
    out = _next(space)
    taken = seconds(PAREDOWN, "plan", f"dir:{tree}", "--trace", trace, "-o", plan, "--force")
    return taken + seconds(PAREDOWN, "apply", plan, f"dir:{tree}", "-o", f"dir:{out}")


def _copy(tree: Path, space: Path) -> float:
    return seconds("cp", "-a", tree, _next(space))


def _next(space: Path) -> Path:
    """A name for a tree. Those of before stay: a disk that discards is slow after removals."""
    os.sync()
    return space / f"tree-{time.monotonic_ns()}"
