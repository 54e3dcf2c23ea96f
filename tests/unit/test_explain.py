"""Explanations, from the plan alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from decisions import decided, make_tree
from paredown_minimizer.cli import main
from paredown_minimizer.explain import explain
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import Plan, dump_plan, load_plan
from plans import example_plan
from traces import use

ODD = "/usr/share/odd\x1b[31m\nname"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    root = tmp_path / "tree"
    make_tree(
        root,
        {
            "/usr/bin/run": "#!/usr/bin/lang\nopen /usr/share/gone/x and more",
            "/usr/bin/lang": "x",
            "/usr/share/lang/spare": "-> ../deep/end",
            "/usr/share/deep/end": "x",
            "/usr/share/gone/x": "x",
            "/srv/x": "x",
            "/doc": "-> usr/share",
            "/usr/bin/other": "x",
            ODD: "x",
        },
    )
    packages = {
        "run": ["/usr/bin/run", "/usr/bin/other"],
        "lang": ["/usr/bin/lang", "/usr/share/lang/spare"],
        "deep": ["/usr/share/deep/end"],
        "gone": ["/usr/share/gone", "/usr/share/gone/x", ODD],
    }
    traced = [use("/usr/bin/run", how="script")]
    decision = decided(root, traced, packages)
    # What is explained is what was written and read again.
    return load_plan(dump_plan(decision.plan), "plan")


def test_chain_to_primary_evidence(plan: Plan) -> None:
    assert explain(plan, "/usr/bin/lang") == [
        "/usr/bin/lang stays:",
        "  /usr/bin/lang: interpreter by /usr/bin/run",
        "    /usr/bin/run: traced",
    ]


def test_chain_goes_on_behind_a_package(plan: Plan) -> None:
    assert explain(plan, "/usr/share/deep/end") == [
        "/usr/share/deep/end stays:",
        "  /usr/share/deep/end: symlink by /usr/share/lang/spare (its target)",
        "    /usr/share/lang/spare: owned by lang:all",
        "      /usr/bin/lang: interpreter by /usr/bin/run",
        "        /usr/bin/run: traced",
    ]


def test_package_and_why_it_goes(plan: Plan) -> None:
    assert explain(plan, "deep")[:2] == [
        "deep:all 1 stays whole (1 files)",
        "  /usr/share/deep/end: symlink by /usr/share/lang/spare (its target)",
    ]
    goes, risk = explain(plan, "gone:all")
    assert goes == "gone:all 1 goes: nothing that was used leads to any of its files"
    assert risk == "  risk: /usr/bin/run names /usr/share/gone/x"
    assert explain(plan, "/usr//share/gone/x")[0].startswith("/usr/share/gone/x, of gone:all, goes")
    assert explain(plan, "/srv/x")[1].endswith("or the application")


def test_a_path_by_another_name(plan: Plan) -> None:
    """On merged /usr a person asks for /bin/sh."""
    assert explain(plan, "/doc/gone/x") == explain(plan, "/usr/share/gone/x")
    assert explain(plan, "/doc/gone/x")[0].startswith("/usr/share/gone/x, of gone:all, goes")


def test_a_file_that_stays_with_its_package(plan: Plan) -> None:
    assert explain(plan, "/usr/bin/other") == [
        "/usr/bin/other stays:",
        "  /usr/bin/other: owned by run:all",
        "    /usr/bin/run: traced",
    ]


def test_a_path_that_the_plan_does_not_know(plan: Plan) -> None:
    first, _ = explain(plan, "/no/such")
    assert first == "/no/such: no package has it"


def test_names_are_escaped(plan: Plan) -> None:
    (line,) = explain(plan, ODD)
    assert line.startswith("/usr/share/odd\\x1b[31m\\x0aname, of gone:all, goes")


def test_unknown_package(plan: Plan) -> None:
    with pytest.raises(ParedownError, match="no such package"):
        explain(plan, "nothing")


def test_command_reads_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.json"
    path.write_text(dump_plan(example_plan()))
    assert main(["explain", str(path), "bash"]) == 0
    assert "bash:amd64 1:7163904-1 goes" in capsys.readouterr().out
    assert main(["explain", str(path), "zsh"]) == 1
    assert main(["explain", str(tmp_path / "none.json"), "zsh"]) == 1
