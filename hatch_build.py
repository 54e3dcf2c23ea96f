"""Build hook: compile the BPF program, for wheels and editable installs alike.

A wheel carries the object and needs no compiler where it is installed. ``python hatch_build.py``
compiles it alone, for work on the program.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
SOURCE = ROOT / "agent" / "bpf" / "paredown.bpf.c"
OBJECT = ROOT / "agent" / "paredown_agent" / "paredown.bpf.o"
NEEDS = "on Debian and Ubuntu: apt-get install clang llvm libbpf-dev"

# As libbpf's bpf_tracing.h names them.
_TARGETS = {"x86_64": "x86", "aarch64": "arm64"}


class BuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Called by hatchling before it collects the files of a wheel or an editable install."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile, and tag a wheel with the architecture that the object was compiled for."""
        if self.target_name != "wheel":
            return
        compile_object()
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-linux_{platform.machine()}"


def compile_object(machine: str = platform.machine(), target: Path = OBJECT) -> None:
    """Compile ``SOURCE`` for the kernels of ``machine``, which need not be this one's.

    Raises:
        SystemExit: a tool is missing, or the program does not compile.
    """
    if machine not in _TARGETS:
        sys.exit(f"cannot compile {SOURCE.name}: no BPF target is known for {machine}")
    options = ["-O2", "-g", "-Wall", "-Werror", "-target", "bpf"]
    # Under its final name only once it is whole: recorders of other processes load it from there.
    new = target.with_suffix(".new.o")
    try:
        _run(
            [
                *("clang", *options, f"-D__TARGET_ARCH_{_TARGETS[machine]}"),
                *("-c", str(SOURCE), "-o", str(new)),
            ]
        )
        # Debug information goes; the .BTF sections, which the loader needs, stay.
        _run(["llvm-strip", "-g", str(new)])
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        sys.exit(f"cannot compile {SOURCE.name}: {command[0]} is not installed; {NEEDS}")
    except subprocess.CalledProcessError:
        sys.exit(f"cannot compile {SOURCE.name}: {command[0]} failed; headers missing? {NEEDS}")


if __name__ == "__main__":
    compile_object()
