"""Pins as a plan tells of them: of paths, packages and rules, and how long they hold."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from decisions import decided, kept_files, make_tree
from elf_files import can_compile, compile_library
from fixture_types import MakeTrace, Require
from paredown_minimizer.cli import main
from paredown_minimizer.decide import Decision
from paredown_minimizer.policyfile import parse_policy
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import GaveWay, Pin
from traces import use

LIBRARY = "/opt/x/libapp.so"
MODULE = "/usr/lib/python3.11/subprocess.py"


@pytest.fixture
def root(tmp_path: Path, require: Require) -> Path:
    require(can_compile(), "clang is not installed")
    tree = tmp_path / "tree"
    files = {"/usr/bin/dash": "x", "/usr/bin/sh": "-> dash", "/bin": "-> usr/bin", MODULE: "x"}
    make_tree(tree, {**files, "/opt/x/readme": "x"})
    compile_library(tree / LIBRARY[1:], imports=["system"])
    return tree


PACKAGES = {"dash": ["/usr/bin/dash", "/usr/bin/sh"], "x": [LIBRARY], "python": [MODULE]}


def _decided(root: Path, traced: str, *pins: str) -> Decision:
    policy = "version: 1\npins:\n" + "".join(f"- {{{pin}, reason: why}}\n" for pin in pins)
    return decided(root, [traced], PACKAGES, policy=policy)


def _shell(root: Path, traced: str, *pins: str) -> bool:
    return "/usr/bin/sh" in kept_files(_decided(root, traced, *pins), root)


def test_a_rule_that_a_pin_removes_does_not_fire_and_what_it_held_is_told(root: Path) -> None:
    assert _shell(root, LIBRARY)
    decision = _decided(root, LIBRARY, "remove: 'rule:shell/system'")
    assert not {"/usr/bin/sh", "/usr/bin/dash"} & decision.kept
    plan = decision.plan
    assert plan.gave_way == (GaveWay("/usr/bin/sh", "shell/system", LIBRARY, "why"),)
    assert plan.pins == (Pin("remove", "rule:shell/system", "why", 1),)


def test_every_rule_can_be_pinned_either_way(root: Path) -> None:
    assert _shell(root, "/opt/x/readme", "keep: 'rule:*/*'")
    decision = _decided(root, LIBRARY, "remove: 'rule:*/*'")
    assert not any(evidence.kind == "rule" for evidence in decision.plan.evidence)


def test_licences_may_go_too(root: Path) -> None:
    licence = "/usr/share/doc/x/copyright"
    make_tree(root, {licence: "x"})
    packages = {**PACKAGES, "x": [LIBRARY, licence]}
    for pin, stays in (("", True), ("{remove: 'rule:licences/*', reason: why}", False)):
        policy = f"version: 1\npins: [{pin}]"
        decision = decided(root, [LIBRARY], packages, policy=policy, granularity="file")
        assert (licence in decision.kept) is stays


def test_what_stays_for_another_reason_is_not_told_of(root: Path) -> None:
    decision = _decided(root, LIBRARY, "remove: 'rule:shell/*'", "keep: 'package:dash'")
    assert "/usr/bin/sh" in decision.kept
    assert decision.plan.gave_way == ()
    assert [(pin.action, pin.paths) for pin in decision.plan.pins] == [("keep", 2), ("remove", 0)]


def test_a_rule_that_a_pin_keeps_fires_without_its_trigger(root: Path) -> None:
    assert not _shell(root, "/opt/x/readme")
    decision = _decided(root, "/opt/x/readme", "keep: 'rule:shell/system'")
    assert "/usr/bin/sh" in decision.kept
    (evidence,) = (each for each in decision.plan.evidence if each.path == "/usr/bin/sh")
    assert (evidence.kind, evidence.detail) == ("pinned", "rule:shell/system: why")
    assert decision.plan.pins == (Pin("keep", "rule:shell/system", "why", 1),)


def test_a_kept_rule_of_paths_fires_for_every_path_of_the_image_that_matches(root: Path) -> None:
    when = "when: {paths: ['{**root}/lib/python3.{minor}/subprocess.py']}"
    rule = f"rules: [{{name: own, why: w, {when}, keep: [/bin/sh]}}]"
    policy = f"version: 1\n{rule}\npins: [{{keep: 'rule:policy/own', reason: r}}]"
    assert "/usr/bin/sh" in decided(root, ["/opt/x/readme"], PACKAGES, policy=policy).kept
    (root / MODULE[1:]).unlink()
    assert "/usr/bin/sh" not in decided(root, ["/opt/x/readme"], PACKAGES, policy=policy).kept


def test_keeping_a_rule_beats_removing_it_and_what_it_holds(root: Path) -> None:
    keep = "keep: 'rule:shell/system'"
    assert _shell(root, LIBRARY, "remove: 'rule:shell/*'", keep)
    assert _shell(root, "/opt/x/readme", "remove: /bin/sh", keep)


def test_a_rule_of_libraries_fires_for_the_machines_of_what_runs(root: Path) -> None:
    compile_library(root / "usr/lib/x86_64-linux-gnu/libgcc_s.so.1", soname="libgcc_s.so.1")
    compile_library(root / "opt/x/libplain.so")
    for pins, stays in (((), False), (("keep: 'rule:libgcc/unwinder'",), True)):
        policy = "version: 1\npins: [" + ", ".join(f"{{{p}, reason: r}}" for p in pins) + "]"
        gcc = {"gcc": ["/usr/lib/x86_64-linux-gnu/libgcc_s.so.1"]}
        decision = decided(root, ["/opt/x/libplain.so"], gcc, policy=policy)
        assert ("/usr/lib/x86_64-linux-gnu/libgcc_s.so.1" in decision.kept) is stays


def test_what_is_kept_alone_brings_nothing_along(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    script = "#!/usr/bin/dash\ncat /x\n"
    files = {"/usr/bin/dash": "x", "/usr/bin/cat": "x", "/usr/bin/ask": script, "/usr/bin/app": "x"}
    make_tree(root, files)
    packages = {"dash": ["/usr/bin/dash"], "ask": ["/usr/bin/ask"], "app": ["/usr/bin/app"]}

    def kept(*pins: str) -> set[str]:
        entries = "".join(f"- {{{pin}, reason: why}}\n" for pin in pins)
        policy = f"version: 1\npins:\n{entries}"
        used = ["/usr/bin/app"]
        decision = decided(root, used, packages, policy=policy, granularity="file")
        return kept_files(decision, root) - {"/usr/bin/cat"}

    assert kept() == {"/usr/bin/app"}
    alone = "keep: /usr/bin/ask, alone: true"
    assert kept(alone) == {"/usr/bin/app", "/usr/bin/ask"}
    assert kept("keep: /usr/bin/ask") == {"/usr/bin/app", "/usr/bin/ask", "/usr/bin/dash"}
    assert kept(alone, "keep: '/usr/bin/a[s]k'") == kept("keep: /usr/bin/ask")


def test_a_rule_that_nobody_knows_is_refused(root: Path) -> None:
    told = r"rule:shell/sytem \(line 3, \$\.pins\[0\]\): there is no rule of that name"
    with pytest.raises(ParedownError, match=told):
        _decided(root, LIBRARY, "remove: 'rule:shell/sytem'")


def test_pins_stand_in_the_plan(root: Path) -> None:
    policy = (
        "version: 1\npins:\n- {keep: /opt/**, reason: r, expires: 2020-02-29}\n"
        "- {remove: 'package:python', reason: s}"
    )
    pins = decided(root, [LIBRARY], PACKAGES, policy=policy).plan.pins
    assert pins == (
        Pin("keep", "/opt/**", "r", 2, "2020-02-29"),
        Pin("remove", "package:python", "s", 1),
    )


@pytest.mark.parametrize("date", ["2027-02-30", "2027-13-01", "0000-01-01"])
def test_a_date_that_there_is_not_is_refused(date: str) -> None:
    text = f"version: 1\npins:\n- keep: /a\n  reason: r\n  expires: {date}\n"
    with pytest.raises(ParedownError, match=r"line 5: \$\.pins\[0\]\.expires must be a date"):
        parse_policy(text)


@pytest.mark.parametrize("date", ["tomorrow", "20270131", "2027-1-31", "2027-01-31T10:00:00Z"])
def test_what_is_no_date_is_refused(date: str) -> None:
    with pytest.raises(
        ParedownError, match=r"line 2: \$\.pins\[0\]\.expires must (match|be string)"
    ):
        parse_policy(f"version: 1\npins: [{{keep: /a, reason: r, expires: {date}}}]\n")


def test_a_pin_holds_to_the_end_of_its_day() -> None:
    pin = Pin("keep", "/a", "r", 1, "2027-01-31")
    assert not pin.expired(dt.date(2027, 1, 31))
    assert pin.expired(dt.date(2027, 2, 1))
    assert not Pin("keep", "/b", "r", 1).expired(dt.date(2027, 2, 1))


def test_an_expired_pin_is_warned_of_and_changes_no_plan(
    tmp_path: Path, make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tree(tmp_path / "tree", {"/app/run": "x", "/app/odd": "x"})
    policy, plan = tmp_path / "policy.yaml", tmp_path / "plan.json"
    command = ["plan", f"dir:{tmp_path / 'tree'}", "--policy", str(policy), "-o", str(plan)]
    command += ["--trace", str(make_trace([use("/app/run")])), "--force"]
    kept = []
    for date in ("2001-01-31", "2999-01-31"):
        policy.write_text(f"version: 1\npins: [{{keep: /app/odd, reason: r, expires: {date}}}]\n")
        assert main(command) == 0
        warning = "warning: the pin of /app/odd expired after 2001-01-31: r"
        assert (warning in capsys.readouterr().err) is (date < "2026")
        kept.append(plan.read_text().replace(date, ""))
    assert kept[0] == kept[1]
