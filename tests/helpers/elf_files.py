"""Small ELF files, compiled by clang."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path


def can_compile() -> bool:
    """Say whether there is a compiler."""
    return shutil.which("clang") is not None


def compile_library(
    path: Path,
    *,
    soname: str | None = None,
    needs: Iterable[Path] = (),
    imports: Iterable[str] = (),
    options: Iterable[str] = (),
    source: str = "",
) -> Path:
    """Compile a shared object that needs others and imports symbols; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    symbols = "".join(f"void {name}(void); void use_{name}(void){{{name}();}}" for name in imports)
    linked = [f"-Wl,-soname,{soname}"] if soname else []
    return _compile(path, source + symbols, ["-shared", "-fPIC", *linked, *options], needs)


def compile_program(
    path: Path,
    *,
    needs: Iterable[Path] = (),
    options: Iterable[str] = (),
) -> Path:
    """Compile a program for the system's loader, without the C library; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    loader = ["-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2", "-pie"]
    return _compile(path, "void _start(void){}", [*loader, *options], needs)


def _compile(path: Path, source: str, options: list[str], needs: Iterable[Path]) -> Path:
    command = ["clang", "-nostdlib", "-Wno-incompatible-library-redeclaration", "-x", "c", "-"]
    command += [*options, "-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", "-o", str(path)]
    # Behind -x none, so that libraries are not taken for C.
    command += ["-x", "none", *map(str, needs)]
    subprocess.run(command, input=source.encode(), check=True, capture_output=True)
    return path
