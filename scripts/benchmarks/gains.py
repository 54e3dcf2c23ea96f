"""What goes and whether it still works: nginx, and a Flask application that saw GET / alone."""

from __future__ import annotations

import json
from pathlib import Path

from harness import Row, Table, say, totals

from applications import APPLICATIONS, Application, record, slim
from tree_witness import regular_bytes

MB = 1_000_000


def measure(space: Path) -> Table:
    """Make the table."""
    rows: list[Row] = []
    for application in APPLICATIONS:
        for granularity in ("package", "trim", "file"):
            say(f"gains: {application.name}, {granularity}")
            plan, tree = slim(application, granularity, space)
            rows += _rows(application, granularity, plan, tree, space)
    method = (
        "Recorded with `paredown-agent record --rootfs` under the load named, planned and applied "
        "`dir:` to `dir:`, then every view asked of the slim tree and of the original. Bytes are "
        "of regular files, counted in the tree, not taken from the plan."
    )
    return Table("Gains", method, rows)


def _rows(
    application: Application, granularity: str, plan: Path, tree: Path, space: Path
) -> list[Row]:
    before, after = totals(plan)
    had, left = regular_bytes(application.source), regular_bytes(tree)
    gone = 1 - left / had
    packages = 1 - after["packages"] / before["packages"]
    bars = {
        ("nginx", "package"): (0.80, 0.88),
        ("flask", "package"): (0.60, 0.60),
    }.get((application.rootfs, granularity))
    size = f"{had / MB:.1f} → {left / MB:.1f} MB ({gone:.1%} gone)"
    count = f"{before['packages']} → {after['packages']} packages ({packages:.1%} gone)"
    what = f"{application.name}, `{granularity}`"
    if bars:
        size_row = Row(f"{what}: bytes", f"{bars[0]:.0%} gone", size, gone >= bars[0])
        rows = [
            size_row,
            Row(f"{what}: packages", f"{bars[1]:.0%} gone", count, packages >= bars[1]),
        ]
    elif (application.rootfs, granularity) == ("nginx", "file"):
        rows = [
            Row(f"{what}: bytes", "at most 12 MB left", size, left <= 12 * MB),
            Row(f"{what}: packages", "", count, None),
        ]
    else:
        rows = [Row(f"{what}: bytes", "", size, None), Row(f"{what}: packages", "", count, None)]
    return [*rows, _answers(application, what, granularity, plan, tree, space)]


def _answers(
    application: Application, what: str, granularity: str, plan: Path, tree: Path, space: Path
) -> Row:
    expected = record(application, application.source, space / "original.trace", application.views)
    answered = record(application, tree, space / "slim.trace", application.views)
    wrong = [view for view in application.views if answered[view] != expected[view]]
    named = [
        f"{risk['package']} {risk['path']}"
        for risk in json.loads(plan.read_text())["risks"]
        if risk["named_by"] == "/app/app.py"
    ]
    right = len(application.views) - len(wrong)
    measured = f"{right} of {len(application.views)} views"
    if wrong:
        measured += f"; {', '.join(wrong)} differs, the risk list names {', '.join(named)}"
    bar = "as on the original, or named as a risk" if granularity != "file" else ""
    # The one view that runs a command which only a string in the application names.
    holds = set(wrong) <= {"/pipeline"} and (not wrong or "coreutils:amd64 /usr/bin/tr" in named)
    return Row(f"{what}: answers", bar, measured, holds if bar else None)
