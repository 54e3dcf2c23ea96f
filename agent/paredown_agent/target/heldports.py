"""Ports that a process has bound, from /proc: its sockets among those of its network namespace.

The tables are those of net/ipv4/tcp_ipv4.c, tcp_ipv6.c, udp.c and udp6: proc_net_tcp(5).
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from paredown_schemas.trace import Protocol

_SOCKET = re.compile(r"socket:\[(\d+)\]")
_LISTEN, _CLOSE = "0A", "07"  # include/net/tcp_states.h; a UDP socket without a peer is closed
_TABLES: tuple[tuple[str, Protocol, str], ...] = (
    ("tcp", "tcp", _LISTEN),
    ("tcp6", "tcp", _LISTEN),
    ("udp", "udp", _CLOSE),
    ("udp6", "udp", _CLOSE),
)


class Bound(NamedTuple):
    """A port that is bound."""

    protocol: Protocol
    address: str
    port: int


class HeldPorts:
    """Reads what processes have bound; each network namespace is read once."""

    def __init__(self) -> None:
        self._namespaces: dict[int, dict[str, Bound]] = {}

    def read(self, pid: int) -> list[Bound]:
        """Return what a process has bound; nothing of one that ends meanwhile."""
        sockets = _sockets(pid)
        if not sockets:
            return []
        try:
            namespace = os.stat(f"/proc/{pid}/ns/net").st_ino
        except OSError:
            return []
        if namespace not in self._namespaces:
            self._namespaces[namespace] = _tables(pid)
        table = self._namespaces[namespace]
        return sorted({table[inode] for inode in sockets if inode in table})


def _sockets(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if match := _SOCKET.fullmatch(os.readlink(f"/proc/{pid}/fd/{name}")):
                    found.add(match[1])
    return found


def _tables(pid: int) -> dict[str, Bound]:
    found: dict[str, Bound] = {}
    for name, protocol, state in _TABLES:
        try:
            lines = Path(f"/proc/{pid}/net/{name}").read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            address, _, port = fields[1].partition(":")
            if fields[3] == state and int(port, 16):
                found[fields[9]] = Bound(protocol, _address(address), int(port, 16))
    return found


def _address(text: str) -> str:
    """Words in this machine's order, each of which holds bytes in the network's."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words))
