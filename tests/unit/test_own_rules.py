"""Rules that users add in their policy: as the knowledge base's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from decisions import decided, kept_files, make_tree
from paredown_minimizer.decide import Decision
from paredown_minimizer.policyfile import parse_policy
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import GaveWay

PLUGINS = """
rules:
- name: plugins
  why: the application loads what its directory has, by name
  when:
    paths: ["/opt/{app}/bin/run"]
  keep: ["/opt/{app}/plugins/**"]
  except: ["/opt/{app}/plugins/*.md"]
"""
RUN, PLUGIN = "/opt/shop/bin/run", "/opt/shop/plugins/pay.so"
PACKAGES = {"shop": [RUN], "plugins": [PLUGIN], "doc": ["/opt/shop/plugins/pay.md"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_tree(tmp_path / "tree", {RUN: "x", PLUGIN: "x", "/opt/shop/plugins/pay.md": "x"})
    return tmp_path / "tree"


def _decided(root: Path, *parts: str, traced: str = RUN) -> Decision:
    return decided(root, [traced], PACKAGES, policy="version: 1\n" + "".join(parts))


def test_a_rule_fires_as_the_knowledge_bases_do(root: Path) -> None:
    assert kept_files(_decided(root), root) == {RUN}
    decision = _decided(root, PLUGINS)
    assert kept_files(decision, root) == {RUN, PLUGIN}
    (evidence,) = (each for each in decision.plan.evidence if each.path == PLUGIN)
    assert (evidence.kind, evidence.by, evidence.detail) == ("rule", RUN, "policy/plugins")
    assert kept_files(_decided(root, PLUGINS, traced=PLUGIN), root) == {PLUGIN}


def test_a_pin_removes_it_as_any_other(root: Path) -> None:
    decision = _decided(root, PLUGINS, "pins: [{remove: 'rule:policy/*', reason: r}]")
    assert kept_files(decision, root) == {RUN}
    assert decision.plan.gave_way == (GaveWay(PLUGIN, "policy/plugins", RUN, "r"),)


@pytest.mark.parametrize(
    ("rule", "line", "where"),
    [
        ("{name: a, why: w, when: {imports: [x]}}", 3, r"\$\.rules\[0\]"),
        ("{name: a, when: {imports: [x]}, keep: [/a]}", 3, r"\$\.rules\[0\]"),
        ("{name: A, why: w, when: {imports: [x]}, keep: [/a]}", 3, r"\$\.rules\[0\]\.name"),
        ("name: a\n  why: w\n  when: {magic: [x]}\n  keep: [/a]", 5, r"\$\.rules\[0\]\.when"),
        ("name: a\n  why: w\n  when: {imports: [x]}\n  keep: [a]", 6, r"\.keep\[0\] must match"),
        ("{name: a, why: w, when: {imports: [x]}, keep: ['/{b}']}", 3, r"cannot be: .*{b}"),
        (
            "{name: a, why: w, when: {paths: ['/{b}/{b}']}, keep: [/a]}",
            3,
            r"\$\.rules\[0\] cannot be: redefinition",
        ),
    ],
)
def test_mistakes_are_told_with_line_and_place(rule: str, line: int, where: str) -> None:
    with pytest.raises(ParedownError, match=rf"line {line}: .*{where}"):
        parse_policy(f"version: 1\nrules:\n- {rule}\n")


def test_a_name_is_one_rules() -> None:
    rule = "- {name: a, why: w, when: {imports: [x]}, keep: [/a]}\n"
    with pytest.raises(ParedownError, match=r"line 4: \$\.rules\[1\]\.name is there twice"):
        parse_policy(f"version: 1\nrules:\n{rule}{rule}")
