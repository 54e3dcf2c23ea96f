"""``paredown gate``: one line per bound, in the policy's order, and what CI makes of it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib.resources
import json
import re
import urllib.parse
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from paredown_minimizer.cli import main
from paredown_minimizer.gates import run_gates
from paredown_minimizer.policyfile import parse_policy
from paredown_minimizer.review import review_plan
from paredown_schemas.cves import Cves, Finding, dump_cves
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import (
    Exposed,
    Pin,
    Plan,
    Profile,
    Risk,
    RiskReason,
    SurfaceCount,
    dump_plan,
)
from plans import example_plan

SURFACE = (SurfaceCount("setuid", 9, 0), SurfaceCount("shell", 3, 2))
EXPOSED = (
    Exposed("shell", "/usr/bin/bash", stays=False),
    Exposed("shell", "/usr/bin/dash", stays=True),
    Exposed("shell", "/usr/bin/odd\n::error::%0A, x", stays=True),
)
# 28.3 MB of 183.1, 3 packages, 20 files; two risks, no estimate of what was not seen.
PLAN = example_plan(
    surface=SURFACE,
    exposed=EXPOSED,
    risks=(Risk(None, "/a", "/b", "high"), Risk("p", None, "/b", "low")),
    pins=(Pin("keep", "/a", "r", 1, "2001-01-31"), Pin("keep", "/b", "r", 1, "2999-01-31")),
)


def _gate(
    directory: Path,
    gates: str,
    plan: Plan = PLAN,
    form: str = "text",
    name: str = "policy.yaml",
    *more: str,
) -> int:
    policy, file = directory / name, directory / "plan.json"
    policy.write_text(f"version: 1\n{gates}")
    file.write_text(dump_plan(plan))
    return main(["gate", str(file), "--policy", str(policy), "--format", form, *more])


def _partial(plan: Plan) -> Plan:
    trace = dataclasses.replace(plan.traces[0], verdict="partial", reasons=("late attach",))
    return dataclasses.replace(plan, traces=(trace,))


def _profile(unseen: int | None) -> Plan:
    return dataclasses.replace(PLAN, profile=Profile(20, 3, 1, 1, "chao2", unseen))


@pytest.mark.parametrize(
    ("gate", "plan", "line"),
    [
        ("forbid: [setuid]", PLAN, "PASS  forbid setuid  0  at most 0"),
        ("forbid: [compiler]", PLAN, "FAIL  forbid compiler  not known  at most 0  the plan does"),
        ("partial_traces: forbid", PLAN, "PASS  partial_traces  0  at most 0"),
        ("partial_traces: forbid", _partial(PLAN), "FAIL  partial_traces  1  at most 0  load"),
        ("expired_pins: forbid", PLAN, "FAIL  expired_pins  1  at most 0  /a (2001-01-31)"),
        ("max_size: 28300000", PLAN, "PASS  max_size  28.3 MB  at most 28.3 MB"),
        ("max_size: 28.2 MB", PLAN, "FAIL  max_size  28.3 MB  at most 28.2 MB"),
        ("max_size: 1GB", PLAN, "PASS  max_size  28.3 MB  at most 1.0 GB"),
        ("max_packages: 3", PLAN, "PASS  max_packages  3  at most 3"),
        ("max_packages: 2", PLAN, "FAIL  max_packages  3  at most 2"),
        ("max_files: 19", PLAN, "FAIL  max_files  20  at most 19"),
        ("min_gone: 84.5", PLAN, "PASS  min_gone  84.54 %  at least 84.5 %"),
        ("min_gone: 85", PLAN, "FAIL  min_gone  84.54 %  at least 85 %"),
        ("max_risks: {high: 0}", PLAN, "FAIL  max_risks high  1  at most 0  /a"),
        ("max_risks: {medium: 0}", PLAN, "PASS  max_risks medium  0  at most 0"),
        ("max_risks: {low: 0}", PLAN, "FAIL  max_risks low  1  at most 0  p"),
        ("max_unseen: 9", PLAN, "FAIL  max_unseen  not known  at most 9  the plan has no estimate"),
        ("max_unseen: 9", _profile(None), "FAIL  max_unseen  not known  at most 9"),
        ("max_unseen: 9", _profile(9), "PASS  max_unseen  9  at most 9"),
        ("max_unseen: 9", _profile(10), "FAIL  max_unseen  10  at most 9"),
    ],
)
def test_each_gate_at_its_bound(
    gate: str, plan: Plan, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = _gate(tmp_path, f"gates: {{{gate}}}\n", plan)
    captured = capsys.readouterr()
    assert captured.out.startswith(line)
    assert code == (3 if line.startswith("FAIL") else 0)
    assert captured.err == ("1 of 1 gate failed.\n" if code else "0 of 1 gate failed.\n")


ALL = """gates:
  max_files: 20
  forbid:
    - shell
    - setuid
  max_risks:
    low: 1
    high: 0
  partial_traces: forbid
