"""The halves know each other through the contract alone, and each stays light to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOTS = {
    "paredown_schemas": ROOT / "schemas" / "paredown_schemas",
    "paredown_agent": ROOT / "agent" / "paredown_agent",
    "paredown_minimizer": ROOT / "minimizer" / "paredown_minimizer",
}
FORBIDDEN = {
    "paredown_schemas": {"paredown_agent", "paredown_minimizer"},
    "paredown_agent": {"paredown_minimizer", "lief", "yaml", "rich", "fastjsonschema"},
    "paredown_minimizer": {"paredown_agent", "psutil"},
}


def _imported(package: Path) -> Iterator[tuple[Path, str]]:
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name.split(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield path, node.module.split(".")[0]


@pytest.mark.parametrize("package", ROOTS)
def test_who_imports_whom(package: str) -> None:
    imported = list(_imported(ROOTS[package]))
    assert any(name == "paredown_schemas" for _, name in imported)
    assert [pair for pair in imported if pair[1] in FORBIDDEN[package]] == []


def test_the_agent_imports_little() -> None:
    """It goes where the workload is: its own two dependencies and nothing more."""
    code = (
        "import sys, paredown_agent.cli\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "paredown_agent" in loaded
    assert not set(loaded) & FORBIDDEN["paredown_agent"]
