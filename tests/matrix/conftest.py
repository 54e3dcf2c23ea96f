"""The guests start when the tests do, beside them at low priority, and are asked for in the end."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import guest
import ways_tree

_TIME = 1800  # seconds for a guest, on a machine that does much else
# At one real-time priority no process of the tests comes in between of another. Else, on a kernel
# that preempts itself, whoever is in the midst of a BPF program when a busy host lets its emulated
# processor stand still is preempted at the next tick: what the kernel skips meanwhile is told as
# loss, rightly, and tests that nothing is lost fail.
_COMMAND = (
    "paredown-agent doctor --json >/results/doctor.json;"
    " exec chrt --fifo 1 python3 -m pytest -p no:cacheprovider -m 'not load' -v --durations=25"
    ' --junitxml=/results/junit.xml "$@"'
)


class Guests:
    """Guests that run the tests of recorders, two at a time."""

    def __init__(self) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="paredown-guests-"))
        self._pool = concurrent.futures.ThreadPoolExecutor(2)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._outcomes: dict[str, concurrent.futures.Future[guest.Outcome]] = {}

    def start(self, kernel: str, recorders: Sequence[str], tests: Sequence[str]) -> None:
        """Run tests on a kernel on which these recorders must work, unless it has begun."""
        if kernel not in self._outcomes:
            self._outcomes[kernel] = self._pool.submit(self._run, kernel, recorders, tests)

    def outcome(self, kernel: str) -> guest.Outcome:
        """Wait for a guest's end."""
        return self._outcomes[kernel].result()

    def stop(self) -> None:
        """End what still runs."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in self._running:
            process.kill()
        self._pool.shutdown()
        shutil.rmtree(self._place)

    def _run(self, kernel: str, recorders: Sequence[str], tests: Sequence[str]) -> guest.Outcome:
        """Emulated processors crash now and then: such a guest is started again, once.

        What a test in it said stands: a guest that reached its end is not.
        """
        ways_tree.programs()  # there is no compiler in the guest
        outcome = self._boot(kernel, recorders, tests, "first")
        if outcome.status is None and outcome.took < _TIME:
            last = outcome.console.rstrip().split("\n")[-20:]
            _AGAIN.append("\n".join([f"{kernel}, after {outcome.took:.0f} s:", *last]))
            outcome = self._boot(kernel, recorders, tests, "second")
        return outcome

    def _boot(
        self, kernel: str, recorders: Sequence[str], tests: Sequence[str], name: str
    ) -> guest.Outcome:
        place = self._place / kernel / name
        place.mkdir(parents=True)
        return guest.run(
            kernel,
            ["sh", "-c", _COMMAND, "sh", *tests],
            place,
            env={
                "PAREDOWN_RECORDERS": " ".join(recorders),
                "PAREDOWN_REQUIRE": "all",
                "PAREDOWN_PATIENCE": "5",
            },
            timeout=_TIME,
            started=self._running.add,
        )


_GUESTS: list[Guests] = []
_AGAIN: list[str] = []  # what is to be said of guests that were started twice


def _kernels(items: list[pytest.Item]) -> list[tuple[pytest.Function, str]]:
    return [
        (item, str(item.callspec.params["kernel"]))
        for item in items
        if isinstance(item, pytest.Function) and "guests" in item.fixturenames
    ]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the guests' tests last."""
    last = {id(item) for item, _ in _kernels(items)}
    items.sort(key=lambda item: id(item) in last)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the guests that are asked for, where that is possible."""
    wanted = _kernels(session.items)
    if not wanted or session.config.option.collectonly or missing():
        return
    guests = Guests()
    _GUESTS.append(guests)
    for item, kernel in wanted:
        guests.start(kernel, item.module.KERNELS[kernel].recorders, item.module.arguments(kernel))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell of guests that were started twice."""
    for text in _AGAIN:
        terminalreporter.section("a guest did not reach its end, and was started again")
        terminalreporter.write_line(text)


def pytest_sessionfinish() -> None:
    """End them, should somebody have interrupted the tests."""
    for guests in _GUESTS:
        guests.stop()
    _GUESTS.clear()


def missing() -> str:
    """Say what guests lack here; nothing if they can run."""
    if os.geteuid() != 0:
        return "the root filesystem of a guest takes root"
    commands = ("qemu-system-x86_64", "mmdebstrap", "mke2fs", "depmod")
    return ", ".join(name for name in commands if shutil.which(name) is None)


@pytest.fixture
def guests() -> Guests:
    """The guests that were started."""
    if not _GUESTS:
        why = f"there are no guests: missing is {missing()}"
        (pytest.fail if os.environ.get("PAREDOWN_REQUIRE") == "all" else pytest.skip)(why)
    return _GUESTS[0]
