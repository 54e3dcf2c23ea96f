"""How it was done: what was recorded by what, in which scenarios, how completely."""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer import rebase
from paredown_minimizer.material import Material
from paredown_minimizer.output import more, plural
from paredown_minimizer.pages import Column, Row, Section
from paredown_minimizer.pages.policy import left_out
from paredown_minimizer.pages.rebase import moved, new_packages
from paredown_minimizer.pages.report.summary import when
from paredown_minimizer.pages.review import CURVE
from paredown_minimizer.pages.surface import unrecorded
from paredown_minimizer.profile import sentence
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Granularity, Plan, TraceInput
from paredown_schemas.trace import Run

_FACTS = Column(""), Column("")
_SESSIONS = 3
_GRANULARITIES: dict[Granularity, str] = {
    "package": "a package of which anything was used stays whole, the others go",
    "trim": "a package of which anything was used stays but for what no program reads at run time "
    "(documentation, headers, other languages' messages), the others go",
    "file": "of a package of which anything was used stays what evidence holds, the others go",
}
_HOW = (
    "The container ran under load while a recorder in the kernel noted each file of the image at "
    "its first use, with the program that used it. From that, and from what the image itself says "
    "(libraries that the loader would load, interpreters, links, a knowledge base of what programs "
    "open on a bad day), the plan decides for each package and path. Nothing of the image was run "
    "to decide. The package database was rewritten to list exactly what is left, so that scanners "
    "see every package of which a file is left, and none of which nothing is."
)


def chapters(material: Material) -> Iterator[Section]:
    """Yield the method, the scenarios and how complete they are."""
    plan = material.plan
    yield Section("method", "Method", prose=(_HOW,), chapter=True)
    yield Section("facts", "What this report speaks of", _FACTS, list(_facts(material)))
    yield Section(
        "scenarios",
        f"Scenarios: {plural(len(plan.traces), 'run')}",
        prose=("Only what these runs did counts as use.",),
        chapter=True,
    )
    yield _runs(plan)
    yield _recordings(material)
    yield left_out(plan)
    yield Section("completeness", "Completeness", prose=(sentence(plan),), chapter=True)
    yield CURVE
    yield unrecorded(plan)
    yield moved(plan)
    yield new_packages(plan)


def _facts(material: Material) -> Iterator[Row]:
    plan = material.plan
    known = plan.distribution
    told = [
        ("image", escape_name(plan.image)),
        ("platform", escape_name(plan.platform)),
        ("distribution", escape_name((known.name or known.id) if known else "not told")),
        ("plan", f"{plan.id}, made by Paredown {escape_name(plan.paredown)}"),
        ("granularity", f"{plan.granularity}: {_GRANULARITIES[plan.granularity]}"),
        ("recorders", ", ".join(sorted({escape_name(t.recorder or "?") for t in plan.traces}))),
        ("evidence", _evidence(plan)),
    ]
    if plan.rebase:
        told.append(("rebased", rebase.sentence(plan.rebase)))
    if material.time:
        told.append(("as of", f"{when(material.time)}, {_clock(material)}"))
    yield from (Row(cells) for cells in told)


def _evidence(plan: Plan) -> str:
    kinds: dict[str, int] = {}
    for evidence in plan.evidence:
        kinds[evidence.kind] = kinds.get(evidence.kind, 0) + 1
    ranked = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {kind}" for kind, count in ranked) or "none"


def _clock(material: Material) -> str:
    return "the verification's start" if material.verification else "the last run's start"


def _runs(plan: Plan) -> Section:
    rows = [
        Row(
            (
                escape_name(trace.scenario or "-"),
                escape_name(trace.run),
                when(trace.started),
                escape_name(trace.recorder or ""),
                f"{trace.files:,}",
                _sessions(plan, number),
                _verdict(trace),
            ),
            "✓" if trace.verdict == "complete" else "!",
        )
        for number, trace in enumerate(plan.traces)
    ]
    columns = (
        Column("scenario"),
        Column("run", "name"),
        Column("started"),
        Column("recorder"),
        Column("paths", "number"),
        Column("sessions"),
        Column("verdict"),
    )
    return Section("runs", "Runs", columns, rows, headed=True)


def _verdict(trace: TraceInput) -> str:
    return ": ".join(filter(None, (trace.verdict, escape_name("; ".join(trace.reasons)))))


def _sessions(plan: Plan, run: int) -> str:
    found = [session for session in plan.sessions if session.run == run]
    told = [
        f"{each.count:,} {each.kind}" + (f" ({escape_name(each.exe)})" if each.exe else "")
        for each in found[:_SESSIONS]
    ]
    return ", ".join(told) + more(len(found) - _SESSIONS)


def _recordings(material: Material) -> Section:
    columns = (
        Column("run", "name"),
        Column("target"),
        Column("command", "name"),
        Column("agent"),
        Column("kernel"),
    )
    rows = [_recording(run) for run in material.runs]
    return Section("recordings", "As recorded", columns, rows, headed=True)


def _recording(run: Run) -> Row:
    header = run.header
    told = (header.run, header.target, " ".join(header.command), header.agent, header.kernel)
    return Row(tuple(escape_name(text) for text in told))
