"""What a plan says of runs that were recorded on an earlier image."""

from __future__ import annotations

from paredown_minimizer.output import plural
from paredown_minimizer.pages import Column, Row, Section
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Moved, Plan


def moved(plan: Plan) -> Section:
    """Return where what the runs used went in this image; what vanished comes first."""
    rows = [
        Row(
            (
                escape_name(each.path),
                escape_name(each.to) if each.to else "vanished",
                escape_name(each.package or "unowned"),
                _versions(each),
            ),
            "" if each.to else "!",
        )
        for each in sorted(plan.moved, key=lambda each: (each.to is not None, each))
    ]
    lost = sum(each.to is None for each in plan.moved)
    title = f"Moved since the recording: {plural(len(rows) - lost, 'path')}; vanished: {lost:,}"
    columns = Column("path", "name"), Column("now", "name"), Column("package", "name"), Column("")
    note = "Nobody ran this image yet: test what comes out of this plan."
    return Section("moved", title, columns, rows, note)


def new_packages(plan: Plan) -> Section:
    """Return the packages that no run could use."""
    names = plan.rebase.new_packages if plan.rebase else ()
    actions = {package.key: package.action for package in plan.packages}
    rows = [Row((escape_name(key), actions.get(key, "remove"))) for key in names]
    title = (
        f"New since the recording, so that no run could use them: {plural(len(rows), 'package')}"
    )
    return Section("new-packages", title, (Column("package", "name"), Column("action")), rows)


def _versions(moved: Moved) -> str:
    before, after = escape_name(moved.before or "-"), escape_name(moved.after or "gone")
    return before if before == after else f"{before} → {after}"
