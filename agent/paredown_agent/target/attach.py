"""A late attach: what a container's processes already are and hold.

What was opened and closed before cannot be known any more; what is open or mapped can.
"""

from __future__ import annotations

import stat

from paredown_agent.processes import relative_of
from paredown_agent.recorder.base import Adopter, Clock
from paredown_agent.recorder.classify import file_kind
from paredown_agent.target.held import Held, Holdings
from paredown_agent.target.heldports import HeldPorts
from paredown_agent.target.members import Container, sessions_of
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import File, Loss, Port, Record, Snapshot

# A process that forks and ends while it is looked at leaves what it held to its child; looked for
# again until there is none, but not for ever.
_ROUNDS = 16


def attach(first: int, recorder: Adopter, clock: Clock) -> list[Record]:
    """Adopt the container whose first process is ``first``; return the snapshot of what it holds.

    Its first process's tree is the container's own session. Any other tree in it that came in from
    outside (``docker exec``, a probe) is a session of its own. ``recorder`` already watches its
    superblock.

    Raises:
        ParedownError: the container has ended, or has no root of its own.
    """
    container = Container(first)
    holdings = Holdings(container.mount, first)
    known = {first: recorder.adopt(first, "container")}
    now = clock.now()
    ports = HeldPorts()
    held = _held(holdings, ports, first, known[first], now)
    for _ in range(_ROUNDS):
        new = sessions_of(container, known)
        if not new:
            break
        for pid, session in new.items():
            known[pid] = session or _adopt(container, pid, recorder) or known[first]
            held |= _held(holdings, ports, pid, known[pid], now)
    lost = [Loss("path longer than 4095 bytes", holdings.unnamed, now)] if holdings.unnamed else []
    return [Snapshot(processes=len(known), time=now), *held, *lost]


def _adopt(container: Container, pid: int, recorder: Adopter) -> int | None:
    """None for one that has ended."""
    relative = relative_of(pid)
    if relative is None:
        return None
    try:
        return recorder.adopt(
            pid, "injected" if container.came_in(relative.parent) else "container"
        )
    except ParedownError:
        return None


def _held(
    holdings: Holdings, ports: HeldPorts, pid: int, session: int, now: int
) -> dict[File | Port, None]:
    """The first use of each path by one process, in order, and what it has bound."""
    exe, found = holdings.read(pid)
    files: dict[File | Port, None] = {_file(held, exe, session, now): None for held in found}
    bound = (Port(*each, session=session, exe=exe, time=now, held=True) for each in ports.read(pid))
    return files | dict.fromkeys(bound)


def _file(held: Held, exe: str | None, session: int, now: int) -> File:
    status = held.status
    return File(
        path=held.path.path,
        how=held.how,
        kind=file_kind(status.mode if status else stat.S_IFREG),
        session=session,
        exe=exe,
        time=now,
        size=status.size if status else None,
        mtime=status.mtime if status else None,
        device=status.device if status else None,
        inode=status.inode if status else None,
        truncated=held.path.truncated,
        held=True,
    )
