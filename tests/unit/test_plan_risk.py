"""Names in used files of what goes."""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from decisions import decided, make_tree

GOES = {
    "/usr/bin/tool": "x",
    "/usr/bin/tr": "x",
    "/usr/share/extra/data.txt": "x",
    "/usr/share/extra/more/x": "x",
    "/etc/extra.conf": "x",
}
PACKAGES: Mapping[str, Iterable[str]] = {
    "extra": [
        "/usr/share/extra",
        "/usr/share/extra/data.txt",
        "/usr/share/extra/more",
        "/usr/share/extra/more/x",
        "/etc/extra.conf",
    ],
    "tool": ["/usr/bin", "/usr/bin/tool", "/usr/bin/tr"],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    make_tree(tree, GOES)
    return tree


def _risks(
    root: Path, content: bytes, path: str = "/app/main"
) -> set[tuple[str | None, str | None]]:
    file = root / path.lstrip("/")
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    make_tree(root, {"/usr/bin/used": "x", "/usr/share/used": "x"})
    risks = decided(root, [path, "/usr/bin/used", "/usr/share/used"], PACKAGES).plan.risks
    assert {risk.named_by for risk in risks} <= {path}
    return {(risk.package, risk.path) for risk in risks}


def test_whole_names_in_programs_and_texts(root: Path) -> None:
    assert _risks(root, b"\0\x01/usr/bin/tool\0") == {("tool:all", "/usr/bin/tool")}
    assert _risks(root, b"run '/usr/bin/tool'; ") == {("tool:all", "/usr/bin/tool")}
    assert _risks(root, b"/usr/bin/tool2 x/usr/bin/tool /usr/bin/too ./usr/bin/tool") == set()
    assert _risks(root, b"/bin:/usr/bin/../bin/tool:") == {("tool:all", "/usr/bin/tool")}


def test_made_up_name_names_its_directory(root: Path) -> None:
    assert _risks(root, b"/usr/share/extra/%s.txt") == {("extra:all", "/usr/share/extra")}
    assert _risks(root, b"/usr/share/extra/none.txt") == {("extra:all", "/usr/share/extra")}
    assert _risks(root, b"/usr/share/none.txt") == set()


def test_bytecode_says_where_a_name_ends(root: Path) -> None:
    code = compile("a = '/etc/extra.conf'; N = '/usr/bin/tool'", "f", "exec")
    found = _risks(root, b"\0" * 16 + marshal.dumps(code), "/app/m.pyc")
    assert found == {("extra:all", "/etc/extra.conf"), ("tool:all", "/usr/bin/tool")}


def test_commands_where_programs_are_started(root: Path) -> None:
    shell = b"#!/bin/sh\nset -e\ncat x | tr a b\n"
    assert _risks(root, shell) == {("tool:all", "/usr/bin/tr")}
    python = b"import subprocess\nsubprocess.run('echo 1 | tr 4 5', shell=True)\n"
    assert _risks(root, python) == {("tool:all", "/usr/bin/tr")}
    assert _risks(root, b"<tr><td>'tr' | tr a</td></tr>") == set()


def test_commands_in_backticks_of_languages_that_run_them(root: Path) -> None:
    ruby = b"# see `tool`\nputs `tr a b`.chomp # or `tool`\n"
    assert _risks(root, ruby, "/app/main.rb") == {("tool:all", "/usr/bin/tr")}
    assert _risks(root, ruby, "/app/README.md") == set()


def test_only_what_was_used_names(root: Path) -> None:
    make_tree(root, {"/app/unused": "/usr/bin/tool", "/app/used": "x"})
    assert decided(root, ["/app/used"], PACKAGES).plan.risks == ()
