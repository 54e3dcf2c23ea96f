"""Make the tables and write them into docs/benchmarks.md; named ones only, if any are named."""

from __future__ import annotations

import os
import platform
import re
import sys
import time

import also
import cost
import gains
import heldout
import images
import instructions
import kernels
import proof
import repair
import runs
import scale
import speed
import strain
import study
from harness import ROOT, workspace

TABLES = {
    "gains": gains.measure,
    "study": study.measure,
    "repair": repair.measure,
    "images": images.measure,
    "cost": cost.measure,
    "also": also.measure,
    "strain": strain.measure,
    "kernels": kernels.measure,
    "instructions": instructions.measure,
    "speed": speed.measure,
    "scale": scale.measure,
    "runs": runs.measure,
    "heldout": heldout.measure,
    "proof": proof.measure,
}
PAGE = ROOT / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Made by `scripts/bench`; do not edit. A bar that does not hold is shown as such.
"""


def main(names: list[str]) -> int:
    """Return the exit status."""
    if unknown := [name for name in names if name not in TABLES]:
        print(f"unknown table {unknown[0]}: one of {', '.join(TABLES)}", file=sys.stderr)
        return 2
    parts = _parts()
    for name in names or TABLES:
        with workspace() as space:
            table = TABLES[name](space)
        host = f"{platform.release()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}"
        parts[name] = f"<!-- {name} -->\n\n{table.markdown()}\nKernel {host}.\n"
        PAGE.write_text("\n".join([HEAD, *(parts[key] for key in TABLES if key in parts)]))
        print(table.markdown())
    return 0


def _parts() -> dict[str, str]:
    """Return the tables that the page has already, so that one can be made anew alone."""
    text = PAGE.read_text() if PAGE.exists() else ""
    found = re.split(r"<!-- (\w+) -->\n", text)[1:]
    return {
        name: f"<!-- {name} -->\n{body.rstrip()}\n"
        for name, body in zip(found[::2], found[1::2], strict=True)
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
