"""The documents for reviews: what they say of what was given, and that they belong together."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from paredown_minimizer.cli import main
from paredown_minimizer.material import ReportInputs
from paredown_minimizer.report import write_report
from paredown_schemas.cves import Cves, Finding, Scan, SeverityCount, dump_cves
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import Plan, dump_plan
from paredown_schemas.verification import AddedPin, Case, Round, Verification, dump_verification
from plans import full_plan
from traces import trace_records, write_trace

PLAN = full_plan()
VERIFICATION = Verification(
    paredown="0.1.0",
    plan=PLAN.id,
    image=PLAN.image,
    slim="image-sha256:" + "9" * 64,
    digest="sha256:" + "2" * 64,
    mode="strict",
    target="docker",
    started="2027-02-28T12:00:00Z",
    run="docker run --rm {image}",
    outcome="passed",
    why=None,
    original="passed",
    tests=(Case("smoke", "passed", "sh smoke.sh", 0, 900), Case("login", None)),
    rounds=(
        Round("p", "failed", 2, "misses", 1, 70_000, (AddedPin("package:tar", "asked for"),), 3, 9),
    ),
)
CVES = Cves(
    paredown="0.1.0",
    plan=PLAN.id,
    projected=True,
    scans=(Scan("before", "grype", "4" * 64, "grype 0.79.1"),),
    counts=(SeverityCount("high", 3, 2, 1, 1, 0, 0),),
    findings=(
        Finding("CVE-1", "libc6", "2.36", "high", "stays", "libc6:amd64", (), ("2.37",)),
        Finding("CVE-2", "tzdata", "2026a", "high", "file-gone", "tzdata:amd64"),
        Finding("CVE-3", "bash", "5.2", "high", "gone", "bash:amd64"),
    ),
)


def _inputs(space: Path, plan: Plan = PLAN, **more: Path) -> ReportInputs:
    (space / "plan.json").write_text(dump_plan(plan))
    return ReportInputs(space / "plan.json", space / "report", **more)  # type: ignore[arg-type]


def _verification(space: Path, **changes: object) -> Path:
    path = space / "verification.json"
    path.write_text(dump_verification(dataclasses.replace(VERIFICATION, **changes)))  # type: ignore[arg-type]
    return path


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, verification=_verification(tmp_path))
    first = {file.name: file.read_bytes() for file in write_report(inputs).files}
    assert {"report.html", "report.md"} <= set(first)
    again = dataclasses.replace(inputs, force=True)
    assert {file.name: file.read_bytes() for file in write_report(again).files} == first


def test_documents_of_another_plan_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = _verification(tmp_path, plan="plan-sha256:" + "0" * 64)
    inputs = _inputs(tmp_path, verification=other)
    options = ["report", str(inputs.plan), "-o", str(inputs.directory)]
    assert main([*options, "--verification", str(other)]) == 4
    assert "cannot report: the verification is of plan-sha256:0" in capsys.readouterr().err
    cves = tmp_path / "cves.json"
    cves.write_text(dump_cves(dataclasses.replace(CVES, plan="another")))
    assert main([*options, "--cves", str(cves)]) == 4
    assert "the list of CVEs is of another" in capsys.readouterr().err
    assert not inputs.directory.exists()


def test_another_policy_is_refused(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\npins:\n  - keep: package:tar\n    reason: who knows\n")
    with pytest.raises(ParedownError, match="the policy is not the one of the plan.*keep package"):
        write_report(_inputs(tmp_path, policy=policy))


def test_traces_are_those_of_the_plan(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "a.trace", trace_records(["/a"]))
    inputs = dataclasses.replace(_inputs(tmp_path), traces=[trace])
    with pytest.raises(ParedownError, match="a.trace holds no run of the plan"):
        write_report(inputs)


def test_nothing_is_replaced_unasked_and_nothing_else_ever(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path)
    inputs.directory.mkdir()
    for name in ("report.md", "vex.openvex.json", "notes.txt"):
        (inputs.directory / name).write_text("mine")
    with pytest.raises(ParedownError, match="report.md exists already"):
        write_report(inputs)
    assert not (inputs.directory / "report.html").exists()
    write_report(dataclasses.replace(inputs, force=True))
    assert "mine" not in (inputs.directory / "report.md").read_text()
    assert (inputs.directory / "notes.txt").read_text() == "mine"
    assert not (inputs.directory / "vex.openvex.json").exists()  # it was of another report
    assert {path.name for path in tmp_path.iterdir()} == {"plan.json", "report"}
