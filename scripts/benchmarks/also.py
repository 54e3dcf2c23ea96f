"""What --also costs: loops of single system calls, recorded with and without each of it."""

from __future__ import annotations

import functools
import shutil
import statistics
from pathlib import Path

from cost import loop, loops_tree
from harness import Row, Table, ratio, say, turns
from loads import recorded, unrecorded

from applications import NGINX

TURNS = 9
LOOPS = {
    "getppid": ["getppid", "3000000"],
    "open and close": ["open", "/etc/debian_version", "300000"],
    "stat": ["stat", "/etc/debian_version", "1000000"],
    "stat of what is not there": ["stat", "/etc/nothing", "1000000"],
    "mmap and munmap": ["mmap", "500000"],
    "fork and exec": ["fork", "/usr/bin/true", "500"],
}
ALSO = ("", "exists,missing", "syscalls", "capabilities")


def measure(space: Path) -> Table:
    """Make the table."""
    tree = loops_tree(NGINX.source, space)
    rows = [_row(tree, space, name, arguments) for name, arguments in LOOPS.items()]
    shutil.rmtree(tree)
    method = (
        "`--recorder auto` with each of `--also`, and without; times against a like container that "
        f"is not recorded. Medians of the ratios of {TURNS} turns, in rotating order."
    )
    return Table("Cost of --also", method, rows)


def _row(tree: Path, space: Path, name: str, arguments: list[str]) -> Row:
    say(f"also: {name}")
    lines = {
        also: recorded(tree, space / "also.trace", "loops", *arguments, also=also) for also in ALSO
    }
    lines["not"] = unrecorded(tree, "loops", *arguments)
    lines["itself"] = lines["not"]
    taken = turns(TURNS, {key: functools.partial(loop, line) for key, line in lines.items()})
    told = [
        f"{f'`{also}`' if also else 'without'} {ratio(taken[also], taken['not']):.3f}"
        for also in ALSO
    ]
    itself = f"against itself {ratio(taken['itself'], taken['not']):.3f}"
    base = f"not recorded {statistics.median(taken['not']):,.0f} ns"
    return Row(f"{name} in a loop", "", f"{', '.join(told)} times; {itself}; {base}", None)
