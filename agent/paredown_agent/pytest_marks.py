"""A plugin of pytest: marks each test in a running recording (-p paredown_agent.pytest_marks).

A phase has the test's node id. What becomes of each goes to the file that PAREDOWN_RESULTS names,
as ``paredown verify`` reads it. Without a recording nothing happens.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from paredown_agent.marks import MAX_NAME, RunningRecording, running_recordings
from paredown_schemas.names import decode_name, encode_name

if TYPE_CHECKING:
    import pytest

_PASSED = frozenset({"passed", "skipped"})


class _Marks:
    """The recording that this run of pytest marks, and the test that goes on."""

    def __init__(self) -> None:
        told = os.environ.get("PAREDOWN_TRACE")
        trace = None if told is None else os.path.realpath(told)
        found = [each for each in running_recordings()[0] if trace in (None, each.output)]
        self._recording: RunningRecording | None = found[0] if len(found) == 1 else None
        self._results = os.environ.get("PAREDOWN_RESULTS")
        self._failed = False

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Begin the test's phase."""
        self._failed = False
        if self._recording is not None:
            self._recording.mark(_name(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the set-up's, the call's and the tear-down's end."""
        self._failed |= report.outcome not in _PASSED

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Tell what became of the test."""
        if self._results is not None:
            with open(self._results, "a", encoding="utf-8", errors="surrogateescape") as results:
                results.write(f"{'failed' if self._failed else 'passed'} {_name(nodeid)}\n")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to mark; in the process that runs tests, or with xdist in the one that leads them."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Marks(), "paredown-marks")


def _name(nodeid: str) -> str:
    """Return the node id as a mark may be named: of a long one the end tells more."""
    return decode_name(encode_name(nodeid.replace("\n", " "))[-MAX_NAME:])
