"""The object for arm64 compiles here, and asks its kernel for the same fields. It is not run."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from fixture_types import Require

ROOT = Path(__file__).resolve().parents[2]
BTF = Path("/sys/kernel/btf/vmlinux")
MACHINES = ("x86_64", "aarch64")


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory, require: Require) -> dict[str, Path]:
    for tool in ("clang", "llvm-strip"):
        require(shutil.which(tool) is not None, f"{tool} is not installed")
    space = tmp_path_factory.mktemp("objects")
    found = {machine: space / f"{machine}.o" for machine in MACHINES}
    for machine, path in found.items():
        runpy.run_path(str(ROOT / "hatch_build.py"))["compile_object"](machine, path)
    return found


def parts(path: Path) -> tuple[set[str], set[str]]:
    """Return the names of an object's sections, and of its programs and maps."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        assert elf["e_machine"] == "EM_BPF"
        symbols = elf.get_section_by_name(".symtab")
        assert isinstance(symbols, SymbolTableSection)
        named = {
            symbol.name
            for symbol in symbols.iter_symbols()
            if symbol["st_info"]["bind"] == "STB_GLOBAL"
        }
        return {section.name for section in elf.iter_sections()}, named


def fields(path: Path, require: Require) -> set[str]:
    """Return the fields of this kernel that the object's relocations name, as libbpf finds them."""
    require(shutil.which("bpftool") is not None and BTF.exists(), "no bpftool, or no BTF")
    found = path.with_suffix(".btf")
    subprocess.run(["bpftool", "gen", "min_core_btf", BTF, found, path], check=True)
    dump = ["bpftool", "btf", "dump", "file", str(found), "format", "c"]
    text = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    blocks = re.findall(r"^struct (\w+) \{\n(.*?)^\};", text, re.MULTILINE | re.DOTALL)
    return {
        f"{name}.{field}"
        for name, block in blocks
        for field in re.findall(r"(\w+)(?:\[\d+\])?;$", block, re.MULTILINE)
    }


def test_has_the_same_programs_and_maps(objects: dict[str, Path]) -> None:
    here, there = (parts(objects[machine]) for machine in MACHINES)
    assert there == here
    sections, names = there
    assert {".BTF", ".BTF.ext", ".maps", ".rodata", "license", "fexit"} <= sections
    assert {"session_exec", "opened_by_path", "exec_loader", "tasks", "events"} <= names


def test_asks_for_the_same_fields(objects: dict[str, Path], require: Require) -> None:
    here, there = (fields(objects[machine], require) for machine in MACHINES)
    assert {"file.f_path", "dentry.d_name", "linux_binprm.buf", "task_struct.tgid"} <= there
    # The registers, and which kind of program runs, are each architecture's own.
    assert {name.split(".")[0] for name in here ^ there} <= {"pt_regs", "thread_info"}
    assert "pt_regs.orig_ax" in here - there
