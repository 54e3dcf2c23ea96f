"""``paredown plan``: what it writes, and the bad input that it refuses."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from decisions import make_tree
from fixture_types import MakeTrace
from paredown_minimizer.cli import main
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.runs import PlanRuns
from paredown_schemas.plan import read_plan
from traces import use

APP = use("/app/run", how="exec")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    make_tree(tmp_path / "tree", {"/app/run": "x", "/app/odd\n\x1b[31m": "x"})
    return tmp_path / "tree"


@pytest.fixture
def identity(tree: Path) -> str:
    image = open_directory(str(tree))
    image.close()
    return image.identity


def _plan(tree: Path, trace: Path, *options: str) -> int:
    return main(["plan", f"dir:{tree}", "--trace", str(trace), *options])


def test_plan_is_written_once(
    tree: Path, identity: str, make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = make_trace([APP], identity=identity, scenario="load")
    output = tree.parent / "plan.json"
    assert _plan(tree, trace, "-o", str(output)) == 0
    plan = read_plan(output)
    assert plan.image == identity
    assert PlanRuns(plan).scenarios(plan.evidence[0]) == ("load",)
    assert plan.traces[0].started == "2023-11-14T22:13:20Z"
    assert plan.traces[0].recorder == "fanotify"
    assert "Next: paredown diff" in capsys.readouterr().err
    assert _plan(tree, trace, "-o", str(output)) == 1  # nothing is overwritten
    assert _plan(tree, trace, "-o", str(output), "--force") == 0
    assert read_plan(output) == plan
    capsys.readouterr()
    assert _plan(tree, trace) == 0
    assert capsys.readouterr().out == output.read_text()


def test_missing_source_and_trace(tree: Path, make_trace: MakeTrace) -> None:
    assert _plan(tree / "nowhere", make_trace([APP])) == 1
    assert _plan(tree, tree / "nowhere.trace") == 1


def test_trace_of_another_image(
    tree: Path, make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _plan(tree, make_trace([APP], identity="dir-sha256:" + "0" * 64)) == 4
    assert "another image" in capsys.readouterr().err
    assert _plan(tree, make_trace([APP], platform="linux/other")) == 4


def test_trace_from_inside_is_compared_by_size_and_time(tree: Path, make_trace: MakeTrace) -> None:
    status = os.stat(tree / "app/run")
    same = dataclasses.replace(APP, size=status.st_size, mtime=status.st_mtime_ns // 10**9 * 10**9)
    assert _plan(tree, make_trace([same])) == 0
    assert _plan(tree, make_trace([dataclasses.replace(same, size=status.st_size + 1)])) == 4
    later = dataclasses.replace(same, mtime=status.st_mtime_ns + 10**9)
    assert _plan(tree, make_trace([later])) == 4
    # A configuration that was written while running tells nothing.
    assert _plan(tree, make_trace([dataclasses.replace(later, how="read")])) == 0


def test_partial_trace_must_be_accepted(
    tree: Path, identity: str, make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = make_trace([APP], identity=identity, reasons=("lost 3 events",))
    assert _plan(tree, trace) == 4
    error = capsys.readouterr().err
    assert "lost 3 events" in error
    assert "--accept-partial" in error
    assert _plan(tree, trace, "--accept-partial") == 0
    assert '"verdict": "partial"' in capsys.readouterr().out
    trace.write_bytes(trace.read_bytes()[:-5])
    assert _plan(tree, trace) == 4
    trace.write_bytes(b"no trace")
    assert _plan(tree, trace, "--accept-partial") == 4


def test_policy_mistake_is_one_line(
    tree: Path, identity: str, make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tree.parent / "policy.yaml"
    policy.write_text("version: 1\npins:\n- keep: x\n  reason: r\n")
    trace = make_trace([APP], identity=identity)
    assert _plan(tree, trace, "--policy", str(policy)) == 1
    assert "line 3" in capsys.readouterr().err


def test_hostile_names_never_reach_the_terminal(
    tree: Path, make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = dataclasses.replace(APP, path="/app/odd\n\x1b[31m", size=77)
    assert _plan(tree, make_trace([odd])) == 4
    error = capsys.readouterr().err
    assert "\\x0a\\x1b[31m" in error
    assert "\x1b" not in error