"""


def test_a_line_for_each_in_the_policys_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _gate(tmp_path, ALL) == 3
    captured = capsys.readouterr()
    assert [re.split("  +", line)[:2] for line in captured.out.splitlines()] == [
        ["PASS", "max_files"],
        ["FAIL", "forbid shell"],
        ["PASS", "forbid setuid"],
        ["PASS", "max_risks low"],
        ["FAIL", "max_risks high"],
        ["PASS", "partial_traces"],
    ]
    assert "/usr/bin/dash, /usr/bin/odd\\x0a::error::%0A, x" in captured.out
    assert "/usr/bin/bash" not in captured.out  # it goes
    assert captured.err == "2 of 6 gates failed.\n"


def test_json_is_what_the_schema_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _gate(tmp_path, ALL + "  max_unseen: 1\n", form="json") == 3
    document = json.loads(capsys.readouterr().out)
    schema = importlib.resources.files("paredown_schemas") / "gate-1.schema.json"
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text()))
    validator.validate(document)
    assert not validator.is_valid({**document, "extra": 1})
    assert document["plan"] == PLAN.id
    assert document["passed"] is False
    assert [gate["line"] for gate in document["gates"]] == [3, 5, 6, 8, 9, 10, 11]
    assert document["gates"][-1]["figure"] is None
    assert document["gates"][1]["names"] == ["/usr/bin/dash", "/usr/bin/odd\\x0a::error::%0A, x"]


def _commands(output: str) -> list[tuple[str, dict[str, str], str]]:
    """Read workflow commands as GitHub's runner does (actions/runner, ActionCommand.cs)."""
    found = []
    for line in output.splitlines():
        if match := re.fullmatch(r"::([a-z]+)(?: ([^:]*))?::(.*)", line.lstrip()):
            pairs = (each.split("=", 1) for each in (match[2] or "").split(",") if each)
            properties = {key: urllib.parse.unquote(value) for key, value in pairs}
            found.append((match[1], properties, urllib.parse.unquote(match[3])))
    return found


def test_github_is_told_of_what_failed_by_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    (tmp_path / "a,b").mkdir()
    policy = "a,b/100%2C: policy.yaml"
    (tmp_path / policy).write_text(f"version: 1\n{ALL}")
    (tmp_path / "plan.json").write_text(dump_plan(PLAN))
    command = ["gate", str(tmp_path / "plan.json"), "--policy", str(tmp_path / policy)]
    assert main([*command, "--format", "github"]) == 3
    shell, risks = _commands(capsys.readouterr().out)
    assert shell == (
        "error",
        {"file": policy, "line": "5", "title": "paredown gate: forbid shell"},
        "2, at most 0: /usr/bin/dash, /usr/bin/odd\\x0a::error::%0A, x",
    )
    assert risks[1]["line"] == "9"


def test_a_policy_without_gates_says_what_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _gate(tmp_path, "") == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error.endswith("policy.yaml has no gates")
    assert parse_policy("version: 1\n" + hint[hint.index("gates:") :]).gates


@pytest.mark.parametrize(
    ("gates", "line", "where"),
    [
        ("{}", 2, r"\$\.gates must contain"),
        ("{max_cvss: 3}", 2, r"\$\.gates must not contain"),
        ("{forbid: []}", 2, r"\$\.gates\.forbid"),
        ("\n  forbid:\n  - shells", 4, r"\$\.gates\.forbid\[0\]"),
        ("\n  forbid: [shell, shell]", 3, r"\$\.gates\.forbid"),
        ("{partial_traces: accept}", 2, r"\$\.gates\.partial_traces"),
        ("\n  max_files: 3\n  max_size: 3 MiB", 4, r"\$\.gates\.max_size"),
        ("{max_files: -1}", 2, r"\$\.gates\.max_files"),
        ("{max_files: 1.5}", 2, r"\$\.gates\.max_files"),
        ("{min_gone: 101}", 2, r"\$\.gates\.min_gone"),
        ("{min_gone: .nan}", 2, r"\.nan is no number"),
        ("{max_risks: 3}", 2, r"\$\.gates\.max_risks"),
        ("{max_risks: {hihg: 3}}", 2, r"\$\.gates\.max_risks"),
        ("{max_cves: {severe: 3}}", 2, r"\$\.gates\.max_cves"),
    ],
)
def test_mistakes_are_told_with_line_and_place(gates: str, line: int, where: str) -> None:
    with pytest.raises(ParedownError, match=rf"line {line}: {where}"):
        parse_policy(f"version: 1\ngates: {gates}")


