"""What an attacker finds, before and after, and what the runs needed of the kernel."""

from __future__ import annotations

from collections.abc import Sequence

from paredown_minimizer.output import percent_gone
from paredown_minimizer.pages import Column, Row, Section
from paredown_minimizer.pages.phrases import some
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Exposed, Need, NeedKind, Plan, SurfaceKind

KINDS: dict[SurfaceKind, str] = {
    "executable": "executables",
    "setuid": "setuid or setgid",
    "file-capability": "file capabilities",
    "shell": "shells",
    "interpreter": "interpreters",
    "package-manager": "package managers",
    "network-client": "network clients",
    "compiler": "compilers",
    "writable": "writable paths",
    "living-off-the-land": "living off the land (GTFOBins)",
    "library": "shared libraries",
    "secret": "like secrets, by name",
}
_NEEDS: dict[NeedKind, str] = {
    "user": "users",
    "port": "ports",
    "capability": "capabilities",
    "refused-capability": "refused capabilities",
    "syscall": "system calls",
    "written": "written directories",
}
_VALUES = 6
_EXPOSED = 10
# What is worth most to an attacker first; what nearly every image has a lot of, last.
_WORTH: tuple[SurfaceKind, ...] = ("setuid", "file-capability", "secret", "shell", "writable")


def surface(plan: Plan) -> Section:
    """Return how many there were and are of each kind."""
    rows = [
        Row(
            (
                KINDS[count.kind],
                f"{count.before:,}",
                f"{count.after:,}",
                percent_gone(count.before, count.after),
            )
        )
        for count in plan.surface
        if count.before or count.after
    ]
    columns = (Column(""), *(Column(title, "number") for title in ("before", "after", "gone")))
    return Section("surface", "Attack surface", columns, rows, headed=True, first=True)


def exposed(plan: Plan) -> Section:
    """Return what of it stays, one by one."""
    rows = [
        Row(
            (
                each.kind,
                escape_name(each.name),
                escape_name(each.package or "unowned"),
                escape_name(each.detail or ""),
            ),
            "+",
            each.package,
        )
        for each in sorted(plan.exposed, key=_worth)
        if each.stays
    ]
    columns = Column("kind"), Column("name", "name"), Column("package", "name"), Column("detail")
    return Section(
        "exposed", f"Attack surface that stays: {len(rows):,}", columns, rows, top=_EXPOSED
    )


def _worth(exposed: Exposed) -> tuple[int, str, str]:
    rank = _WORTH.index(exposed.kind) if exposed.kind in _WORTH else len(_WORTH)
    return rank, exposed.kind, exposed.name


def needs(plan: Plan) -> Section:
    """Return what the runs needed of the kernel, by kind."""
    rows = [
        Row((words, _values([need for need in plan.needs if need.kind == kind])))
        for kind, words in _NEEDS.items()
        if any(need.kind == kind for need in plan.needs)
    ]
    return Section(
        "needs",
        "Run it with less: all that the runs needed",
        (Column("of the kernel"), Column("values", "name")),
        rows,
        note="paredown runtime PLAN writes it as flags of docker, for compose and for Kubernetes.",
    )


def _values(needs: Sequence[Need]) -> str:
    return some([need.value for need in needs], _VALUES)


def unrecorded(plan: Plan) -> Section:
    """Return what nothing is known about."""
    rows = [Row((escape_name(each.facet), escape_name(each.why))) for each in plan.unrecorded]
    return Section("unrecorded", "Not recorded", (Column("facet"), Column("why")), rows)
