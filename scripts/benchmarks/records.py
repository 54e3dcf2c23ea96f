"""How long so many OSV records take: records.py DIRECTORY [COUNT].

The records of a real directory stand there again and again, under other directories; the plan has
100 packages of their names, each older than all that fixes it.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from paredown_minimizer.cves.compare import compare
from paredown_schemas.plan import Distribution, PackageDecision
from plans import example_plan

_PACKAGES = 100


def main(records: Path, count: int) -> None:
    """Print the seconds, and what was found."""
    files = sorted(records.rglob("*.json"))
    named = {
        affected["package"]["name"]: affected["package"]["ecosystem"]
        for file in files
        for affected in json.loads(file.read_text())["affected"]
    }
    names = sorted(name for name, ecosystem in named.items() if ecosystem == "AlmaLinux:9")
    packages = tuple(
        PackageDecision(name, "x86_64", "0-1", "rpm", "keep", 1, 1, 1, 1)
        for name in names[:: max(1, len(names) // _PACKAGES)][:_PACKAGES]
    )
    plan = example_plan(packages=packages, distribution=Distribution("almalinux", "9.3"))
    with tempfile.TemporaryDirectory(dir=records.parent) as space:
        for number in range(count):
            file = files[number % len(files)]
            place = Path(space, str(number // len(files)))
            place.mkdir(exist_ok=True)
            os.link(file, place / file.name)
        gc.disable()  # as the command does
        start = time.perf_counter(), time.process_time()
        cves = compare(plan, [], [], Path(space))
        wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    print(
        f"{count:,} records, {len(packages)} packages: {wall:.1f} s, {cpu:.1f} s of CPU time, "
        f"{len(cves.findings):,} findings"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200_000)
