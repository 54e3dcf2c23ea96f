"""``paredown inspect TRACE…``: what a trace holds, and its verdict."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from paredown_minimizer.needs import ids_of, need_facts, needs_json
from paredown_minimizer.output import align, json_text, plural, write_output
from paredown_minimizer.phases import phases, shown_path
from paredown_minimizer.traces import started
from paredown_schemas.names import escape_name
from paredown_schemas.trace import Loss, Process, Run, Trace, read_trace

FORMAT = "paredown-inspect"
VERSION = 1


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("inspect", help="what a trace holds, and its verdict")
    parser.add_argument("traces", nargs="+", metavar="TRACE")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument(
        "--files", action="store_true", help="list the paths and how each was used, sorted"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what the traces hold; a partial trace is told, and no error here."""
    traces = [(path, read_trace(Path(path))) for path in arguments.traces]
    if arguments.format == "json":
        document = [_trace_json(path, trace, files=arguments.files) for path, trace in traces]
        text = json_text({"format": FORMAT, "version": VERSION, "traces": document})
    else:
        lines: list[str] = []
        for path, trace in traces:
            if arguments.files:
                lines += _file_lines(trace)
            else:
                lines += [*([""] if lines else []), *_trace_lines(path, trace)]
        text = "".join(line + "\n" for line in lines)
    write_output("-", text, force=False)
    return 0


def _trace_lines(path: str, trace: Trace) -> Iterator[str]:
    paths = {file.path for run in trace.runs for file in run.files()}
    yield (
        f"{escape_name(path)}: {trace.verdict}, {plural(len(trace.runs), 'run')}, "
        f"{plural(len(paths), 'path')}"
    )
    for run in trace.runs:
        yield ""
        rows = [(f"  {name}", value) for name, value in _facts(run)]
        yield from align(rows)
        if marked := _phases(run):
            yield ""
            yield from align([("  phase", "from", "new paths"), *marked], right=[1, 2])
        if programs := _programs(run):
            yield ""
            head = ("  program", "paths", "as uid:gid", "session")
            yield from align([head, *programs], right=[1])


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    header = run.header
    yield "run", escape_name(header.run)
    yield "verdict", run.verdict
    for reason in run.reasons:
        yield "  because", escape_name(reason)
    yield "scenario", escape_name(header.scenario or "-")
    if run.image is not None:
        yield "image", escape_name(run.image.identity or "unknown: recorded inside a container")
        if run.image.reference is not None:
            yield "reference", escape_name(run.image.reference)
    yield "platform", escape_name(header.platform)
    yield "target", escape_name(" ".join(filter(None, (header.target, header.container))))
    yield "command", escape_name(shlex.join(header.command))
    yield "recorded", f"{_start(run)}, {_seconds(run)}"
    yield (
        "by",
        escape_name(f"{header.recorder} on Linux {header.kernel}, paredown-agent {header.agent}"),
    )
    yield "paths", _how_counts(run)
    yield (
        "sessions",
        ", ".join(f"{session.kind} (pid {session.pid})" for session in run.sessions().values()),
    )
    yield from need_facts(run)
    yield "lost", _losses(run)


def _start(run: Run) -> str:
    start = started(run)
    return f"{start:%Y-%m-%d %H:%M:%S} UTC" if start else "at an impossible time"


def _seconds(run: Run) -> str:
    if run.trailer is None:
        return "without an end"
    return f"{run.trailer.time / 1e9:.1f} s"


def _how_counts(run: Run) -> str:
    counts = collections.Counter(file.how for file in run.files())
    total = len({file.path for file in run.files()})
    kinds = ", ".join(f"{count:,} {how}" for how, count in counts.most_common())
    return f"{total:,}" + (f" ({kinds})" if kinds else "")


def _losses(run: Run) -> str:
    losses = [record for record in run.records if isinstance(record, Loss)]
    if not losses:
        return "nothing"
    return ", ".join(
        f"{'an unknown number' if loss.count is None else f'{loss.count:,}'} "
        f"at {loss.time / 1e9:.1f} s in {escape_name(loss.where)}"
        for loss in losses
    )


