"""Pins: what they do, and how their mistakes are told."""

from __future__ import annotations

import importlib.resources
import json
import re
import textwrap
from pathlib import Path

import pytest

from decisions import decided, kept_files, make_tree
from paredown_minimizer.packages.base import Inventory, Package
from paredown_minimizer.policy import Pin, Policy, granularities, packages_named
from paredown_minimizer.policyfile import parse_policy, read_policy
from paredown_schemas.errors import ParedownError
from traces import use


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    files = {"/usr/bin/app": "x", "/usr/share/app/doc.txt": "x", "/usr/share/app/data.bin": "x"}
    make_tree(tree, {**files, "/usr/bin/spare": "x", "/srv/cache/a": "x", "/srv/cache/b": "x"})
    return tree


DOCS = Path(__file__).resolve().parents[2] / "docs"
PACKAGES = {
    "app": ["/usr/bin/app", "/usr/share/app", "/usr/share/app/doc.txt", "/usr/share/app/data.bin"],
    "spare": ["/usr/bin/spare"],
}
APPLICATION = {"/usr/bin/app", "/usr/share/app/doc.txt", "/usr/share/app/data.bin"}
CACHE = {"/srv/cache/a", "/srv/cache/b"}


def _kept(root: Path, *pins: str) -> set[str]:
    policy = "version: 1\npins:\n" + "".join(f"- {{{pin}, reason: r}}\n" for pin in pins)
    return kept_files(decided(root, ["/usr/bin/app"], PACKAGES, policy=policy), root)


def test_pins_keep_and_remove(root: Path) -> None:
    assert _kept(root, "keep: /srv/**") == APPLICATION | CACHE
    assert _kept(root, "keep: 'package:spare'") == APPLICATION | CACHE | {"/usr/bin/spare"}
    assert _kept(root, "remove: /srv/cache") == APPLICATION
    assert _kept(root, "remove: /srv/**", "keep: /srv/cache/a") == APPLICATION | {"/srv/cache/a"}
    left = APPLICATION | CACHE
    left.remove("/usr/share/app/doc.txt")
    assert _kept(root, "remove: /usr/share/app/*.txt") == left


def test_removed_file_of_a_kept_package_is_a_decision_of_its_own(root: Path) -> None:
    policy = "version: 1\npins: [{remove: /usr/share/app/doc.txt, reason: not served}]"
    plan = decided(root, ["/usr/bin/app"], PACKAGES, policy=policy).plan
    (decision,) = plan.paths
    assert (decision.path, decision.action) == ("/usr/share/app/doc.txt", "remove")
    assert (decision.package, decision.reason) == ("app:all", "not served")
    assert {package.name: package.action for package in plan.packages}["app"] == "trim"


def test_removing_what_is_used_is_refused_and_names_the_use(root: Path) -> None:
    make_tree(root, {"/usr/bin/run": "#!/usr/bin/spare\n"})
    packages = {**PACKAGES, "run": ["/usr/bin/run"]}
    policy = "version: 1\npins: [{remove: 'package:spare', reason: r}]"
    with pytest.raises(ParedownError, match=r"/usr/bin/spare.*interpreter.*/usr/bin/run: traced"):
        decided(root, [use("/usr/bin/run", how="script")], packages, policy=policy)


def test_a_package_is_removed_and_not_the_directories_that_it_lists(root: Path) -> None:
    packages = {**PACKAGES, "spare": ["/usr", "/usr/bin", *PACKAGES["spare"]]}
    policy = "version: 1\npins: [{remove: 'package:spare', reason: r}]"
    traced = [use("/usr/bin/app"), use("/usr/bin", how="directory", kind="directory")]
    decision = decided(root, traced, packages, policy=policy)
    assert "/usr/bin" in decision.kept
    assert "/usr/bin/spare" not in decision.kept


def test_pin_that_names_nothing_is_refused(root: Path) -> None:
    with pytest.raises(ParedownError, match="package:sparee"):
        _kept(root, "remove: 'package:sparee'")


def test_pin_takes_a_pattern_of_packages(root: Path) -> None:
    assert _kept(root, "keep: 'package:s*e'") == APPLICATION | CACHE | {"/usr/bin/spare"}


def _inventory(*packages: Package) -> Inventory:
    nothing: dict[str, frozenset[str]] = {}
    keys = {package.key: package for package in packages}
    return Inventory(keys, nothing, nothing, nothing, frozenset(), nothing)


INVENTORY = _inventory(
    Package("perl", "amd64", "1", "dpkg", "perl"),
    Package("perl", "i386", "1", "dpkg", "perl"),
    Package("perl-base", "amd64", "1", "dpkg", "perl"),
    Package("ms", "", "1", "npm", "ms", location="/app/node_modules/ms"),
    Package("odd", "", "1", "npm", "odd", location="/app/[ab]/odd"),
    Package("odd", "", "1", "npm", "odd", location="/app/a/odd"),
)


@pytest.mark.parametrize(
    ("target", "keys"),
    [
        ("perl", ["perl:amd64", "perl:i386"]),
        ("perl:i386", ["perl:i386"]),
        ("perl*", ["perl:amd64", "perl:i386", "perl-base:amd64"]),
        ("*:amd64", ["perl:amd64", "perl-base:amd64"]),
        ("npm:ms", ["npm:ms@/app/node_modules/ms"]),
        ("npm:*", [key for key in INVENTORY.packages if key.startswith("npm:")]),
        ("npm:odd@/app/[ab]/odd", ["npm:odd@/app/[ab]/odd"]),  # a name before it is a pattern
        ("ms", []),
    ],
)
def test_packages_are_named_by_key_name_and_pattern(target: str, keys: list[str]) -> None:
    assert packages_named(target, INVENTORY) == keys


