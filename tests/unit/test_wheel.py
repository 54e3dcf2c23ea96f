"""The build compiles the BPF program; what is installed from the wheel needs no compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from fixture_types import Require

ROOT = Path(__file__).resolve().parents[2]


def _pip(*arguments: str | Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **({"PATH": path} if path is not None else {})},
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, require: Require) -> Path:
    for tool in ("clang", "llvm-strip"):
        require(shutil.which(tool) is not None, f"{tool} is not installed")
    target = tmp_path_factory.mktemp("wheel")
    built = _pip("wheel", "--no-build-isolation", "--no-deps", "-w", target, ROOT)
    assert built.returncode == 0, built.stderr
    (path,) = target.glob("*.whl")
    return path


def test_the_wheel_carries_the_object_and_the_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        with archive.open("paredown_agent/paredown.bpf.o") as file:
            elf = ELFFile(file)
            assert elf["e_machine"] == "EM_BPF"
            assert elf.get_section_by_name(".BTF") is not None
            assert elf.get_section_by_name(".debug_info") is None
    assert "paredown_agent/bpf/bcc.h" in names
    for package in ("agent", "minimizer", "schemas"):
        assert f"paredown_{package}/py.typed" in names
    sources = {path.name for path in ROOT.glob("schemas/paredown_schemas/*.json")}
    assert {Path(name).name for name in names if name.startswith("paredown_schemas/")} >= sources
    assert any(name.startswith("paredown_minimizer/rules/") for name in names)
    assert "paredown_minimizer/formats/page/page.html.j2" in names
    assert wheel.name.startswith("paredown-")
    assert "-any" not in wheel.name


def test_it_runs_where_there_is_no_compiler(wheel: Path, tmp_path: Path) -> None:
    installed = _pip(
        "install", "--no-deps", "--no-index", "--target", tmp_path, wheel, path="/nonexistent"
    )
    assert installed.returncode == 0, installed.stderr
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import paredown_agent, paredown_minimizer.cli as cli\n"
        "from pathlib import Path\n"
        "assert Path(cli.__file__).is_relative_to(sys.argv[1]), cli.__file__\n"
        "assert (Path(paredown_agent.__file__).parent / 'paredown.bpf.o').stat().st_size > 1000\n"
        "cli.main(['--version'])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/nonexistent"},
    )
    assert result.stdout.startswith("paredown "), result.stderr


def test_a_missing_compiler_is_told_with_the_way_out(tmp_path: Path) -> None:
    before = (ROOT / "agent" / "paredown_agent" / "paredown.bpf.o").read_bytes()
    result = subprocess.run(
        [sys.executable, str(ROOT / "hatch_build.py")],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(tmp_path)},
    )
    assert result.returncode != 0
    assert "clang is not installed" in result.stderr
    assert "apt-get install clang llvm libbpf-dev" in result.stderr
    assert (ROOT / "agent" / "paredown_agent" / "paredown.bpf.o").read_bytes() == before