def _bounds(text: str) -> list[Any]:
    return [gate.bound for gate in parse_policy(f"version: 1\ngates: {{{text}}}").gates]


def test_risks_are_counted_as_diff_counts_them() -> None:
    reasons: tuple[RiskReason, ...] = ("named", "depends")
    risks = [Risk("p", "/a", by, "high", reason) for by in "xyz" for reason in reasons]
    risks += [Risk("p", None, "x", "high"), Risk("q", None, "x", "high"), Risk(None, "/b", "x")]
    plan = dataclasses.replace(PLAN, risks=tuple(sorted(risks, key=repr)))
    policy = parse_policy("version: 1\ngates: {max_risks: {high: 0}}")
    (result,) = run_gates(policy, plan, dt.date(2027, 1, 1))
    assert result.figure.value == 4
    assert result.figure.value == sum(risk.level == "high" for risk in review_plan(plan).risks)


def test_sizes_are_taken_with_their_units() -> None:
    for text, size in (("3", 3), ("3 B", 3), ("1.5 kB", 1500), ("0.1 MB", 100_000), ("2GB", 2e9)):
        assert _bounds(f"max_size: {text}") == [size]


def _finding(id_: str, severity: Any, fate: Any, *fixed: str) -> Finding:
    return Finding(id_, "lib", "1", severity, fate, fixed=fixed)


CVES = Cves(
    "0.1.0",
    PLAN.id,
    False,
    (),
    (),
    (
        _finding("CVE-1", "critical", "gone"),
        _finding("CVE-2", "high", "stays", "2"),
        _finding("CVE-3", "high", "new"),
        _finding("CVE-4", "low", "file-gone", "2"),
    ),
)
LOST = dataclasses.replace(
    CVES, findings=(*CVES.findings, _finding("CVE-5", "low", "lost")), hidden=("tar:amd64",)
)


@pytest.mark.parametrize(
    ("gate", "cves", "line"),
    [
        ("max_cves: {critical: 0}", CVES, "PASS  max_cves critical  0  at most 0"),
        (
            "max_cves: {high: 1}",
            CVES,
            "FAIL  max_cves high  2  at most 1  CVE-2 of lib, CVE-3 of lib",
        ),
        ("max_cves: {fixable: 0}", CVES, "FAIL  max_cves fixable  1  at most 0  CVE-2 of lib"),
        ("max_cves: {low: 0}", CVES, "PASS  max_cves lost  0  at most 0"),
        ("max_cves: {low: 0}", LOST, "FAIL  max_cves lost  2  at most 0  CVE-5 of lib, tar:amd64"),
        ("max_files: 99", LOST, "FAIL  max_cves lost  2  at most 0  CVE-5 of lib, tar:amd64"),
    ],
)
def test_cves_that_are_left_and_none_lost(
    gate: str, cves: Cves, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cves.json"
    file.write_text(dump_cves(cves))
    code = _gate(tmp_path, f"gates: {{{gate}}}\n", PLAN, "text", "p.yaml", "--cves", str(file))
    printed = [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
    assert " ".join(line.split()) in printed
    assert code == (3 if any(row.startswith("FAIL") for row in printed) else 0)


def test_a_gate_on_cves_fails_without_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _gate(tmp_path, "gates: {max_cves: {critical: 9}}\n") == 3
    assert "not known  at most 9  no CVEs were given" in capsys.readouterr().out


def test_cves_of_another_plan_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cves.json"
    file.write_text(dump_cves(dataclasses.replace(CVES, plan="plan-sha256:other")))
    gates = "gates: {max_files: 99}\n"
    assert _gate(tmp_path, gates, PLAN, "text", "p.yaml", "--cves", str(file)) == 4
    assert "the CVEs are of plan-sha256:other" in capsys.readouterr().err
