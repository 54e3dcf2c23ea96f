"""``paredown diff`` shows each decision on a line, with its reason, and the risks."""

from __future__ import annotations

import dataclasses
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import output_schemas
from paredown_minimizer.cli import main
from paredown_minimizer.formats import FORMATS
from paredown_schemas.plan import Level, Plan, Totals, dump_plan
from plans import IDENTITY, example_plan, full_plan, package


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(dump_plan(example_plan()))
    return path


def test_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole of it: a reviewer reads it from top to bottom."""
    others = (
        "pins",
        "gave_way",
        "unless_used",
        "left_out",
        "surface",
        "exposed",
        "needs",
        "unrecorded",
    )
    plan = example_plan(profile=None, **dict.fromkeys(others, ()))
    (tmp_path / "plan.json").write_text(dump_plan(plan))
    assert main(["diff", str(tmp_path / "plan.json")]) == 0
    header, *rest = capsys.readouterr().out.split("\n\n")
    assert header.splitlines() == [
        f"image    {IDENTITY}, {plan.platform}",
        f"plan     {plan.id}, granularity file",
        "trace    load: 214 paths, complete",
        "profile  No run used anything of this image.",
        "risks    1 low",
    ]
    assert "\n\n".join(rest) == (
        "            before    after    gone\n"
        "size      183.1 MB  28.3 MB  84.5 %\n"
        "packages         5        3  40.0 %\n"
        "files          120       20  83.3 %\n"
        "\n"
        "Risks: 1 low\n"
        "! low  bash:amd64  /usr/bin/bash  is named by /usr/sbin/nginx\n"
        "  Let the load use it and record again, or pin it in the policy, or accept it.\n"
        "\n"
        "Removed: 2 packages, 7.2 MB\n"
        "- bash         1:7163904-1  all 2 files  7.2 MB  "
        "nothing used it, but /usr/bin/bash is named by /usr/sbin/nginx\n"
        "- odd\\x1b[31m  1:999-1      1 file        999 B  nothing used it\n"
        "\n"
        "Trimmed: 1 package, 3.0 MB, of which 300.0 kB stay\n"
        "~ tzdata  1:3000000-1  1 of 10 files  300.0 kB  "
        "rule time-zones: /usr/share/zoneinfo/UTC for /usr/sbin/nginx\n"
        "\n"
        "Kept: 2 packages, 14.2 MB\n"
        "+ libc6  1:12900000-1  12 files  12.9 MB  "
        "linked /lib/libc.so.6 by /usr/sbin/nginx (libc.so.6)\n"
        "+ nginx  1:1300000-1   2 files    1.3 MB  traced /usr/sbin/nginx, and 1 more\n"
        "\n"
        "Unowned: 12 files, 9.0 MB, the application\n"
        "- /opt/odd\\x1b/**  all 9 files  9.0 MB  none used  "
        "layer 3: curl \\x1b[31m  handed over: who needs it?\n"
        "+ /app/**          3 files      4.0 kB  1 used     layer 2: COPY app /app\n"
        "\n"
        "Single paths: 2\n"
        "- /srv/old                 unowned       pinned: \\xe2\\x80\\xaenobody needs it\n"
        "+ /usr/share/zoneinfo/UTC  tzdata:amd64\n"
        "\n"
        "Paths that go: 4\n"
        "  3 places: --format list\n"
    )


def test_the_riskiest_comes_first_and_long_sections_are_folded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    levels: list[Level | None] = ["low", "high", None, "medium"]
    packages = [package(f"p{n:03}", "remove", 0, 1, 10) for n in range(100)]
    risky = [dataclasses.replace(p, risk=levels[n % 4]) for n, p in enumerate(packages)]
    (tmp_path / "p.json").write_text(dump_plan(example_plan(packages=tuple(risky))))
    assert main(["diff", str(tmp_path / "p.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = [line.split() for line in lines if line.startswith("- p")]
    assert [line[1] for line in shown] == [f"p{n:03}" for n in range(1, 100, 4)]
    assert {line[7] for line in shown} == {"high"}
    assert "  and 75 more: --format list" in lines


def test_what_a_plan_has_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs, pins, what is left out, the attack surface, needs; and of nothing there is no title."""
    (tmp_path / "p.json").write_text(dump_plan(full_plan()))
    assert main(["diff", str(tmp_path / "p.json")]) == 0
    shown = capsys.readouterr().out
    for text in (
        "trace    load: 214 paths, partial: late attach",
        "profile  2 runs used 214 files of this image; loads like these would use at least about 3",
        "risks    1 high, 1 medium, 2 low",
        "! high    curl:amd64  /usr/bin/curl  is a command in /app/run.sh",
        "! medium  curl:amd64                 is recommended by nginx:amd64",
        "traced /usr/sbin/nginx, and 1 more; seen in 1 of 2 runs",
        "for /usr/sbin/nginx; granularity trim, by the policy",
        "- /srv/old       1 path    until 2027-01-31  \\xe2\\x80\\xaenobody needs it",
        "! /usr/bin/rbash  rule shell/sh for /usr/sbin/nginx  no shells",
        "- shell  0 of 34 execs in 2 runs  /usr/bin/bash  none   nobody logs in",
        "session injected  /usr/bin/curl  4 files that nothing else used  the probe's",
        "executables     900     12   98.7 %",
        "+ living-off-the-land  /usr/sbin/nginx  nginx:amd64",
        "ports  tcp 0.0.0.0:80",
        "syscalls  recorded without --also calls",
    ):
        assert text in shown
    (tmp_path / "p.json").write_text(dump_plan(example_plan()))
    assert main(["diff", str(tmp_path / "p.json")]) == 0
    assert "Attack" not in capsys.readouterr().out


