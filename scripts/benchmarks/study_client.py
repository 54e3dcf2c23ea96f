"""The tests of a program of the study, as a repair runs them: ask, and compare with the original.

``study_client.py NAME EXPECTED`` asks everything that the program is asked, each check in a phase
of its own. Where there is no file EXPECTED it is written: what the original answers.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from subprocess import TimeoutExpired

sys.path.insert(0, str(Path(__file__).resolve().parent))

from study_programs import PROGRAMS, Check, Program

from paredown_agent.marks import running_recordings
from server import Server

_LONGEST = 100  # characters of a check's name


def named(name: str) -> Program:
    """Return the program of that name."""
    return next(each for each in PROGRAMS if each.application.name == name)


def main(name: str, file: Path) -> int:
    """Return 1 if a check is answered otherwise than by the original."""
    program = named(name)
    known = pickle.loads(file.read_bytes()) if file.exists() else None
    network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    running = Server(os.getpid(), network, program.application.port)
    mark = _marker()
    answers = {}
    for number, check in enumerate((*program.training, *program.judging)):
        title = f"{number}: {check}"[:_LONGEST].replace("\n", " ")
        mark(title)
        answers[title] = _answer(check, running, program.application.source)
        if known is not None:
            _tell(title, passed=answers[title] == known[title])
            if answers[title] != known[title] and "FAST" in os.environ:
                return 1
    running.close()
    if known is None:
        file.write_bytes(pickle.dumps(answers))
    return int(answers != (known or answers))


def _answer(check: Check, running: Server, source: Path) -> object:
    try:
        return check.answer(running, source)
    except AssertionError as error:
        return str(error)  # what a client complained of
    except (OSError, HTTPException, TimeoutExpired) as error:
        return type(error).__name__


def _marker() -> Callable[[str], None]:
    """Return what marks a phase in the recording of a trial, if this is one."""
    trace = os.environ.get("PAREDOWN_TRACE")
    for recording in running_recordings()[0] if trace else ():
        if recording.output == trace:
            return recording.mark
    return lambda _: None


def _tell(title: str, *, passed: bool) -> None:
    if results := os.environ.get("PAREDOWN_RESULTS"):
        with Path(results).open("a") as file:
            file.write(f"{'passed' if passed else 'failed'} {title}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
