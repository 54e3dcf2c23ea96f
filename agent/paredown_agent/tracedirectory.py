"""A directory of traces, one for each container, opened when the container is first seen."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import os
import re
import resource
from collections.abc import Callable, Sequence
from pathlib import Path

from paredown_agent.output import Output
from paredown_agent.recorder.base import Clock
from paredown_agent.sieve import Nobody, Sieve
from paredown_agent.traces import count, tally, verdict
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.trace import MAGIC, Coverage, Header, Loss, Mark, Record, Session

_SUFFIX = ".trace"
# Counted exactly; 64 KiB for each trace that is open.
_NAMES = 1 << 12
_SHOWN = 1000  # lines of the summary
_MAX_LOSSES = 1000
_HASH = re.compile(r"[0-9a-f]{64}")
_ODD = re.compile(r"[^A-Za-z0-9_.-]")
_DESCRIPTORS = 1 << 16


@dataclasses.dataclass(eq=False, slots=True)
class Subject:
    """A container that may get a trace."""

    id: str = ""
    name: str = ""
    source: str = ""  # what ``paredown plan`` takes as SOURCE
    since: int = 0  # its files are seen from then on, in ns since the start
    reasons: tuple[str, ...] = ()  # why its trace is partial, if its records don't tell

    @property
    def title(self) -> str:
        """Return a plain file name, whatever the container is called, without a suffix."""
        short = self.id[:12] if _HASH.fullmatch(self.id) else _plain(self.id)
        return short if self.name == self.id else f"{_plain(self.name)}-{short}"


Owner = Callable[[Session], "Subject | Nobody | None"]


class TraceDirectory:
    """See ``Traces``. What concerns all, as a loss, goes to all that are open."""

    broken = False  # one trace that cannot be written is not the others' end

    def __init__(self, path: str, clock: Clock, *, force: bool) -> None:
        """Make ``path``, if it is not there; traces in it are replaced with ``force``.

        Raises:
            ParedownError: it cannot be made, or holds traces.
        """
        self.path = path
        self.failure = ""
        self._clock = clock
        self._sieve: Sieve[Subject] = Sieve(lambda _: None)
        self._header: Header | None = None
        self._outputs: dict[Subject, Output] = {}
        self._marks: list[Mark] = []
        self._coverage: list[Coverage] = []  # a few, told when the recording begins
        self._losses: collections.deque[Loss] = collections.deque(maxlen=_MAX_LOSSES)
        self._lines: collections.deque[tuple[str, ...]] = collections.deque(maxlen=_SHOWN)
        self._ended = 0
        self._old = self._prepare(force=force)
        _raise_limit()

    def follow(self, owner: Owner) -> None:
        """Let ``owner`` say whose each session is; see ``Sieve``."""
        self._sieve = Sieve(owner)

    def begin(self, header: Header) -> None:
        """See ``Traces``."""
        self._header = header
        for path in self._old:
            path.unlink(missing_ok=True)

    def take(self, records: Sequence[Record]) -> None:
        """See ``Traces``."""
        sorted_: dict[Subject, list[Record]] = {}
        for subject, record in self._sieve.sort(records):
            if subject is not None:
                sorted_.setdefault(subject, []).append(record)
            else:
                for each in self._outputs:
                    sorted_.setdefault(each, []).append(record)
                if isinstance(record, Loss):
                    self._losses.append(record)
                elif isinstance(record, Coverage):
                    self._coverage.append(record)
        for subject, own in sorted_.items():
            self.write(subject, own)

    def add(self, records: Sequence[Record]) -> None:
        """Write nothing: what is told belongs to one container."""

    def mark(self, mark: Mark) -> str:
        """See ``Traces``; traces that begin later have it too."""
        self._marks.append(mark)
        for output in self._outputs.values():
            output.write([mark])
        return next((each.failure for each in self._outputs.values() if each.failure), "")

    def write(self, subject: Subject, records: Sequence[Record]) -> None:
        """Append to a container's trace, which is made for the first of them."""
        if subject not in self._outputs:
            try:
                self._outputs[subject] = self._open(subject)
            except ParedownError as error:
                self.failure = self.failure or str(error)
                return
        self._outputs[subject].write(records)

    def is_open(self, subject: Subject) -> bool:
        """Say whether the container has a trace that has not ended."""
        return subject in self._outputs

    def end(self, subject: Subject) -> None:
        """Write how a container's trace ended, if it has one; it may get another one later."""
        output = self._outputs.pop(subject, None)
        if output is not None:
            partial = output.finish(subject.reasons, self._clock.now())
            self._tell(subject, output, partial)
        self._sieve.forget(subject)

    def finish(self, reasons: Sequence[str]) -> Sequence[str]:
        """See ``Traces``."""
        del reasons
        for subject in list(self._outputs):
            self.end(subject)
        seconds = self._clock.now() / 1e9
        path = escape_name(self.path)
        told = f"Recorded {count(self._ended, 'container')} in {seconds:.0f} s. Wrote {path}."
        following = " Next: paredown plan SOURCE --trace FILE -o plan.json"
        hidden = self._ended - len(self._lines)
        more = [f"… {count(hidden, 'trace')} before these"] if hidden else []
        return [*more, *_align(self._lines), told + (following if self._ended else "")]

    def discard(self) -> None:
        """See ``Traces``; the directory stays."""
        for output in self._outputs.values():
            output.discard()

    def _prepare(self, *, force: bool) -> list[Path]:
        directory = Path(self.path)
        try:
            directory.mkdir(exist_ok=True)
            old = [each for each in directory.iterdir() if _is_trace(each)]
        except OSError as error:
            raise ParedownError(
                f"cannot write to {escape_name(self.path)}: {error.strerror}",
                hint="with --all-containers -o names a directory",
            ) from error
        if old and not force:
            raise ParedownError(
                f"cannot write to {escape_name(self.path)}: it has {count(len(old), 'trace')}",
                hint="--force replaces them",
            )
        return old

    def _open(self, subject: Subject) -> Output:
        for number in itertools.count(1):
            again = f"-{number}" if number > 1 else ""
            path = os.path.join(self.path, subject.title + again + _SUFFIX)
            if not os.path.lexists(path):
                break
        output = Output(path, force=False, names=_NAMES)
        assert self._header is not None  # noqa: S101 - nothing is told before it began
        header = dataclasses.replace(
            self._header, run=os.urandom(16).hex(), container=subject.id or None
        )
        # What was lost while it was watched may have been its.
        lost = [loss for loss in self._losses if loss.time >= subject.since]
        output.write([header, *self._coverage, *self._marks, *lost])
        return output

    def _tell(self, subject: Subject, output: Output, partial: Sequence[str]) -> None:
        self._ended += 1
        self.failure = self.failure or output.failure
        self._lines.append(
            (
                escape_name(os.path.basename(output.path)),
                tally(output.files, "file"),
                tally(output.programs, "program"),
                escape_name(subject.source) or "-",
                output.failure or verdict(partial),
            )
        )


def _plain(name: str) -> str:
    return _ODD.sub("_", name).lstrip(".")[:100] or "container"


def _is_trace(path: Path) -> bool:
    if path.suffix != _SUFFIX or path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) in (MAGIC, b"")


def _raise_limit() -> None:
    """Two descriptors for each trace, beside those that come with events."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _align(rows: Sequence[tuple[str, ...]] | collections.deque[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
