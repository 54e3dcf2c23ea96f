"""The tests of recorders pass on Debian's kernels, with every recorder that these allow."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import NoReturn, Protocol
from xml.etree import ElementTree as ET

import pytest

import guest
from paredown_agent.recorder.registry import RECORDERS

_ALL_BUT_BCC = ("ebpf-trampolines", "fanotify", "ebpf-tracepoints")
_TOLD, _WIDTH = 60, 300  # lines of a failure, and characters of each
_COLOUR = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")
# What depends on the kernel, and takes no compiler: the rest of them says no more here.
_TESTS = {
    "container": ("each_path_is_told_once_by_program_and_use",),
    "completeness": ("records_what_strace_sees",),
    "sessions": (
        "what_comes_from_outside_hides_nothing",
        "reading_a_program_does_not_hide_running_it",
        "adopts_what_runs_already",
        "counts_pids_as_the_agent_does",
    ),
    "traps": (
        "each_use_is_told_once_and_by_its_name_in_the_overlay",
        "programs_without_a_name_in_the_image",
        "what_a_container_opens_again_is_its_own",
        "a_full_table_of_processes_is_told_of",
        "a_leased_file_holds_up_nobody",
    ),
    "loss": (
        "tells_of_loss_and_goes_on",
        "tells_of_events_that_no_descriptor_was_left_for",
        "a_path_too_long_to_print_is_told_of",
    ),
    "ways": ("way", "way_before_attaching"),
}
# BCC compiles for every recorder that is opened, which takes a guest a minute.
_WITH_BCC = ("each_path_is_told_once_by_program_and_use",)
_OF_FANOTIFY = {
    "test_a_leased_file_holds_up_nobody",
    "test_tells_of_events_that_no_descriptor_was_left_for",
}
# Of doctor's: what is not about the kernel.
_PROGRAMS = {"runc", "docker", "podman", "ctr", "crictl"}


@dataclasses.dataclass(frozen=True)
class Kernel:
    """The recorders that must work on a kernel, and what doctor says that it lacks beside others.

    docs/recording.md says the same. All ways of using a file take a guest minutes: they are tried
    with one recorder, if with any.
    """

    ways: str = ""
    recorders: tuple[str, ...] = _ALL_BUT_BCC
    lacks: tuple[str, ...] = ()


# bcc needs the kernel's headers, which come with one of them.
# Those that take longest are first, so that none is left alone in the end.
KERNELS = {
    "newest": Kernel("ebpf-trampolines"),
    "6.1": Kernel("", (*_ALL_BUT_BCC, "bcc"), lacks=("fanotify errors of events",)),
    "5.10": Kernel(lacks=("fanotify errors of events",)),
    "6.12": Kernel(),
}


def arguments(kernel: str) -> list[str]:
    """Return what pytest is to run in a guest."""
    with_bcc = " or ".join(_WITH_BCC)
    ways = KERNELS[kernel].ways
    return [
        *(
            "-k",
            f"test_ways and ({ways or 'nothing'}) or not test_ways and (not bcc or {with_bcc})",
        ),
        *(f"tests/kernel/test_{file}.py::test_{name}" for file in _TESTS for name in _TESTS[file]),
    ]


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

    @property
    def test(self) -> str:
        """Return the name of its function."""
        return self.name.rpartition("::")[2].partition("[")[0]


def cases(report: Path) -> list[Case]:
    """Read what pytest wrote."""
    return [_case(element) for element in ET.parse(report).iter("testcase")]


def _case(element: ET.Element) -> Case:
    parts = {part.tag: part for part in element}
    ended = next((tag for tag in ("failure", "error", "skipped") if tag in parts), "passed")
    said = f"{parts[ended].get('message')}\n{parts[ended].text}" if ended in parts else ""
    return Case(f"{element.get('classname')}::{element.get('name')}", ended, said)


@pytest.mark.parametrize("kernel", KERNELS)
def test_recorders_work_on(kernel: str, guests: Guests) -> None:
    outcome = guests.outcome(kernel)
    report = outcome.results / "junit.xml"
    if not report.exists():
        fail(kernel, outcome, "no end was reached:", _COLOUR.sub("", outcome.console))
    ran = cases(report)
    wrong = [case for case in ran if case.ended != "passed" and not may_skip(case)]
    if wrong:
        room = max(_TOLD // len(wrong), 5)
        told = "\n\n".join(f"{case.ended}: {case.name}\n{tail(case.said, room)}" for case in wrong)
        fail(kernel, outcome, f"{len(wrong)} of {len(ran)} tests went wrong:", told)
    for recorder in KERNELS[kernel].recorders:
        assert {case.test for case in ran if case.recorder == recorder} == expected(
            kernel, recorder
        )
    assert {case.test for case in ran if case.recorder is None} == _OF_FANOTIFY


def fail(kernel: str, outcome: guest.Outcome, what: str, told: str) -> NoReturn:
    """Fail with a text that the end of CI's output has room for: lines of what it was last."""
    load = outcome.results / "load"
    inside = load.read_text("ascii").strip() if load.exists() else "unknown"
    outside = " ".join(f"{each:.1f}" for each in os.getloadavg())
    head = f"{kernel}: {what}\nafter {outcome.took:.0f} s; load inside {inside}, outside {outside}"
    pytest.fail(f"{head}\n{tail(told, _TOLD)}", pytrace=False)


def tail(text: str, lines: int) -> str:
    """Return the last lines, none of them long."""
    return "\n".join(line[:_WIDTH] for line in text.rstrip().split("\n")[-lines:])


def expected(kernel: str, recorder: str) -> set[str]:
    """Return the tests that a recorder must have run."""
    ways = {f"test_{name}" for name in _TESTS["ways"]}
    others = {f"test_{name}" for names in _TESTS.values() for name in names} - ways - _OF_FANOTIFY
    mine = {f"test_{name}" for name in _WITH_BCC} if recorder == "bcc" else others
    return mine | (ways if recorder == KERNELS[kernel].ways else set())


def may_skip(case: Case) -> bool:
    """Say whether a guest may skip it: a way that its kernel does not have."""
    return case.ended == "skipped" and "from Linux" in case.said


@pytest.mark.parametrize("kernel", KERNELS)
def test_doctor_says_what_is_missing_on(kernel: str, guests: Guests) -> None:
    outcome = guests.outcome(kernel)
    checks = json.loads((outcome.results / "doctor.json").read_text())["checks"]
    lacks = {check["name"] for check in checks if not check["works"]} - _PROGRAMS
    others = {f"recorder {name}" for name in RECORDERS if name not in KERNELS[kernel].recorders}
    assert lacks == others.union(KERNELS[kernel].lacks)
