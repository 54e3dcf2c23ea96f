"""The trace file while it is written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from paredown_agent.recorder.seen import Seen
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.trace import File, Lookup, Loss, Process, Record, TraceWriter, Trailer


class Tally:
    """Counts different names, in a fixed amount of memory."""

    def __init__(self, names: int) -> None:
        """``names`` are counted exactly; a power of two, each takes 8 bytes."""
        self._seen = Seen(names)
        self.count = 0

    @property
    def exact(self) -> bool:
        """Say whether ``count`` is; of more names some may count twice."""
        return not self._seen.forgot

    def add(self, name: str | None) -> None:
        """Count ``name``, unless it was counted."""
        self.count += self._seen.add(name)


class Output:
    """A trace file that reads, whenever the agent is killed."""

    def __init__(self, path: str, *, force: bool, names: int = 1 << 16) -> None:
        """Open ``path``, which must not exist without ``force``; nothing is written yet.

        Up to ``names`` different files are counted exactly, see ``Tally``.

        Raises:
            ParedownError: it exists, or cannot be made.
        """
        self.path = path
        self.failure = ""  # why writing ended, if it did
        self.files = Tally(names)
        self.programs = Tally(names)
        self.losses = 0
        self._file_records = 0
        self._loss_records = 0
        self._lost_at: set[str] = set()
        self._truncated = False
        self._new = not os.path.lexists(path)
        self._directory = self._open_directory()
        self._file = self._open(force)
        self._writer: TraceWriter | None = None

    def write(self, records: Sequence[Record]) -> None:
        """Append records, and hand them to the operating system: the agent may be killed any time.

        A file that takes no more is given up, with ``failure`` set. The workload must not notice:
        it goes on, and what was written before still reads.
        """
        if self.failure or not records:
            return
        try:
            writer = self._writer or self._begin()
            for record in records:
                writer.write(record)
                self._count(record)
            self._file.flush()
        except OSError as error:
            self._give_up(error)

    def finish(self, reasons: Iterable[str], now: int) -> list[str]:
        """Write the trailer and close; return every reason why the trace is partial.

        ``reasons`` are those that the records don't tell; ``now`` is in ns since the start.
        """
        places = ", ".join(sorted(self._lost_at))
        lost = [f"lost {self.losses or 'uncounted'} events ({places})"] if places else []
        truncated = ["truncated paths"] if self._truncated else []
        nothing = [] if self.files.count else ["nothing was recorded"]
        found = list(dict.fromkeys([*reasons, *lost, *truncated, *nothing]))
        self.write(
            [
                Trailer(
                    files=self._file_records,
                    losses=self._loss_records,
                    verdict="partial" if found else "complete",
                    reasons=tuple(found),
                    time=now,
                )
            ]
        )
        if not self.failure and os.fstat(self._file.fileno()).st_nlink == 0:
            self.failure = f"cannot write {escape_name(self.path)}: it was removed meanwhile"
        self.close()
        return found

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        try:
            self._file.close()
        except OSError as error:
            self._give_up(error)
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def discard(self) -> None:
        """Remove the file, if it was made here: nothing was recorded."""
        if self._new and self._directory >= 0:
            with contextlib.suppress(OSError):
                os.unlink(os.path.basename(self.path), dir_fd=self._directory)
        self.close()

    def _open_directory(self) -> int:
        """Before anything is mounted over it: a trace may lie in what --rootfs names."""
        directory = os.path.dirname(self.path) or "."
        try:
            return os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._error(error) from error

    def _open(self, force: bool) -> BinaryIO:
        # With --force the old trace stays until there is something to put in its place.
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (0 if force else os.O_EXCL)
        try:
            return os.fdopen(os.open(self.path, flags, 0o666), "wb")
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> ParedownError:
        hint = "--force overwrites it" if isinstance(error, FileExistsError) else ""
        return ParedownError(f"cannot write {escape_name(self.path)}: {error.strerror}", hint=hint)

    def _begin(self) -> TraceWriter:
        with contextlib.suppress(OSError):  # a device or a pipe has no length
            self._file.truncate(0)
        self._writer = TraceWriter(self._file)
        return self._writer

    def _count(self, record: Record) -> None:
        if isinstance(record, File):
            self._file_records += 1
            self._truncated |= record.truncated
            self.files.add(record.path)
        elif isinstance(record, Lookup):
            self._truncated |= record.truncated
        elif isinstance(record, Process):
            self.programs.add(record.exe)
        elif isinstance(record, Loss):
            self._loss_records += 1
            self._lost_at.add(record.where)
            self.losses += record.count or 0

    def _give_up(self, error: OSError) -> None:
        if self.failure:
            return
        self.failure = f"cannot write {escape_name(self.path)}: {error.strerror}"
        # What is still in the buffer would be tried, and fail, again.
        with contextlib.suppress(OSError):
            self._file.close()
