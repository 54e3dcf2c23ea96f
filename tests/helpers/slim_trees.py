"""What is left of a root filesystem: planned and applied by the commands, as users do it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from paredown_minimizer.cli import main
from paredown_minimizer.image.directory import open_directory
from paredown_schemas.plan import Plan, read_plan
from paredown_schemas.trace import File
from traces import trace_records, write_trace


def slim_tree(original: Path, used: Iterable[str | File], granularity: str, place: Path) -> Plan:
    """Write the plan of a run that used the files to plan.json, and what is left to slim."""
    image = open_directory(str(original))
    trace = place / "app.trace"
    write_trace(trace, trace_records(used, identity=image.identity, platform=image.platform))
    image.close()
    plan = place / "plan.json"
    arguments = [f"dir:{original}", "--trace", str(trace), "--granularity", granularity]
    assert main(["plan", *arguments, "-o", str(plan)]) == 0
    assert main(["apply", str(plan), f"dir:{original}", "-o", f"dir:{place}/slim"]) == 0
    return read_plan(plan)
