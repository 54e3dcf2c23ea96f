"""The GitHub action and the GitLab template: their own lines are run, on a plan of plan's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from decisions import make_tree
from paredown_minimizer.cli import main
from paredown_schemas.cves import Cves, dump_cves
from paredown_schemas.plan import read_plan
from traces import trace_records, use, write_trace

ROOT = Path(__file__).resolve().parents[2]
GATE = ROOT / ".ci" / "gate"
POLICY = "version: 1\ngates:\n  partial_traces: forbid\n  max_files: {files}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a plan in it, under a name that a shell would take apart."""
    make_tree(tmp_path / "tree", {"/app/run": "x", "/app/$(touch odd)": "x"})
    trace = write_trace(tmp_path / "t.trace", trace_records([use("/app/run", how="exec")]))
    project = tmp_path / "a project"
    project.mkdir()
    plan = ["plan", f"dir:{tmp_path / 'tree'}", "--trace", str(trace)]
    assert main([*plan, "-o", str(project / "$(touch odd) plan.json")]) == 0
    return project


def _documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((GATE / name).read_text()))


def _filled(value: str, inputs: Mapping[str, str], marks: str) -> str:
    return re.sub(marks, lambda match: inputs[match[1]], value)


def _run(shell: list[str], lines: str, project: Path, env: Mapping[str, str]) -> tuple[int, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [*shell, lines],
        cwd=project,
        env={"PATH": path, "PYTHONPATH": os.pathsep.join(sys.path), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _github(project: Path, name: str, inputs: Mapping[str, str], **env: str) -> tuple[int, str]:
    """Run one step of the action as GitHub's runner does (docs: shell bash)."""
    (action,) = _documents("action.yml")
    given = {key: each["default"] for key, each in action["inputs"].items()} | dict(inputs)
    (step,) = (step for step in action["runs"]["steps"] if step["name"] == name)
    assert step["shell"] == "bash"
    assert "${{" not in step["run"]  # what an input holds is never part of a script
    runner = {
        "RUNNER_TEMP": str(project.parent),
        "GITHUB_STEP_SUMMARY": str(project / "summary.md"),
        "GITHUB_PATH": str(project / "path"),
        "GITHUB_ACTION_PATH": str(GATE),
        "GITHUB_WORKSPACE": str(project),
    }
    own = {k: _filled(v, given, r"\$\{\{ inputs\.(\w+) \}\}") for k, v in step["env"].items()}
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
    return _run(shell, step["run"], project, {**runner, **own, **env})


PLAN = "$(touch odd) plan.json"


def test_the_action_reviews_and_gates(project: Path) -> None:
    inputs = {"plan": PLAN, "policy": "policy.yaml"}
    assert _github(project, "Install Paredown", inputs) == (0, "")  # it is there
    assert not (project / "path").exists()
    code, output = _github(project, "Review the plan", inputs)
    assert (code, output) == (0, "")
    assert (project / "summary.md").read_text().startswith("### Paredown removes")
    for files, expected in ((2, 0), (1, 3)):
        (project / "policy.yaml").write_text(POLICY.format(files=files))
        code, output = _github(project, "Gate", inputs)
        assert code == expected, output
        assert ("\n::error file=policy.yaml,line=4,title=" in output) is bool(expected)
    assert not (project / "odd").exists()


def test_the_action_gates_on_cves(project: Path) -> None:
    plan = read_plan(project / PLAN)
    name = "$(touch odd) cves.json"
    (project / name).write_text(dump_cves(Cves("0.1.0", plan.id, True, (), (), ())))
    (project / "policy.yaml").write_text("version: 1\ngates: {max_cves: {high: 0}}\n")
    for cves, expected in ((name, 0), ("", 3)):
        inputs = {"plan": PLAN, "policy": "policy.yaml", "cves": cves}
        code, output = _github(project, "Gate", inputs)
        assert code == expected, output
    assert not (project / "odd").exists()


def test_the_action_installs_what_it_is_told(project: Path) -> None:
    tools, calls = project / "tools", project / "calls"
    tools.mkdir()
    pip = f'mkdir -p "$3/bin"; printf \'#!/bin/sh\\necho "$@" >>"{calls}"\\n\' >"$3/bin/pip"'
    (tools / "python3").write_text(f'#!/bin/sh\n{pip}; chmod +x "$3/bin/pip"\n')
    (tools / "python3").chmod(0o755)
    for inputs, installed in (
        ({"install": "paredown 1.whl"}, "paredown 1.whl"),
        ({}, f"{GATE}/../..[minimizer]"),
    ):
        code, output = _github(project, "Install Paredown", inputs, PATH=f"{tools}:/usr/bin:/bin")
        assert code == 0, output
        assert calls.read_text().splitlines()[-1] == f"install --quiet {installed}"
    assert (project / "path").read_text().splitlines()[0] == f"{project.parent}/paredown/bin"


def test_the_template_reviews_and_gates(project: Path) -> None:
    spec, jobs = _documents("gitlab.yml")
    inputs = {key: each["default"] for key, each in spec["spec"]["inputs"].items()}
    (job,) = jobs.values()
    marks = r"\$\[\[ inputs\.(\w+) \]\]"
    assert job["stage"] == "$[[ inputs.stage ]]"
    assert not any("[[" in line for line in job["script"])
    variables = {k: _filled(v, inputs | {"plan": PLAN}, marks) for k, v in job["variables"].items()}
    script = "\n".join(job["script"])
    for files, expected in ((2, 0), (1, 3)):
        (project / "policy.yaml").write_text(POLICY.format(files=files))
        code, output = _run(["sh", "-euc"], script, project, variables)
        assert code == expected, output
        assert output.count("PASS") + output.count("FAIL") == 2
    (report,) = job["artifacts"]["paths"]
    assert "<html" in (project / report).read_text()[:200]
    assert not (project / "odd").exists()


def test_the_documents_inputs_are_those_that_there_are() -> None:
    text = (ROOT / "docs" / "gates.md").read_text()
    github, gitlab = map(
        yaml.safe_load, re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    )
    (action,) = _documents("action.yml")
    assert github["jobs"]["gate"]["steps"][1]["with"].keys() == action["inputs"].keys()
    spec = _documents("gitlab.yml")[0]["spec"]
    assert gitlab["include"][0]["inputs"].keys() < spec["inputs"].keys()
