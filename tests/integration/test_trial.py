"""Trials with real containers of the agent's own: what they tell, and what they leave: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from container_tools import processes, wait_for
from paredown_minimizer.trial import Launch, Suite, TestCommand, Trial, run_trial
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import File, Lookup

pytestmark = pytest.mark.usefixtures("recording")


def _tried(rootfs: Path, trace: Path, run: str, *tests: str, ready: str | None = None) -> Trial:
    commands = tuple(TestCommand(f"test-{number}", test) for number, test in enumerate(tests))
    suite = Suite(commands, ready=ready, seconds=2, ready_seconds=1)
    return run_trial(Launch("rootfs", run, str(rootfs)), suite, trace)


# Ends by SIGTERM: PID 1 has no default for it.
_SERVER = """sh -c 'trap "exit 0" TERM; while :; do sleep 0.1; done'"""


def test_tests_and_the_phases_that_they_mark(nginx_rootfs: Path, tmp_path: Path) -> None:
    trial = _tried(
        nginx_rootfs,
        tmp_path / "a.trace",
        _SERVER,
        'paredown-agent mark sub; echo failed sub >>"$PAREDOWN_RESULTS"',
        "no-such-program-here",
        "sleep 31415 & timeout 31416 sleep 31417",
    )
    assert [(case.name, case.outcome, case.status) for case in trial.cases] == [
        ("test-0", "passed", 0),
        ("sub", "failed", None),
        ("test-1", "failed", 127),
        ("test-2", "timed-out", None),
    ]
    assert trial.outcome == "timed-out"
    assert trial.why is not None
    assert "no-such-program-here: not found" in trial.why
    assert "test test-2 did not end within 2 s" in trial.why
    assert trial.run is not None
    assert trial.run.verdict == "complete"
    told = trial.run.records
    assert any(isinstance(r, File) and r.path == "/usr/bin/sleep" for r in told)
    assert any(isinstance(r, Lookup) and r.error == "ENOENT" for r in told)
    assert [processes(word) for word in ("31415", "31416", "31417")] == [[], [], []]


def test_without_tests_the_run_is_the_test(nginx_rootfs: Path, tmp_path: Path) -> None:
    good = _tried(nginx_rootfs, tmp_path / "a.trace", "sed --version")
    assert (good.outcome, good.why) == ("passed", None)
    bad = _tried(nginx_rootfs, tmp_path / "a.trace", "sh -c 'echo last words >&2; exit 5'")
    assert (bad.outcome, bad.why) == ("failed", "the container failed with status 5: last words")


def test_a_container_that_dies_fails_tests_that_pass(nginx_rootfs: Path, tmp_path: Path) -> None:
    run = "sh -c 'echo I die; sleep 1; exit 3'"
    trial = _tried(nginx_rootfs, tmp_path / "a.trace", run, "sleep 1.5")
    assert [case.outcome for case in trial.cases] == ["passed"]
    assert trial.outcome == "failed"
    assert trial.why == "the container ended meanwhile, with status 3: I die"


def test_what_never_starts_is_told_with_its_last_words(nginx_rootfs: Path, tmp_path: Path) -> None:
    trace = tmp_path / "a.trace"
    absent = _tried(nginx_rootfs, trace, "no-such-server", "true")
    assert (absent.outcome, absent.trace) == ("not-started", None)
    assert absent.why is not None
    assert "no-such-server" in absent.why
    dies = _tried(nginx_rootfs, trace, "sh -c 'echo I die; exit 3'", "true", ready="false")
    assert dies.outcome == "not-started"
    assert dies.why == "the container ended before it was ready, with status 3: I die"
    assert dies.trace == trace
    hangs = _tried(nginx_rootfs, trace, _SERVER, "true", ready="echo no answer; false")
    assert hangs.outcome == "not-started"
    assert hangs.why is not None
    assert hangs.why.endswith("not ready after 1 s: the ready command says: no answer")


def test_where_nothing_can_be_recorded_the_agent_says_why(tmp_path: Path) -> None:
    with pytest.raises(ParedownError, match=r"cannot run a container in .*: No such file"):
        _tried(tmp_path / "nowhere", tmp_path / "a.trace", "true")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_one_that_is_killed(
    number: int, nginx_rootfs: Path, tmp_path: Path
) -> None:
    script = """
import sys
from pathlib import Path
from paredown_minimizer.trial import Launch, Suite, TestCommand, run_trial
suite = Suite((TestCommand("long", "exec sleep 27182"),))
run_trial(Launch("rootfs", sys.argv[2], sys.argv[1]), suite, Path(sys.argv[3]))
"""
    run = _SERVER.replace("0.1", "0.027182")
    trace = tmp_path / "a.trace"
    trial = subprocess.Popen([sys.executable, "-c", script, nginx_rootfs, run, trace], stderr=-3)
    wait_for(lambda: processes("27182") or trial.poll() is not None)
    assert trial.poll() is None
    os.kill(trial.pid, number)
    assert trial.wait(30) != 0
    wait_for(lambda: not processes("27182") and not processes(str(trace)))
