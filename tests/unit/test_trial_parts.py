"""Parts of trials that need no container: what is refused, overrides, phases, exit codes."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from paredown_minimizer import cli
from paredown_minimizer.commands import verify
from paredown_minimizer.phases import STOP
from paredown_minimizer.trial import Launch, Suite, run_trial
from paredown_minimizer.trial.cases import with_phases
from paredown_minimizer.trial.compose import override_text
from paredown_minimizer.trial.processes import Interrupted, last_line
from paredown_schemas.errors import UsageError
from paredown_schemas.plan import dump_plan
from paredown_schemas.trace import Mark, Run, read_trace
from paredown_schemas.verification import Case
from plans import example_plan
from traces import trace_records, write_trace


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ("nginx {image}", "no docker run or podman run"),
        ("docker start {image}", "no docker run or podman run"),
        ("docker run --rm nginx", "it names no image"),
        ("docker run --cidfile=x {image}", "--cidfile is added here"),
        ("docker run 'x {image}", "no closing quotation"),
        (" ", "--run says no command"),
    ],
)
def test_a_start_that_cannot_be_meant_is_refused(run: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=why):
        run_trial(Launch("docker", run, "image:1"), Suite(), tmp_path / "a.trace")


def test_an_override_names_image_and_container_alone(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("version: '2.4'\nservices:\n  web: {image: old, build: .}\n  db: {image: db}\n")
    assert json.loads(override_text(file, "web", "new:1", "name")) == {
        "version": "2.4",
        "services": {"web": {"image": "new:1", "container_name": "name"}},
    }
    with pytest.raises(UsageError, match="has no such one") as refused:
        override_text(file, "wen", "new:1", "name")
    assert refused.value.hint == "it has: web, db"


def _run(space: Path, *marks: tuple[str, int]) -> Run:
    records = [Mark(name, time * 10**6) for name, time in marks]
    return read_trace(write_trace(space / "a.trace", trace_records(records=records))).runs[0]


def test_phases_stand_behind_the_command_that_they_are_of(tmp_path: Path) -> None:
    """A phase may have a later command's name, and a command no mark, as the recording ended."""
    results = tmp_path / "results"
    results.write_text("passed one\nfailed two words\nnonsense\n")
    commands = [Case(name, "passed", name) for name in ("a", "b", "c")]
    marks = [("a", 1), ("one", 2), ("two words", 5), ("b", 9), ("one", 10), (STOP, 12)]
    cases = with_phases(commands, _run(tmp_path, *marks), results)
    assert [(case.name, case.outcome, case.command, case.milliseconds) for case in cases] == [
        ("a", "passed", "a", None),
        ("one", "passed", None, 3),
        ("two words", "failed", None, 4),
        ("b", "passed", "b", None),
        ("one", "passed", None, 2),
        ("c", "passed", "c", None),
    ]
    assert with_phases(commands, None, tmp_path / "none") == tuple(commands)


def test_last_words_are_the_containers_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("I die \n\nRun 'docker run --help' for more\nRecorded 1 file. Wrote /a.trace.\n")
    assert last_line(log) == "I die"
    assert last_line(log, len("I die")) == ""
    assert last_line(tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "there is no image"),
        (["--image", "a"], "what starts the image is not said"),
        (["--image", "a", "--compose", "f"], "--service NAME is needed"),
    ],
)
def test_the_command_says_what_it_lacks(
    arguments: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(dump_plan(example_plan()))
    assert cli.main(["verify", str(plan), *arguments, "--", "--tests"]) == 2
    assert why in capsys.readouterr().err


def test_a_signal_has_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_arguments: Any) -> int:
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(verify, "run", interrupted)
    assert cli.main(["verify", "plan.json"]) == 128 + signal.SIGTERM
