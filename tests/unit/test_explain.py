"""Explanations, from the plan alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from decisions import decided, make_tree
from paredown_minimizer.cli import main
from paredown_minimizer.explain import explain
from paredown_minimizer.rulebook import load_rules
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import Evidence, GaveWay, Plan, Risk, dump_plan, load_plan
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
        "  because of it stay 2 packages, 2 B:",
        "    deep:all 1 B",
        "    lang:all 1 B",
    ]


def test_what_a_path_holds(plan: Plan) -> None:
    """The other way: all that would go, as far as the plan records, were it not used."""
    assert explain(plan, "/usr/bin/run")[2:] == [
        "  because of it stay 3 packages, 50 B:",
        "    run:all 48 B",
        "    deep:all 1 B",
        "    lang:all 1 B",
    ]
    assert explain(plan, "lang")[-2:] == [
        "  because of it stay 1 package, 1 B:",
        "    deep:all 1 B",
    ]


def test_what_others_hold_too_is_told_apart() -> None:
    shared = Evidence("/lib/libc.so.6", "linked", "/usr/sbin/nginx", package="libc6:amd64")
    other = Evidence("/lib/libm.so.6", "traced", package="libc6:amd64")
    plan = example_plan(
        evidence=(shared, other, Evidence("/usr/sbin/nginx", "traced", package="nginx:amd64"))
    )
    assert explain(plan, "nginx")[-1] == "  it holds a part of what holds libc6:amd64"


def test_a_rule_with_its_grounds_triggers_and_what_it_holds() -> None:
    zone, trigger = "/usr/share/zoneinfo/UTC", "/usr/lib/python3.11/zoneinfo/__init__.py"
    plan = example_plan(
        evidence=(
            Evidence(trigger, "rule", "/usr/bin/python3", "python/standard-library"),
            Evidence("/usr/bin/python3", "traced", package="nginx:amd64"),
            Evidence(zone, "rule", trigger, "time-zone/python", package="tzdata:amd64"),
        ),
        gave_way=(GaveWay("/etc/zone", "time-zone/python", None, "\u202eno zones"),),
    )
    first, why, *lines = explain(plan, "rule:time-zone/python")
    assert first == "rule time-zone/python holds 1 path in this plan"
    assert "zoneinfo" in why
    assert any(line.startswith("  source: PEP 615") for line in lines)
    assert lines[lines.index("  triggered by") :] == [
        "  triggered by",
        f"    {trigger}: rule by /usr/bin/python3 (python/standard-library)",
        "      /usr/bin/python3: traced",
        f"  holds of tzdata:amd64: {zone}",
        "  would hold /etc/zone; policy: \\xe2\\x80\\xaeno zones",
        "  because of it stay 1 package, 300.0 kB:",
        "    tzdata:amd64 300.0 kB",
    ]


def test_every_rule_of_the_knowledge_base_can_be_explained() -> None:
    for rule in load_rules():
        first, why, source, *_ = explain(example_plan(evidence=()), f"rule:{rule.name}")
        assert "holds nothing" in first
        assert why.strip()
        assert source.startswith("  source: ")
    with pytest.raises(ParedownError, match="there is no such rule"):
        explain(example_plan(), "rule:no/such")


def test_a_cycle_ends() -> None:
    """Two links to each other's directories: evidence that no plan of ours has, but a file may."""
    plan = example_plan(
        evidence=(Evidence("/a", "symlink", "/b"), Evidence("/b", "symlink", "/a")),
    )
    assert explain(plan, "/a")[1:] == [
        "  /a: symlink by /b",
        "    /b: symlink by /a",
        "  because of it stay 1 path of no package:",
        "    /b",
    ]


def test_chain_goes_on_behind_a_package(plan: Plan) -> None:
    assert explain(plan, "/usr/share/deep/end") == [
        "/usr/share/deep/end stays:",
        "  /usr/share/deep/end: symlink by /usr/share/lang/spare (its target)",
        "    /usr/share/lang/spare: owned by lang:all",
        "      /usr/bin/lang: interpreter by /usr/bin/run",
        "        /usr/bin/run: traced",
        "  because of it stay 1 package, 1 B:",
        "    deep:all 1 B",
    ]


def test_package_and_why_it_goes(plan: Plan) -> None:
    assert explain(plan, "deep")[:2] == [
        "deep:all 1 stays whole (1 file)",
        "  /usr/share/deep/end: symlink by /usr/share/lang/spare (its target)",
    ]
    goes, risk = explain(plan, "gone:all")
    assert goes == "gone:all 1 goes: nothing that was used leads to any of its files"
    assert risk == "  medium risk: /usr/share/gone/x is named by /usr/bin/run"
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


def test_a_path_that_goes_has_the_risks_of_its_directory_and_its_package() -> None:
    plan = example_plan(
        risks=(
            Risk("bash:amd64", "/usr/bin", "/usr/sbin/nginx", "high", "pattern"),
            Risk("bash:amd64", "/usr/bin/bash", "/usr/sbin/nginx", "high", "named"),
            Risk("odd\x1b[31m:amd64", "/usr/bin", "/usr/sbin/nginx", "medium", "pattern"),
            Risk("bash:amd64", None, "nginx:amd64", "low", "recommends"),
        )
    )
    assert explain(plan, "/usr/bin/rbash")[1:] == [
        "  high risk: /usr/bin can be loaded by /usr/sbin/nginx",
        "  low risk: it is recommended by nginx:amd64",
    ]