def _phases(run: Run) -> list[tuple[str, str, str]]:
    return [
        (
            "  " + ("(start)" if phase.name is None else escape_name(phase.name)),
            f"{phase.time / 1e9:.1f} s",
            f"{len(phase.paths):,}",
        )
        for phase in phases(run)
    ]


def _programs(run: Run) -> list[tuple[str, str, str, str]]:
    """Return each program of each session, with how many paths it was the first to use."""
    used: dict[tuple[str | None, int], set[str]] = collections.defaultdict(set)
    for file in run.files():
        used[file.exe, file.session].add(file.path)
    for record in run.records:
        if isinstance(record, Process):
            used.setdefault((record.exe, record.session), set())
    sessions = run.sessions()
    return [
        (
            "  " + ("(unknown)" if exe is None else escape_name(exe)),
            f"{len(paths):,}",
            ids_of(run, exe, session),
            sessions[session].kind if session in sessions else "unknown",
        )
        for (exe, session), paths in sorted(used.items(), key=lambda use: (use[0][0] or "", use[0]))
    ]


@dataclasses.dataclass(slots=True)
class _Uses:
    """How a path was used, by which programs, and in which phases first, one for each run."""

    hows: set[str] = dataclasses.field(default_factory=set)
    exes: set[str] = dataclasses.field(default_factory=set)
    phases: set[str] = dataclasses.field(default_factory=set)


def _file_lines(trace: Trace) -> list[str]:
    """With a column of phases only where somebody marked any."""
    uses = _uses(trace.runs)
    marked = any(each.phases for _, each in uses)
    rows = [
        (
            ",".join(sorted(each.hows)),
            *([", ".join(sorted(map(escape_name, each.phases))) or "-"] if marked else []),
            escape_name(path),
        )
        for path, each in uses
    ]
    return align(rows) if rows else []


def _uses(runs: Sequence[Run]) -> list[tuple[str, _Uses]]:
    uses: dict[str, _Uses] = collections.defaultdict(_Uses)
    for run in runs:
        for file in run.files():
            each = uses[shown_path(file)]
            each.hows.add(file.how)
            if file.exe is not None:
                each.exes.add(file.exe)
        for phase in phases(run):
            if phase.name is not None:
                for path in phase.paths:
                    uses[path].phases.add(phase.name)
    return sorted(uses.items(), key=lambda item: item[0])


def _trace_json(path: str, trace: Trace, *, files: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "path": escape_name(path),
        "verdict": trace.verdict,
        "reasons": [escape_name(reason) for reason in trace.reasons],
        "runs": [_run_json(run) for run in trace.runs],
    }
    if files:
        document["files"] = [
            {
                "path": escape_name(name),
                "how": sorted(each.hows),
                "exes": sorted(map(escape_name, each.exes)),
                "phases": sorted(map(escape_name, each.phases)),
            }
            for name, each in _uses(trace.runs)
        ]
    return document


def _run_json(run: Run) -> dict[str, Any]:
    header = run.header
    losses = [record for record in run.records if isinstance(record, Loss)]
    return {
        "run": escape_name(header.run),
        "verdict": run.verdict,
        "reasons": [escape_name(reason) for reason in run.reasons],
        "scenario": _optional(header.scenario),
        "reference": _optional(run.image.reference if run.image else None),
        "image": _optional(run.image.identity if run.image else None),
        "platform": escape_name(header.platform),
        "target": escape_name(header.target),
        "container": _optional(header.container),
        "command": [escape_name(word) for word in header.command],
        "recorder": escape_name(header.recorder),
        "agent": escape_name(header.agent),
        "kernel": escape_name(header.kernel),
        "start": header.start,
        "duration": run.trailer.time if run.trailer else None,
        "paths": len({file.path for file in run.files()}),
        "how": dict(sorted(collections.Counter(file.how for file in run.files()).items())),
        "sessions": [
            {"id": session.id, "kind": session.kind, "pid": session.pid}
            for session in run.sessions().values()
        ],
        "phases": [
            {"name": _optional(phase.name), "time": phase.time, "paths": len(phase.paths)}
            for phase in phases(run)
        ],
        "losses": [
            {"where": escape_name(loss.where), "count": loss.count, "time": loss.time}
            for loss in losses
        ],
        "needs": needs_json(run),
    }


def _optional(name: str | None) -> str | None:
    return None if name is None else escape_name(name)
