"""The tests of a program of the study, as a repair runs them: ask, and compare with the original.

``study_client.py NAME EXPECTED`` asks everything that the program is asked, each check in a phase
of its own, and fails where an answer is not the one in the file EXPECTED.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from subprocess import TimeoutExpired

sys.path.insert(0, str(Path(__file__).resolve().parent))

from study_programs import PROGRAMS, Check, Program

from paredown_agent.marks import running_recordings
from server import Server

_LONGEST = 100  # characters of a check's name


def ask(
    checks: Sequence[Check],
    running: Server,
    program: Program,
    mark: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[str, object]]:
    """Ask in order; yield the name of each check and the answer."""
    for number, check in enumerate(checks):
        name = f"{number}: {check}"[:_LONGEST].replace("\n", " ")
        mark(name)
        yield name, _answer(check, running, program.application.source)


def all_of(program: Program) -> tuple[Check, ...]:
    """Return everything that a program is asked."""
    return (*program.training, *program.judging)


def _answer(check: Check, running: Server, source: Path) -> object:
    try:
        return check.answer(running, source)
    except AssertionError as error:
        return str(error)  # what a client complained of
    except (OSError, HTTPException, TimeoutExpired) as error:
        return type(error).__name__


def _main(name: str, file: Path) -> int:
    program = next(each for each in PROGRAMS if each.application.name == name)
    expected = pickle.loads(file.read_bytes())
    network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    running = Server(os.getpid(), network, program.application.port)
    failed = False
    with Path(os.environ["PAREDOWN_RESULTS"]).open("a") as results:
        for title, answer in ask(all_of(program), running, program, _marker()):
            same = answer == expected[title]
            failed = failed or not same
            results.write(f"{'passed' if same else 'failed'} {title}\n")
    running.close()
    return int(failed)


def _marker() -> Callable[[str], None]:
    trace = os.environ["PAREDOWN_TRACE"]
    return next(each.mark for each in running_recordings()[0] if each.output == trace)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], Path(sys.argv[2])))
