"""The whole way of a check: a plan from one real recording, held against another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from fixture_types import Require
from paredown_schemas.identity import host_platform

AGENT = [sys.executable, "-m", "paredown_agent"]
PAREDOWN = [sys.executable, "-m", "paredown_minimizer"]


def _record(rootfs: Path, trace: Path, *command: str) -> None:
    record = [*AGENT, "record", "--rootfs", str(rootfs), "-o", str(trace), "--scenario", trace.stem]
    subprocess.run([*record, "--", *command], check=True, timeout=60, capture_output=True)


def _paredown(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PAREDOWN, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )


def test_a_later_run_finds_what_the_plan_takes_away(
    nginx_rootfs: Path, tmp_path: Path, require: Require
) -> None:
    doctor = subprocess.run([*AGENT, "doctor"], capture_output=True, check=False)
    require(doctor.returncode == 0, "no recorder works here: see paredown-agent doctor")
    plan, first, second = tmp_path / "plan.json", tmp_path / "first", tmp_path / "second"
    _record(nginx_rootfs, first, "/bin/true")
    _record(nginx_rootfs, second, "/bin/sed", "-n", "$p", "/etc/passwd")
    made = _paredown("plan", f"dir:{nginx_rootfs}", "--trace", first, "-o", plan)
    assert made.returncode == 0, made.stderr

    assert _paredown("check", plan, "--trace", first).returncode == 0
    checked = _paredown("check", plan, "--trace", first, "--trace", second, "--format", "json")
    assert checked.returncode == 3, checked.stderr
    misses = {miss["path"]: miss for miss in json.loads(checked.stdout)["misses"]}
    assert misses["/usr/bin/sed"]["package"] == f"sed:{host_platform().rpartition('/')[2]}"
    assert "exec" in misses["/usr/bin/sed"]["how"]
    assert misses["/usr/bin/sed"]["scenarios"] == ["second"]
    assert "/usr/bin/true" not in misses

    both = tmp_path / "both.trace"
    assert _paredown("merge", second, first, "-o", both).returncode == 0
    again = _paredown("plan", f"dir:{nginx_rootfs}", "--trace", both, "-o", tmp_path / "again.json")
    assert again.returncode == 0, again.stderr
    assert _paredown("check", tmp_path / "again.json", "--trace", both).returncode == 0