def _granularity(*entries: str) -> Policy:
    text = "version: 1\ngranularity:\n"
    return parse_policy(text + "".join(f"- {{{each}, reason: r}}\n" for each in entries))


def test_granularity_of_packages_first_entry_counts() -> None:
    policy = _granularity("package: perl-*, granularity: file", "package: p*, granularity: trim")
    assert granularities(policy, INVENTORY) == {
        "perl-base:amd64": ("file", "r"),
        "perl:amd64": ("trim", "r"),
        "perl:i386": ("trim", "r"),
    }


def test_granularity_of_no_package_is_refused() -> None:
    with pytest.raises(
        ParedownError, match=r"of pearl \(line 3, \$\.granularity\[0\]\): the image has no"
    ):
        granularities(_granularity("package: pearl, granularity: file"), INVENTORY)
    with pytest.raises(ParedownError, match=r"line 3: \$\.granularity\[0\]\.granularity"):
        _granularity("package: perl, granularity: files")


def test_policy_is_read() -> None:
    text = "version: 1\npins:\n  - keep: /a/**\n    reason: why\n"
    assert parse_policy(text) == Policy((Pin("keep", "/a/**", "why"),))
    assert parse_policy("version: 1") == Policy()
    assert parse_policy(f"\ufeff{text}".replace("\n", "\r\n")) == parse_policy(text)


def test_entries_know_their_lines() -> None:
    policy = parse_policy("version: 1\npins:\n\n- keep: /a\n  reason: r\n- {keep: /b, reason: r}")
    places = [str(pin.place) for pin in policy.pins]
    assert places == [" (line 4, $.pins[0])", " (line 6, $.pins[1])"]


def test_a_key_that_is_there_twice_is_refused() -> None:
    with pytest.raises(ParedownError, match="line 3: the key reason is there twice"):
        parse_policy("version: 1\npins: [{keep: /a, reason: r,\n  reason: s}]")


@pytest.mark.parametrize(
    ("text", "line", "where"),
    [
        ("version: 2", 1, r"\$\.version"),
        ("version: 1\npins:\n- keep: /a\n", 3, r"\$\.pins\[0\]"),
        ("version: 1\npins:\n- keep: /a\n  reason: r\n- keep: a\n  reason: r\n", 5, r"\[1\]\.keep"),
        ("version: 1\npins:\n- {keep: /a, remove: /a, reason: r}", 3, r"\$\.pins\[0\]"),
        ("version: 1\n\nrule:\n- x", 3, r"\$ must not contain .*rule"),
        ("- a", 1, r"\$ "),
        ("", 1, r"\$ "),
    ],
)
def test_mistakes_are_told_with_line_and_place(text: str, line: int, where: str) -> None:
    with pytest.raises(ParedownError, match=rf"line {line}: .*{where}"):
        parse_policy(text)


@pytest.mark.parametrize("text", ["a: [", "a: \x00", "!!python/object:os.system x", "&a [*a]"])
def test_hostile_yaml_is_one_clear_error(text: str) -> None:
    with pytest.raises(ParedownError, match="cannot read policy"):
        parse_policy(text)


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(ParedownError, match="No such file"):
        read_policy(tmp_path / "policy.yaml")
    (tmp_path / "policy.yaml").write_bytes(b"\xff")
    with pytest.raises(ParedownError, match="not UTF-8"):
        read_policy(tmp_path / "policy.yaml")


_BLOCK = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.MULTILINE)


def _examples() -> list[str]:
    """The policies, and parts of one, that docs/ shows."""
    texts = [(DOCS / name).read_text() for name in ("decisions.md", "gates.md", "hardening.md")]
    blocks = [
        textwrap.dedent(block.lstrip("\n")) for text in texts for block in _BLOCK.findall(text)
    ]
    keys = ("version", "leave_out", "remove_unless_used", "rules", "gates", "renew")
    return [block for block in blocks if block.startswith(tuple(f"{key}:" for key in keys))]


@pytest.mark.parametrize("example", _examples())
def test_what_the_documents_show_is_a_policy(example: str) -> None:
    example = example.partition("\n$ ")[0]
    policy = parse_policy(example if "version:" in example else f"version: 1\n{example}")
    assert policy != Policy()


def test_the_documents_show_each_part() -> None:
    shown = "".join(_examples())
    schema = json.loads(
        (importlib.resources.files("paredown_schemas") / "policy-1.schema.json").read_text()
    )
    assert [name for name in schema["properties"] if f"{name}:" not in shown] == []
    gates = (DOCS / "gates.md").read_text()
    named = schema["definitions"]["gates"]["properties"]
    assert [name for name in named if f"`{name}" not in gates] == []
    bounds = schema["definitions"]["renew"]["properties"]
    hardening = (DOCS / "hardening.md").read_text()
    assert [name for name in bounds if f"`{name}" not in hardening] == []
    kinds = schema["definitions"]["surface_kind"]["enum"]
    assert [kind for kind in kinds if f"`{kind}`" not in gates] == []
