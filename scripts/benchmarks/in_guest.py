"""Run in a guest whose clock counts instructions (kernels.py): writes /results/loops.json.

in_guest.py TURNS RECORDER…: each loop unrecorded and with each recorder, as often as TURNS says.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

LOOPS = {
    "open and close": ("open", "/etc/debian_version", "20000"),
    "getppid": ("getppid", "400000"),
    "fork and exec": ("fork", "/usr/bin/loops", "300"),
}
TREE = Path("/tree")  # on the guest's ext4


def main(turns: str, *recorders: str) -> None:
    """Measure."""
    for name in ("dev", "proc", "sys", "tmp", "etc", "usr/bin"):
        (TREE / name).mkdir(parents=True)
    for name in ("passwd", "group", "debian_version"):
        shutil.copy(f"/etc/{name}", TREE / "etc" / name)
    shutil.copy("cache/loops", TREE / "usr/bin/loops")
    taken: dict[str, dict[str, list[float]]] = {}
    known = _loop(["cache/loops", "count", "100000"])
    for _ in range(int(turns)):
        for what, arguments in LOOPS.items():
            for recorder in ("", *recorders):
                command = [*_command(recorder), "/usr/bin/loops", *arguments]
                taken.setdefault(what, {}).setdefault(recorder, []).append(_loop(command))
                print(what, recorder, taken[what][recorder], flush=True)
    Path("/results/loops.json").write_text(json.dumps({"known": known, "loops": taken}))


def _command(recorder: str) -> list[str]:
    if not recorder:
        return [sys.executable, "scripts/benchmarks/unrecorded.py", str(TREE)]
    options = ["--recorder", recorder, "--force", "-o", "/tmp/loops.trace"]
    return ["paredown-agent", "record", *options, "--rootfs", str(TREE), "--"]


def _loop(command: list[str]) -> float:
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(result.stdout.split()[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
