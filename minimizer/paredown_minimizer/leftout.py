"""What the policy leaves out of the traces: uses that are no evidence.

A trace has to bear it. A recorder that tells of every program that uses a file in a session bears
anything. fanotify tells of a file's first user alone, once that is a session of the container's
own: whoever uses it after that is hidden, so that no use of such a session can be left out. It
ignores nothing for sessions from outside (docs/recording.md), which therefore can be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from paredown_minimizer.globs import expand, names
from paredown_minimizer.image.model import Image, Tree
from paredown_minimizer.policy import Policy, Unused
from paredown_minimizer.sessions import Sessions
from paredown_minimizer.traced import traced_evidence
from paredown_minimizer.yamlfile import Place
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import DirectoryLink, LeftOut, Plan
from paredown_schemas.trace import (
    STARTED,
    Capability,
    File,
    Lookup,
    Port,
    Process,
    Record,
    Run,
    SessionKind,
    Syscall,
)

_TELLS_EVERY_USER = ("ebpf-trampolines", "ebpf-tracepoints", "bcc")
_TELLS_EVERY_USER_FROM_OUTSIDE = (*_TELLS_EVERY_USER, "fanotify")
_FACTS = (Process, Lookup, Port, Capability, Syscall)


@dataclasses.dataclass(frozen=True)
class Rest:
    """What is left of the runs, and what is not."""

    runs: Sequence[Run]
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()


def leave_out(policy: Policy, runs: Sequence[Run], image: Image, sessions: Sessions) -> Rest:
    """Return the runs without the uses that the policy leaves out.

    A use counts for the first entry that names it. One by a program that is not known for certain
    is never left out.

    Raises:
        ParedownError: a trace cannot bear it.
    """
    if not policy.leave_out:
        return Rest(runs)
    entries = policy.leave_out
    named = [Named(entry, _programs(entry, image.tree)) for entry in entries]
    parts = [_parted(run, named) for run in runs]
    *taken, rest = ([part[n] for part in parts] for n in range(len(entries) + 1))
    used = _files(rest, image, sessions)
    told = []
    warnings = []
    for entry, each, out in zip(entries, named, taken, strict=True):
        files = len(_files(out, image, sessions) - used)
        told.append(LeftOut(entry.session, entry.exe, entry.reason, files, entry.scenario))
        if not any(run.records for run in out):
            warnings.append(f"the policy leaves out {each.title}{entry.place}, which no run has")
    return Rest(rest, tuple(sorted(told, key=repr)), tuple(warnings))


def counted(plan: Plan, run: Run) -> Iterator[File]:
    """Yield the uses of ``run`` that count, where those that ``plan`` left out do not.

    Where the trace cannot bear that a use is left out, it counts.
    """
    named, kinds = _named_by(plan), run.sessions()
    for file in run.files():
        kind = kinds[file.session].kind if file.session in kinds else "container"
        if not (_bears(run, kind) and any(each.match(file, kind, run) for each in named)):
            yield file


def counted_lookups(plan: Plan, run: Run) -> Iterator[Lookup]:
    """Yield the look-ups of ``run`` that count; any trace bears that they are left out."""
    named, kinds = _named_by(plan), run.sessions()
    for lookup in (record for record in run.records if isinstance(record, Lookup)):
        kind = kinds[lookup.session].kind if lookup.session in kinds else "container"
        if not any(each.is_by(lookup.exe, kind, run) for each in named):
            yield lookup


def _named_by(plan: Plan) -> list[Named]:
    entries = [Unused(e.session, e.exe, e.scenario, e.reason) for e in plan.left_out]
    return [Named(entry, _behind_links(entry.exe or "", plan.links)) for entry in entries]


def _behind_links(pattern: str, links: Sequence[DirectoryLink]) -> set[str]:
    begin = (link for link in links if pattern.startswith(f"{link.path}/"))
    return {f"{link.target.rstrip('/')}{pattern[len(link.path) :]}" for link in begin}


def _parted(run: Run, named: Sequence[Named]) -> list[Run]:
    """Return the run with the uses of each entry, and last with all else."""
    records: list[list[Record]] = [[] for _ in range(len(named) + 1)]
    kinds = run.sessions()
    for record in run.records:
        number = len(named)
        if isinstance(record, File):
            kind = kinds[record.session].kind if record.session in kinds else "container"
            matches = (n for n, each in enumerate(named) if each.match(record, kind, run))
            number = next(matches, number)
            if number < len(named) and not _bears(run, kind):
                raise _hidden(named[number], run)
        elif isinstance(record, _FACTS):  # told of each program of each session: any trace bears it
            kind = kinds[record.session].kind if record.session in kinds else "container"
            doers = (n for n, each in enumerate(named) if each.is_by(record.exe, kind, run))
            number = next(doers, number)
        records[number].append(record)
    return [dataclasses.replace(run, records=tuple(part)) for part in records]


def _files(runs: Sequence[Run], image: Image, sessions: Sessions) -> set[str]:
    paths = (evidence.path for evidence in traced_evidence(runs, image, sessions))
    return {path for path in paths if image.tree[path].type != "directory"}


class Named:
    """Says which uses one entry of the policy names."""

    def __init__(self, entry: Unused, programs: AbstractSet[str]) -> None:
        """``programs``: those that the entry's pattern leads to, by links too."""
        self._entry = entry
        self._programs = programs

    @property
    def place(self) -> Place:
        """Return where the entry stands in the policy."""
        return self._entry.place

    @property
    def title(self) -> str:
        """Return the entry in words."""
        entry = self._entry
        words = [f"session {entry.session}" if entry.session else ""]
        words += [f"exe {escape_name(entry.exe)}" if entry.exe else ""]
        words += [f"in scenario {escape_name(entry.scenario)}" if entry.scenario else ""]
        return " ".join(filter(None, words))

    def match(self, file: File, kind: SessionKind, run: Run) -> bool:
        """Say whether the entry names a use, in a session of this kind."""
        # That somebody started the program is no use either.
        started = file.how in STARTED and not file.truncated and self._is_program(file.path)
        return self.is_by(file.path if started else file.exe, kind, run)

    def is_by(self, exe: str | None, kind: SessionKind, run: Run) -> bool:
        """Say whether the entry names what a program did in a session of this kind."""
        entry = self._entry
        if entry.session not in (None, kind) or entry.scenario not in (None, run.header.scenario):
            return False
        return entry.exe is None or self._is_program(exe)

    def _is_program(self, path: str | None) -> bool:
        if path is None:
            return False
        return path in self._programs or names(self._entry.exe or "", path)


def _programs(entry: Unused, tree: Tree) -> set[str]:
    """A trace has the program's own path; people write /bin/find where /bin is a link."""
    named = (tree.resolve(path) for path in expand(tree, entry.exe or ""))
    return {resolved.path for resolved in named if resolved is not None}


def _bears(run: Run, kind: SessionKind) -> bool:
    known = _TELLS_EVERY_USER_FROM_OUTSIDE if kind == "injected" else _TELLS_EVERY_USER
    return run.header.recorder in known


def _hidden(named: Named, run: Run) -> ParedownError:
    return ParedownError(
        f"cannot leave out {named.title}{named.place} of run {escape_name(run.header.run)}: "
        "its recorder, "
        f"{escape_name(run.header.recorder)}, tells of a file's first user only, and another may "
        "have come after",
        hint="record with --recorder ebpf, or run the program by docker exec and leave out "
        "session: injected",
    )
