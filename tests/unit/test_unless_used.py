"""``remove_unless_used``: what holds a program, what gives way, and the proof."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from decisions import decided, make_tree
from elf_files import can_compile, compile_library
from fixture_types import Require
from paredown_minimizer.cli import main
from paredown_minimizer.decide import Decision
from paredown_minimizer.policyfile import parse_policy
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import GaveWay, UnlessUsed, read_plan
from paredown_schemas.trace import File, Session
from traces import trace_records, use, write_trace

SHELLS = ("/usr/bin/bash", "/usr/bin/dash", "/usr/bin/rbash", "/usr/bin/sh")
BASH, DASH = {"/usr/bin/bash", "/usr/bin/rbash"}, {"/usr/bin/dash", "/usr/bin/sh"}
LIBRARY = "/usr/lib/libapp.so"  # calls system(3)
SCRIPT = "/usr/bin/run"
PACKAGES = {
    "app": ["/usr/bin/app", LIBRARY, "/usr/bin/dash", SCRIPT],
    "bash": ["/usr/bin/bash", "/usr/bin/rbash", "/etc/profile"],
    "sh": ["/usr/bin/sh"],
}


@pytest.fixture
def root(tmp_path: Path, require: Require) -> Path:
    require(can_compile(), "clang is not installed")
    tree = tmp_path / "tree"
    links = {"/bin": "-> usr/bin", "/usr/bin/rbash": "-> bash", "/usr/bin/sh": "-> dash"}
    texts = {
        "/usr/bin/app": "x",
        "/usr/bin/bash": "#!x",
        "/usr/bin/dash": "#!x",
        "/etc/profile": "",
    }
    make_tree(tree, {**links, **texts, SCRIPT: "#!/bin/sh\n", "/opt/x": "x"})
    compile_library(tree / LIBRARY[1:], imports=["system"])
    return tree


def _decided(
    root: Path, traced: Iterable[str | File], more: str = "", what: str = "shell", **options: Any
) -> Decision:
    policy = f"version: 1\nremove_unless_used: [{{what: {what}, reason: why}}]\n{more}"
    return decided(root, traced, PACKAGES, policy=policy, **options)


def _shells(decision: Decision) -> set[str]:
    return {path for path in SHELLS if path in decision.kept}


APP = [use("/usr/bin/app", how="exec"), use(LIBRARY, how="library")]


def test_rules_and_packages_that_stay_whole_give_way(root: Path) -> None:
    assert _shells(decided(root, APP, PACKAGES)) == {"/usr/bin/dash", "/usr/bin/sh"}
    decision = _decided(root, APP)
    assert _shells(decision) == set()
    plan = decision.plan
    assert plan.unless_used == (UnlessUsed("shell", "why", 1, 1, 0, SHELLS, ()),)
    assert plan.gave_way == (GaveWay("/usr/bin/sh", "shell/system", LIBRARY, "why"),)
    (gone,) = plan.paths  # dash is of a package that stays; those of the shells' own go with them
    assert (gone.path, gone.action, gone.reason) == ("/usr/bin/dash", "remove", "why")
    assert {p.name: p.action for p in plan.packages} == {
        "app": "trim",
        "bash": "remove",
        "sh": "remove",
    }


@pytest.mark.parametrize(
    ("traced", "options", "stays"),
    [
        ([use("/usr/bin/dash", how="exec")], {}, DASH),
        ([use("/usr/bin/bash")], {}, BASH),
        ([use(SCRIPT, how="script")], {}, DASH),
        (
            [],
            {"config": {"Entrypoint": ["/bin/sh", "-c", "app"]}},
            {"/usr/bin/dash", "/usr/bin/sh"},
        ),
        (
            [],
            {"config": {"Healthcheck": {"Test": ["CMD-SHELL", "app"]}}},
            {"/usr/bin/dash", "/usr/bin/sh"},
        ),
        (
            [],
            {"more": "pins: [{keep: /usr/bin/dash, reason: r}]"},
            {"/usr/bin/dash", "/usr/bin/sh"},
        ),
        (
            [],
            {"more": "pins: [{keep: 'package:bash', reason: r}]"},
            {"/usr/bin/bash", "/usr/bin/rbash"},
        ),
        (
            [],
            {"more": "pins: [{keep: 'rule:shell/system', reason: r}]"},
            {"/usr/bin/dash", "/usr/bin/sh"},
        ),
    ],
    ids=["exec", "read", "script", "entrypoint", "health check", "pin", "package", "rule"],
)
def test_what_is_seen_to_use_it_holds_it(
    root: Path, traced: list[File], options: Any, stays: set[str]
) -> None:
    decision = _decided(root, [*APP, *traced], **options)
    assert _shells(decision) == stays
    (proof,) = decision.plan.unless_used
    assert set(proof.stays) == stays
    assert proof.used == sum(each.how == "exec" for each in traced)
    held = {each.path for each in decision.plan.evidence}
    assert stays <= held  # explain tells of each what holds it


def test_what_is_linked_stays(root: Path) -> None:
    """A program of a kind that goes, were it a library as well."""
    compile_library(root / "usr/lib/libsh.so", soname="libsh.so")
    (root / "usr/lib/libsh.so").rename(root / "usr/bin/ksh")
    (root / "usr/lib/libsh.so").symlink_to("../bin/ksh")
    (root / "usr/bin/ksh").chmod(0o755)
    assert "/usr/bin/ksh" not in _decided(root, APP).kept
    # Not used itself, but of a package that stays whole.
    compile_library(root / "usr/lib/libother.so", needs=[root / "usr/lib/libsh.so"])
    packages = {**PACKAGES, "app": [*PACKAGES["app"], "/usr/lib/libother.so"]}
    policy = "version: 1\nremove_unless_used: [{what: shell, reason: why}]"
    assert "/usr/bin/ksh" in decided(root, APP, packages, policy=policy).kept


def test_uses_that_are_left_out_hold_nothing_and_are_no_proof(root: Path) -> None:
    traced = [*APP, use("/usr/bin/bash", how="exec", session=2)]
    records = [Session(2, "injected", 200, 0)]
    assert "/usr/bin/bash" in _decided(root, traced, records=records).kept
    more = "leave_out: [{session: injected, reason: r}]"
    decision = _decided(root, traced, more, records=records)
    assert _shells(decision) == set()
    assert [(each.execs, each.used) for each in decision.plan.unless_used] == [(1, 0)]


def test_nobodys_shell_goes_too(root: Path) -> None:
    make_tree(root, {"/opt/bin/zsh": "#!x"})
    assert "/opt/bin/zsh" in decided(root, APP, PACKAGES).kept
    decision = _decided(root, APP)
    assert "/opt/bin/zsh" not in decision.kept
    assert "/opt/x" in decision.kept
    assert ("/opt/bin/zsh", "why") in {(path.path, path.reason) for path in decision.plan.paths}


def test_setuid_programs(root: Path) -> None:
    (root / "usr/bin/app").chmod(0o4755)
    make_tree(root, {"/usr/bin/su": "#!x", "/usr/bin/link": "-> su"})
    (root / "usr/bin/su").chmod(0o4755)
    decision = _decided(root, APP, what="setuid")
    assert "/usr/bin/app" in decision.kept
    assert not {"/usr/bin/su", "/usr/bin/link"} & decision.kept
    (proof,) = decision.plan.unless_used
    assert (proof.used, proof.gone, proof.stays) == (1, ("/usr/bin/su",), ("/usr/bin/app",))


def test_an_image_without_any_is_no_error(root: Path) -> None:
    assert _decided(root, APP, what="compiler").plan.unless_used == (
        UnlessUsed("compiler", "why", 1, 1, 0),
    )


def test_only_kinds_of_programs_can_be_meant() -> None:
    with pytest.raises(ParedownError, match=r"line 2: \$\.remove_unless_used\[0\]\.what"):
        parse_policy("version: 1\nremove_unless_used: [{what: library, reason: r}]")


def test_plan_tells_the_proof(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a package manager, all files of the tree are the application's."""
    policy, output = root.parent / "policy.yaml", root.parent / "plan.json"
    policy.write_text("version: 1\nremove_unless_used: [{what: shell, reason: why}]\n")
    traced = [*APP, use("/usr/bin/bash", how="exec")]
    trace = write_trace(root.parent / "t.trace", trace_records(traced))
    command = ["plan", f"dir:{root}", "--trace", str(trace), "--policy", str(policy)]
    assert main([*command, "-o", str(output)]) == 0
    assert (
        "shell: 2 paths removed; 1 of 2 recorded execs in 1 run started one; "
        "in use, and so left: /usr/bin/bash, /usr/bin/rbash\n"
    ) in capsys.readouterr().err
    assert read_plan(output).unless_used[0].gone == ("/usr/bin/dash", "/usr/bin/sh")
    assert main(["explain", str(output), "/bin/sh"]) == 0
    assert "  shell, removed unless used; policy: why\n" in capsys.readouterr().out