def test_list_has_every_path_that_goes(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(plan), "--format", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("- path ")] == [
        "- path /srv/old -",
        "- path /usr/bin/bash bash:amd64",
        "- path /usr/bin/rbash bash:amd64",
        "- path /odd\\x0aname odd\\x1b[31m:amd64",
    ]
    assert [line.split()[:4] for line in lines if " pkg " in line] == [
        ["-", "pkg", "bash", "1:7163904-1"],
        ["+", "pkg", "libc6", "1:12900000-1"],
        ["+", "pkg", "nginx", "1:1300000-1"],
        ["-", "pkg", "odd\\x1b[31m", "1:999-1"],
        ["~", "pkg", "tzdata", "1:3000000-1"],
    ]
    assert lines[-1] == "! risk low bash:amd64 /usr/bin/bash named /usr/sbin/nginx"


def test_json_is_what_the_schema_says(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(plan), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    validator = output_schemas.validator("diff-1.schema.json")
    validator.validate(document)
    assert not validator.is_valid({**document, "extra": 1})
    assert not validator.is_valid({**document, "traces": [{"run": 1}]})
    nginx = next(p for p in document["packages"] if p["decision"]["name"] == "nginx")
    assert nginx["evidence"]["path"] == "/usr/sbin/nginx"
    assert nginx["evidence_paths"] == 2


@pytest.mark.parametrize(
    "plan_",
    [
        example_plan(packages=(), paths=(), evidence=(), risks=(), removed=(), traces=()),
        example_plan(before=Totals(0, 0, 0), after=Totals(0, 0, 0)),
        example_plan(evidence=()),
    ],
)
@pytest.mark.parametrize("form", FORMATS)
def test_sparse_plans(
    plan_: Plan, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.json").write_text(dump_plan(plan_))
    assert main(["diff", str(tmp_path / "p.json"), "--format", form]) == 0
    capsys.readouterr()


def test_to_a_file(plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(plan)]) == 0
    printed = capsys.readouterr().out
    assert main(["diff", str(plan), "-o", str(tmp_path / "diff.txt")]) == 0
    assert (tmp_path / "diff.txt").read_text() == printed
    assert main(["diff", str(plan), "-o", str(tmp_path / "diff.txt")]) == 1


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals(plan: Path, no_color: str, coloured: bool) -> None:
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "paredown_minimizer", "diff", str(plan)],
            stdout=theirs,
            env={**os.environ, "NO_COLOR": no_color},
            check=True,
        )
        shown = os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (b"\x1b[31m-\x1b[0m bash" in shown) == coloured
    assert (b"\x1b" in shown) == coloured
