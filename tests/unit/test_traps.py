"""docs/traps.md names a test for each trap, or the subject that will bring it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
DOCUMENT = TESTS.parent / "docs" / "traps.md"
# Work that is still to come.
SUBJECTS = {"Recorder", "Images", "Decisions", "Proof"}
_ROW = re.compile(r"\| (\d+) \|.*\| ([^|]+) \|")
_TEST = re.compile(r"\w+/\w+\.py(?:::\w+)+")


def rows() -> dict[int, str]:
    found = [_ROW.fullmatch(line) for line in DOCUMENT.read_text("utf-8").splitlines()]
    return {int(row[1]): row[2] for row in found if row}


def names(file: Path) -> set[str]:
    """Return the tests of a file as pytest names them, without parameters."""
    found: set[str] = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = (item for item in node.body if isinstance(item, ast.FunctionDef))
            found |= {f"{node.name}::{method.name}" for method in methods}
    return found


def test_every_trap_has_a_row() -> None:
    assert list(rows()) == list(range(1, 48))


def test_every_row_names_a_test_or_a_subject() -> None:
    for number, cell in rows().items():
        assert _TEST.findall(cell) or cell in SUBJECTS, f"trap {number}: {cell}"


def test_every_named_test_exists() -> None:
    named = set(_TEST.findall(DOCUMENT.read_text("utf-8")))
    assert len(named) > 60
    for test in sorted(named):
        file, _, name = test.partition("::")
        assert name.rpartition("::")[2].startswith("test_"), test
        assert name in names(TESTS / file), test
