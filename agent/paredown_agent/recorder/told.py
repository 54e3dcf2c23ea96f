"""Uses of files as the kernel side tells of them, made records of the trace."""

from __future__ import annotations

import re
import stat

from paredown_agent.recorder.base import Clock
from paredown_agent.recorder.classify import file_kind
from paredown_agent.recorder.messages import (
    USE_EXEC,
    USE_INTERPRETER,
    USE_LOADER,
    USE_READ,
    USE_SCRIPT,
    USE_WRITE,
    Event,
)
from paredown_schemas.trace import File, How

_USES: dict[int, How] = {
    USE_EXEC: "exec",
    USE_SCRIPT: "script",
    USE_INTERPRETER: "interpreter",
    USE_LOADER: "loader",
    USE_READ: "read",
    USE_WRITE: "write",
}
# The file may be gone by now, and is never opened: its name has to do.
_LIBRARY = re.compile(r"\.so(\.[0-9][^/]*)?\Z")


def told_file(event: Event, session: int, exe: str | None, clock: Clock) -> File:
    """Return the record of an EVENT_FILE, for the trace's ``session`` and a path ``exe``."""
    return File(
        path=event.path,
        how=_how(event),
        kind=file_kind(event.mode),
        session=session,
        exe=exe,
        time=clock.since(event.time),
        size=event.size,
        mtime=event.mtime,
        device=event.device,
        inode=event.inode,
        truncated=event.truncated,
        held=False,
    )


def _how(event: Event) -> How:
    if stat.S_ISDIR(event.mode):
        return "directory"
    how = _USES[event.use]
    return "library" if how == "read" and _LIBRARY.search(event.path) else how
