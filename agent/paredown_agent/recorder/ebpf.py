"""The recorders that see opens by BPF programs alone, attached in one of two ways.

The path is walked inside the superblock, in the kernel, and every use is told once per program.
Before Linux 5.17 the ELF interpreter is found in the list of the process's areas.

``TRAMPOLINES``: at the functions of the kernel that all opens and execs pass. ``TRACEPOINTS``: on
the exits of open, openat, openat2 and creat. These do not see io_uring, open_by_handle_at, nor
32-bit programs on a 64-bit kernel (their system calls have no such tracepoints); a script is seen
when its interpreter opens it, and as something read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from paredown_agent.recorder import attach
from paredown_agent.recorder.also import Also
from paredown_agent.recorder.attach import Attachment, AttachSet
from paredown_agent.recorder.base import Clock, Probe
from paredown_agent.recorder.messages import EVENT_FILE, Event
from paredown_agent.recorder.paths import Paths
from paredown_agent.recorder.programs import Programs
from paredown_agent.recorder.seen import Seen
from paredown_agent.recorder.sessions import SessionKeeper, Sessions
from paredown_agent.recorder.told import told_file
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import File, Loss, Record

_RING = 1 << 25  # some 180,000 new files that nobody has had time to read of
_AT_ONCE = 1024
_MAX_SEEN = 1 << 18


class EbpfRecorder(SessionKeeper):
    """See ``Recorder``. ``ring`` is the ring buffer's size in bytes."""

    def __init__(
        self, name: str, attach: AttachSet, clock: Clock, also: Also | None, *, ring: int
    ) -> None:
        self.name = name
        self._clock = clock
        self._programs = Programs(attach, ring=ring, also=also)
        self._sessions = Sessions(self._programs, Paths(), clock)
        self._seen = Seen(_MAX_SEEN)

    def watch(self, directory: int) -> bool:
        """See ``Recorder``."""
        return self._sessions.watch(directory)

    def unwatch(self, directory: int) -> None:
        """See ``Recorder``."""
        self._sessions.unwatch(directory)

    def fileno(self) -> int:
        """See ``Recorder``."""
        return self._programs.fileno()

    def drain(self) -> Sequence[Record]:
        """See ``Recorder``."""
        records = self._sessions.records()
        # In parts: all that the ring holds is much at once.
        for event in self._programs.events(_AT_ONCE):
            self._sessions.take((event,))
            records += self._sessions.records()
            if event.kind == EVENT_FILE:
                records += self._file(event)
        if self._programs.caught_up:  # what ended, or was lost, came behind it
            self._sessions.look_at_ends()
            records += self._sessions.records()
            now = self._clock.now()
            records += [Loss(where, count, now) for where, count in self._programs.losses()]
        return records

    def finish(self) -> Sequence[Record]:
        """See ``Recorder``."""
        self._programs.detach()
        records = list(self.drain())
        while not self._programs.caught_up:
            records += self.drain()
        self._sessions.conclude()
        return [*records, *self._sessions.records()]

    def close(self) -> None:
        """See ``Recorder``."""
        self._sessions.close()
        self._programs.close()

    def _file(self, event: Event) -> list[File]:
        known = self._sessions.get(event.session)
        file = known and told_file(event, known.id, self._sessions.exe(event.exe), self._clock)
        new = file and self._seen.add_use(file.session, file.path, file.how, file.exe)
        return [file] if file and new else []


@dataclasses.dataclass(frozen=True, slots=True)
class EbpfKind:
    """See ``registry.Kind``: the recorder of this name, attached in this way."""

    name: str
    attach: AttachSet

    def probe(self) -> Probe:
        """Say whether it works on this host, as far as can be told quickly."""
        try:
            if self.attach.check:
                Attachment(self.attach)
                self.attach.check()
            else:
                self.open_recorder(Clock()).close()
        except ParedownError as error:
            return Probe(works=False, why=str(error), hint=error.hint)
        return Probe(works=True)

    def open_recorder(
        self, clock: Clock, also: Also | None = None, *, ring: int = _RING
    ) -> EbpfRecorder:
        """Return a recorder that watches nothing yet; raises ParedownError like ``probe``."""
        return EbpfRecorder(self.name, self.attach, clock, also, ring=ring)


TRAMPOLINES = EbpfKind("ebpf-trampolines", attach.TRAMPOLINES)
TRACEPOINTS = EbpfKind("ebpf-tracepoints", attach.CALLS)
BCC = EbpfKind("bcc", attach.BCC)
