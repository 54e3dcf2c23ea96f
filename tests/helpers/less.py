"""Options that start a container with less, as ``paredown runtime`` prints them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from applications import PAREDOWN
from paredown_minimizer.runtime.formats import PROFILE


def options(plan: Path) -> list[str]:
    """Return them for docker and podman; the seccomp profile is written beside ``plan``."""
    profile = plan.with_name(PROFILE)
    _runtime(plan, "seccomp", "-o", str(profile), "--force")
    script = _runtime(plan, "docker") + 'printf "%s\\0" "${options[@]}"'
    shell = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    found = shell.stdout.split("\0")[:-1]
    return [option.replace(f"seccomp={PROFILE}", f"seccomp={profile}") for option in found]


def _runtime(plan: Path, form: str, *more: str) -> str:
    command = [PAREDOWN, "runtime", str(plan), "--format", form, *more]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout
