"""The tests of recorders pass on Debian's kernels, with every recorder that these allow."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from xml.etree import ElementTree as ET

import pytest

import guest
from paredown_agent.recorder.registry import RECORDERS

_ALL_BUT_BCC = ("ebpf-trampolines", "fanotify", "ebpf-tracepoints")
_COLOUR = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


@dataclasses.dataclass(frozen=True)
class Kernel:
    """The recorders that must work on a kernel; docs/recording.md says what it lacks."""

    recorders: tuple[str, ...] = _ALL_BUT_BCC
    lacks: tuple[str, ...] = ()  # what a skipped test may say


# bcc needs the kernel's headers, which come with one of them.
KERNELS = {
    "5.10": Kernel(lacks=("executed by its descriptor",)),
    "6.1": Kernel((*_ALL_BUT_BCC, "bcc")),
    "6.12": Kernel(),
    "newest": Kernel(),
}


class Guests(Protocol):
    """See conftest.py."""

    def outcome(self, kernel: str) -> guest.Outcome: ...


@dataclasses.dataclass(frozen=True)
class Case:
    """A test that ran in a guest: ``ended`` is passed, failed, error or skipped."""

    name: str
    ended: str
    said: str

    @property
    def recorder(self) -> str | None:
        """Return the recorder that it was about, if it was about one."""
        found = re.search(r"\[(.*)\]", self.name)
        parameters = f"-{found[1]}-" if found else ""
        return next((name for name in RECORDERS if f"-{name}-" in parameters), None)


def cases(report: Path) -> Iterator[Case]:
    """Read what pytest wrote."""
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        parts = {part.tag: part for part in case}
        ended = next((tag for tag in ("failure", "error", "skipped") if tag in parts), "passed")
        said = f"{parts[ended].get('message')}\n{parts[ended].text}" if ended in parts else ""
        yield Case(name, ended, said)


@pytest.mark.parametrize("kernel", KERNELS)
def test_recorders_work_on(kernel: str, guests: Guests) -> None:
    outcome = guests.outcome(kernel)
    report = outcome.results / "junit.xml"
    assert report.exists(), f"no end was reached: {_COLOUR.sub('', outcome.console)[-8000:]}"
    ran = list(cases(report))
    wrong = [case for case in ran if case.ended in ("failure", "error")]
    wrong += [case for case in ran if case.ended == "skipped" and not may_skip(case, kernel)]
    told = "\n\n".join(f"{case.ended}: {case.name}\n{case.said[-3000:]}" for case in wrong)
    assert not wrong, f"{len(wrong)} of {len(ran)} tests on {kernel}:\n\n{told}"
    passed = [case.recorder for case in ran if case.ended == "passed"]
    for recorder in KERNELS[kernel].recorders:
        assert passed.count(recorder) >= 4, (recorder, len(ran))


def may_skip(case: Case, kernel: str) -> bool:
    """Say whether a guest may skip it: for a recorder that is not its kernel's, or a compiler."""
    if case.recorder is not None and case.recorder not in KERNELS[kernel].recorders:
        return True
    return any(lack in case.said for lack in ("clang", *KERNELS[kernel].lacks))
