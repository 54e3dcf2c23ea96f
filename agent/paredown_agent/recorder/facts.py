"""What the kernel side tells of programs beside the files they use, as records."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from paredown_agent.recorder.base import Clock
from paredown_agent.recorder.calls import LOOKUPS, architecture, call_name
from paredown_agent.recorder.messages import (
    EVENT_CAPABILITY,
    EVENT_IDS,
    EVENT_LOOKUP,
    EVENT_PORT,
    EVENT_SYSCALL,
    Event,
)
from paredown_agent.recorder.places import Places
from paredown_agent.recorder.seen import Seen
from paredown_schemas.capabilities import capability_name
from paredown_schemas.trace import (
    Capability,
    Coverage,
    Lookup,
    Port,
    Process,
    Protocol,
    Record,
    Syscall,
)

_PROTOCOLS: dict[int, Protocol] = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}
# A client that binds to any free port has another one each time.
_MAX_PORTS = 4096
_SEEN = 1 << 14


class Facts:
    """Makes records of events; each thing is told once, as far as memory reaches."""

    def __init__(self, clock: Clock, places: Places) -> None:
        self._clock = clock
        self._places = places
        self._seen = Seen(_SEEN)
        self._ports = 0

    def records(self, event: Event, session: int, exe: str | None) -> Iterator[Record]:
        """Yield what ``event`` says, one record at most; nothing of events that say other things.

        ``session`` is the trace's number of it.
        """
        record = self._record(event, session, exe, self._clock.since(event.time))
        if record is not None and self._seen.add(_key(record)):
            yield record
            if isinstance(record, Port):
                self._ports += 1
                if self._ports == _MAX_PORTS:
                    why = f"more than {_MAX_PORTS} of them"
                    yield Coverage("ports", recorded=False, why=why)

    def _record(self, event: Event, session: int, exe: str | None, time: int) -> Record | None:
        if event.kind == EVENT_IDS:
            return Process(session, event.pid, exe, event.uid, event.gid, time)
        if event.kind == EVENT_PORT and self._ports < _MAX_PORTS:
            protocol = _PROTOCOLS.get(event.use, "other")
            return Port(protocol, _address(event), event.gid, session, exe, time, held=False)
        if event.kind == EVENT_SYSCALL:
            name = call_name(event.use, event.inode)
            return Syscall(name, event.inode, architecture(event.use), session, exe, time)
        if event.kind == EVENT_CAPABILITY:
            return Capability(capability_name(event.inode), event.size == 0, session, exe, time)
        if event.kind == EVENT_LOOKUP:
            return self._lookup(event, session, exe, time)
        return None

    def _lookup(self, event: Event, session: int, exe: str | None, time: int) -> Lookup | None:
        path = self._places.in_image(event)
        if path is None:
            return None
        return Lookup(
            path=path,
            call=LOOKUPS[event.use - 1],
            error=_errno_name(-event.size) if event.size else None,
            session=session,
            exe=exe,
            time=time,
            truncated=event.truncated,
        )


def _key(record: Record) -> tuple[object, ...]:
    return tuple(getattr(record, name) for name in record.__slots__ if name not in ("time", "pid"))


def _errno_name(number: int) -> str:
    return errno.errorcode.get(number, str(number))


def _address(event: Event) -> str:
    # In memory as on the network, whatever this machine's order.
    raw = struct.pack("=QQ", event.inode, event.mount)
    if event.mode == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[:4])
    return socket.inet_ntop(socket.AF_INET6, raw)
