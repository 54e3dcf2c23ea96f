"""Run in a guest whose clock counts instructions (instructions.py): writes /results/loads.json.

loads_in_guest.py TURNS RECORDER…: each of loads.py's loads and a parallel compile, unrecorded and
with each recorder. The first turn warms up.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

from loads import (
    LOADS,
    Load,
    compile_command,
    compile_times,
    process_time,
    recorded,
    serving,
    unrecorded,
)

import rootfs

TRACE = Path("/tmp/loads.trace")
FILES = 8


def main(turns: str, *recorders: str) -> None:
    """Measure."""
    taken: dict[str, dict[str, dict[str, object]]] = {}
    measures = {what.name: (what.unit, partial(_load, what)) for what in LOADS}
    measures["parallel compile"] = ("C file", _compile)
    for name, (unit, measure) in measures.items():
        # Whatever runs first reads the disk: the last recorder, the tracepoints, which has no bar.
        for recorder in (recorders[-1], "", *recorders[:-1]):
            figures = {"unit": unit, **measure(recorder, int(turns))}
            taken.setdefault(name, {})[recorder] = figures
            print(name, recorder, figures, flush=True)
    Path("/results/loads.json").write_text(json.dumps(taken))


def _load(what: Load, recorder: str, turns: int) -> dict[str, object]:
    command = _command(recorder, what.application.source, *what.application.command)
    with serving(what, command) as loaded:
        work = [loaded.work() for _ in range(1 + turns)]
        return {"first": loaded.first, "work": work[1:], "agent": loaded.agent[1:]}


def _compile(recorder: str, turns: int) -> dict[str, object]:
    """All turns run in one container: what the first one uses is known to the others."""
    command = _command(recorder, rootfs.cached("compiler"), *compile_command(FILES, 1 + turns))
    work, agent = [], []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            work += compile_times(line)
            agent.append(process_time(process.pid))
    assert len(work) == len(agent) == 1 + turns, "the compile failed"
    more = [after - before for before, after in itertools.pairwise(agent)]
    return {
        "first": work[0],
        "work": [turn / FILES for turn in work[1:]],
        "agent": [turn / FILES for turn in more],
    }


def _command(recorder: str, tree: Path, *command: str) -> list[str]:
    if not recorder:
        return unrecorded(tree, *command)
    return recorded(tree, TRACE, *command, recorder=recorder)


if __name__ == "__main__":
    main(*sys.argv[1:])
