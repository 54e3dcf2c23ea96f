"""Trained on too little load, then repaired: rounds, runs, time, and what more than needed is back.

The smallest set that works is found here by other means than the repair's: files are taken away
from what it restored, one after the other, as long as all tests pass.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from harness import ROOT, Row, Table, say
from study_client import all_of, ask
from study_programs import PROGRAMS, Program

import server
from applications import AGENT, PAREDOWN, run
from paredown_minimizer.keep import removed_paths
from paredown_schemas.plan import read_plan
from paredown_schemas.verification import Verification, read_verification

# What trains those that the study's short load leaves nothing to miss.
LESS = {
    "nginx": ("nginx", "-v"),
    "redis": ("redis-cli", "--version"),
}
# It is one distribution, which stays or comes back whole: no load leaves part of it to miss.
NOT_ASKED = "Python: Django"
BAR = 1.5
_NETWORK = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
_LICENCES = ("/usr/share/doc/", "/usr/share/common-licenses/")  # stay with whatever stays
_CLIENT = Path(__file__).resolve().with_name("study_client.py")


@dataclasses.dataclass(frozen=True)
class Restored:
    """Files that came back, and the bytes of them."""

    files: int
    bytes: int

    def __str__(self) -> str:
        """Say it as the table does."""
        return f"{self.files} files, {self.bytes / 1e3:,.0f} kB"


def measure(space: Path) -> Table:
    """Make the table."""
    rows: list[Row] = []
    for program in _chosen():
        say(f"repair: {program.application.name}")
        place = space / "program"
        place.mkdir()
        rows += _Repaired(program, place).rows()
        shutil.rmtree(place)
    return Table("Repair", _METHOD, rows)


_METHOD = (
    "Recorded with `paredown-agent record --rootfs` under too little load, planned at granularity "
    "`file`, and then `paredown verify --repair` with every check of the study as the tests, each "
    "of which fails where it is answered otherwise than by the original. The too little is the "
    "study's short load, or, where that leaves nothing to miss, `nginx -v` and `redis-cli "
    "--version`. Without *soft first* it begins on the slim image, and asks the original from the "
    "second round on. "
    "*Restored*: files that the repaired plan keeps and the first one does not, but directories, "
    "licences and package lists. *Smallest*: what is left of them when one after the other is "
    "taken away from the repaired tree, and then together those that the tests do without. Time is "
    "that of the whole command, on a machine that others use too. These were taken one by one, as "
    "`STUDY=ruby scripts/bench repair` does."
)


class _Repaired:
    """One program, trained, and what a repair makes of it."""

    def __init__(self, program: Program, place: Path) -> None:
        self._program = program
        self._place = place
        self._original = place / "original"
        self._first = place / "first.json"
        self._trace = place / "short.trace"
        program.make(self._original)
        self._train()
        with self._served(self._original) as running:
            self._expected = dict(ask(all_of(program), running, program))
        (place / "expected").write_bytes(pickle.dumps(self._expected))
        arguments = ("--trace", self._trace, "--granularity", "file", "-o", self._first)
        run(PAREDOWN, "plan", f"dir:{self._original}", *arguments)

    def rows(self) -> Iterator[Row]:
        """Repair in both ways."""
        name = self._program.application.name
        strict, seconds = self._repair()
        files = self._restored()
        smallest = self._smallest(files)
        back, least = self._weigh(files), self._weigh(smallest)
        ratios = (back.files / max(1, least.files), back.bytes / max(1, least.bytes))
        for path in sorted(set(files) - set(smallest)):
            say(f"  not needed: {path}")
        ways = ", ".join(f"{len(turn.pins)} by {turn.method}" for turn in strict.rounds[:-1])
        said = (
            f"{strict.outcome} in {len(strict.rounds)} rounds, "
            f"{sum(turn.runs for turn in strict.rounds)} runs, {seconds:.0f} s; pins: "
            f"{ways or 'none'}; restored {back}; smallest {least}; {ratios[0]:.2f} times its "
            f"files, {ratios[1]:.2f} times its bytes"
        )
        holds = strict.outcome == "passed" and max(ratios) <= BAR
        yield Row(name, f"green, at most {BAR} times the smallest", said, holds)
        soft, seconds = self._repair("--soft")
        pinned = sum(bool(turn.pins) for turn in soft.rounds)
        said = f"{soft.outcome} in {len(soft.rounds)} rounds, {seconds:.0f} s; "
        said += f"restored {self._weigh(self._restored())}"
        holds = soft.outcome == "passed" and pinned == 1
        yield Row(f"{name}, soft first", "all pins in one round", said, holds)

    def _train(self) -> None:
        name = self._program.application.name
        if name in LESS:
            record = (AGENT, "record", "--rootfs", self._original, "-o", self._trace)
            run(*record, "--also", "exists", "--", *LESS[name])
            return
        with self._served(self._original, self._trace, "--also", "exists") as running:
            for _ in ask(self._program.training, running, self._program):
                pass

    @contextlib.contextmanager
    def _served(
        self, tree: Path, trace: Path | None = None, *options: str
    ) -> Iterator[server.Server]:
        application = self._program.application
        output = trace or self._place / "served.trace"
        command = [AGENT, "record", "--rootfs", str(tree), "-o", str(output), "--force", *options]
        line = [*command, "--", *application.command]
        with server.serve(line, application.port, log=output.with_suffix(".log")) as running:
            yield running

    def _repair(self, *options: str) -> tuple[Verification, float]:
        place, application = self._place, self._program.application
        plan, policy, output = (place / name for name in ("plan.json", "policy.yaml", "result"))
        policy.unlink(missing_ok=True)
        shutil.copyfile(self._first, plan)
        line = [PAREDOWN, "verify", plan, "--rootfs", place / "slim", "--repair", *options]
        line += ["--run", shlex.join(application.command), "-o", output, "--force"]
        line += ["--ready", f"bash -c ': </dev/tcp/127.0.0.1/{application.port}' 2>/dev/null"]
        line += ["--policy", policy, "--source", f"dir:{self._original}", "--trace", self._trace]
        line += ["--", sys.executable, _CLIENT, application.name, place / "expected"]
        path = os.pathsep.join((str(ROOT / "tests" / "helpers"), os.environ.get("PYTHONPATH", "")))
        began = time.perf_counter()
        with (place / "output").open("w") as said:
            subprocess.run(
                [*_NETWORK, *map(str, line)],
                check=False,
                stdout=said,
                stderr=None,
                env={**os.environ, "PYTHONPATH": path},
            )
        return read_verification(output), time.perf_counter() - began

    def _restored(self) -> list[str]:
        """Return the files that came back."""
        before, after = (
            removed_paths(read_plan(path)) for path in (self._first, self._place / "plan.json")
        )
        found = (path for path in before - after if not path.startswith(_LICENCES))
        return sorted(path for path in found if not self._at(self._original, path).is_dir())

    @staticmethod
    def _at(tree: Path, path: str) -> Path:
        return tree / path.lstrip("/")

    def _weigh(self, files: Sequence[str]) -> Restored:
        sizes = (self._at(self._original, path).lstat().st_size for path in files)
        return Restored(len(files), sum(sizes))

    def _smallest(self, files: Sequence[str]) -> list[str]:
        """Return what is left when all is taken away that the tests do without."""
        idle = [path for path in files if self._passes_with(set(files) - {path}, files)]
        needed = set(files)

        def narrow(part: Sequence[str]) -> None:
            if part and self._passes_with(needed - set(part), files):
                needed.difference_update(part)
            elif len(part) > 1:
                narrow(part[: len(part) // 2])
                narrow(part[len(part) // 2 :])

        narrow(idle)
        return sorted(needed)

    def _passes_with(self, files: AbstractSet[str], of: Sequence[str]) -> bool:
        """Run the tests in the repaired tree without those ``of`` it that are not in ``files``."""
        tree, aside = self._place / "slim", self._place / "aside"
        gone = [path for path in of if path not in files]
        shutil.rmtree(aside, ignore_errors=True)
        for path in gone:
            place = self._at(aside, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            self._at(tree, path).rename(place)
        try:
            with self._served(tree) as running:
                answers = ask(all_of(self._program), running, self._program)
                return all(answer == self._expected[name] for name, answer in answers)
        except AssertionError:
            return False  # it does not start
        finally:
            for path in gone:
                self._at(aside, path).rename(self._at(tree, path))


def _chosen() -> list[Program]:
    """Return the programs that STUDY names, or all."""
    names = os.environ.get("STUDY", "").lower().split()
    chosen = {p.application.name.lower(): p for p in PROGRAMS if p.application.name != NOT_ASKED}
    return [p for name, p in chosen.items() if not names or any(n in name for n in names)]
