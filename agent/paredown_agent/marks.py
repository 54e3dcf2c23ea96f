"""Phase marks: a recording listens for them, ``paredown-agent mark`` sends them.

An abstract unix socket (unix(7)) needs no writable directory, shows in no trace, and ends with its
recording, even by SIGKILL. Its name is known in one network namespace, a container's among others:
so a recording believes only what runs in its own pid namespace, as root or as its own user.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name, encode_name, escape_name

MAX_NAME = 255  # bytes
# Each stays in the trace: a script that goes wild must not fill the disk.
_MAX_MARKS = 10_000
_FAMILY = socket.AF_UNIX
_PREFIX = "paredown-agent/"
_PATIENCE = 10.0  # seconds: the recording may have much to read before the mark
_PACKET = 8192
_CLIENTS = 16
_WHICH, _MARK = b"which", b"mark\0"
_DONE, _REFUSED = b"+", b"-"
_LISTENS = b"00010000"  # __SO_ACCEPTCON of include/uapi/linux/net.h, in /proc/net/unix
_CREDENTIALS = struct.Struct("=3i")  # struct ucred of <sys/socket.h>


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A mark that somebody waits to see written."""

    name: str
    _connection: socket.socket

    def answer(self, failure: str) -> None:
        """Say that it is written, or why it is not."""
        _send(self._connection, _REFUSED + encode_name(failure) if failure else _DONE)


class MarkListener:
    """Takes marks for the recording that writes ``output``; raises ParedownError."""

    def __init__(self, output: str) -> None:
        self._output = encode_name(os.path.realpath(output))
        try:
            self._socket = socket.socket(_FAMILY, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
            self._socket.bind(f"\0{_PREFIX}{os.getpid()}/{os.urandom(8).hex()}")
            self._socket.listen(_CLIENTS)
        except OSError as error:
            raise ParedownError(f"cannot listen for marks: {error.strerror}") from error
        self._clients: dict[int, socket.socket] = {}
        self._taken = 0

    def polled(self) -> Mapping[int, int]:
        """Return the descriptors to wait on, with the events of poll(2); none once closed."""
        mine = [] if self._socket.fileno() < 0 else [self._socket.fileno()]
        return dict.fromkeys([*mine, *self._clients], select.POLLIN)

    def requests(self, ready: Mapping[int, int]) -> Sequence[Request]:
        """Return the marks that were asked for on ``ready``, what poll(2) reported."""
        if self._socket.fileno() in ready:
            self._accept()
        asked = [self._clients[number] for number in ready if number in self._clients]
        return [request for client in asked for request in self._read(client)]

    def close(self) -> None:
        """Take no more."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._socket.close()

    def _accept(self) -> None:
        try:
            client, _ = self._socket.accept()
        except OSError:
            return  # gone again
        client.setblocking(False)
        if not _may_mark(client):
            _send(client, _REFUSED + b"it takes marks from root and its own user, beside it")
            client.close()
            return
        if len(self._clients) >= _CLIENTS:
            self._clients.pop(next(iter(self._clients))).close()
        self._clients[client.fileno()] = client

    def _read(self, client: socket.socket) -> Iterator[Request]:
        try:
            packet = client.recv(_PACKET)
        except OSError:
            packet = b""
        if packet == _WHICH:
            _send(client, _DONE + self._output)
        elif packet.startswith(_MARK):
            yield from self._mark(client, decode_name(packet.removeprefix(_MARK)))
        else:
            self._clients.pop(client.fileno()).close()

    def _mark(self, client: socket.socket, name: str) -> Iterator[Request]:
        if fault := name_fault(name):
            _send(client, _REFUSED + fault.encode())
        elif self._taken >= _MAX_MARKS:
            _send(client, _REFUSED + b"it has %d marks" % _MAX_MARKS)
        else:
            self._taken += 1
            yield Request(name, client)


@dataclasses.dataclass(frozen=True, slots=True)
class RunningRecording:
    """A recording that takes marks."""

    output: str
    _connection: socket.socket

    def mark(self, name: str) -> None:
        """Return once the mark is written; raises ParedownError."""
        told = _ask(self._connection, _MARK + encode_name(name))
        if not told.startswith(_DONE):
            raise _cannot_mark(decode_name(told[1:]) if told else "it ended")


def running_recordings() -> tuple[Sequence[RunningRecording], Sequence[ParedownError]]:
    """Return the recordings that run here and take our marks, and what the others say."""
    found: list[RunningRecording] = []
    failures: list[ParedownError] = []
    for address in _addresses():
        try:
            found += _meet(address)
        except ParedownError as error:
            failures.append(error)
    return sorted(found, key=lambda each: each.output), failures


def name_fault(name: str) -> str:
    """Return what is wrong with a mark's name, nothing if it will do."""
    length = len(encode_name(name))
    if not length:
        return "its name is empty"
    if length > MAX_NAME:
        return f"its name has {length:,} bytes, more than {MAX_NAME}"
    return "its name has a NUL" if "\0" in name else ""


def _addresses() -> Iterator[str]:
    """Of listening sockets; the kernel shows the NUL that their names begin with as @ (unix(7))."""
    for line in Path("/proc/self/net/unix").read_bytes().splitlines():
        fields = line.split(b" ")
        listens = fields[3:4] == [_LISTENS]
        if listens and fields[-1].startswith(b"@" + _PREFIX.encode()):
            yield "\0" + decode_name(fields[-1][1:])


def _meet(address: str) -> Iterator[RunningRecording]:
    connection = socket.socket(_FAMILY, socket.SOCK_SEQPACKET)
    connection.settimeout(_PATIENCE)
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(connection.close)
        try:
            connection.connect(address)
        except OSError:
            return  # it ended
        if _peer(connection)[1] not in (0, os.geteuid()):
            return  # anybody may take such a name
        told = _ask(connection, _WHICH)
        if told[:1] == _REFUSED:
            raise _cannot_mark(decode_name(told[1:]))
        if told:
            on_failure.pop_all()
            yield RunningRecording(decode_name(told[1:]), connection)


def _ask(connection: socket.socket, packet: bytes) -> bytes:
    """Return the answer, nothing where the recording ended; raises ParedownError."""
    try:
        connection.send(packet)
        return connection.recv(_PACKET)
    except TimeoutError as error:
        raise _cannot_mark(f"it does not answer within {_PATIENCE:.0f} s") from error
    except OSError:
        # What it refuses it says before it closes the connection.
        with contextlib.suppress(OSError):
            return connection.recv(_PACKET)
        return b""


def _cannot_mark(cause: str) -> ParedownError:
    return ParedownError(f"cannot mark the recording: {escape_name(cause)}")


def _may_mark(client: socket.socket) -> bool:
    pid, uid, _ = _peer(client)
    if uid not in (0, os.geteuid()) or pid == 0:
        return False
    try:
        theirs = os.stat(f"/proc/{pid}/ns/pid")
    except OSError:
        return False
    return os.path.samestat(theirs, os.stat("/proc/self/ns/pid"))


def _peer(connection: socket.socket) -> tuple[int, int, int]:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return pid, uid, gid


def _send(connection: socket.socket, packet: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody waits any more
        connection.send(packet)
