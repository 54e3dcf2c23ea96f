"""Many runs of one application, as a recorder would write them: other files in each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from paredown_minimizer.image.directory import open_directory
from paredown_schemas.trace import File
from traces import trace_records, use, write_trace

_PROGRAMS = 12
_MILLISECOND = 1_000_000


def make_traces(tree: Path, space: Path, runs: int, files: int, pool: int) -> list[Path]:
    """Write a trace for each run, which uses ``files`` of the first ``pool`` files of ``tree``."""
    image = open_directory(str(tree))
    image.close()
    entries = [(path, e) for path, e in image.tree.items() if e.type == "file"][:pool]
    uses = [
        use(path, how=_how(path), size=entry.size, mtime=entry.mtime_ns, inode=number)
        for number, (path, entry) in enumerate(entries)
    ]
    rng = random.Random(1)
    return [
        _write(space / f"{number}.trace", image.identity, number, rng.sample(uses, files))
        for number in range(runs)
    ]


def _write(path: Path, identity: str, number: int, uses: Sequence[File]) -> Path:
    files: list[str | File] = []
    for order, one in enumerate(uses):
        # A program of each path's own, and another one now and then.
        program = (len(one.path) + (order % 10 == 0)) % _PROGRAMS
        fields = {name: getattr(one, name) for name in ("how", "size", "mtime", "inode")}
        time = order * _MILLISECOND
        files.append(use(one.path, exe=f"/usr/bin/{program}", device=9, time=time, **fields))
    records = trace_records(
        files, run=f"{number:016x}", start=number, identity=identity, scenario=f"load {number % 5}"
    )
    return write_trace(path, records)


def _how(path: str) -> str:
    if path.startswith(("/usr/bin/", "/usr/sbin/")):
        return "exec"
    return "library" if ".so" in path else "read"
