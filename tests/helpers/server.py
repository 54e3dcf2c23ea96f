"""Run a server in a network namespace of its own, and fetch from it within a time limit."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import dataclasses
import http.client
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_IN_OWN_NETWORK = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


@dataclasses.dataclass
class Answer:
    """What a GET gave."""

    status: int
    body: bytes


class Server:
    """A running server; nothing of it can be reached from outside of its namespace."""

    def __init__(self, pid: int, network: int, port: int) -> None:
        """Take a process of it, a descriptor of its network namespace, and where it listens."""
        self._pid = pid
        self._port = port
        # A network namespace belongs to a thread (setns(2)): one thread goes in and stays.
        self._inside = concurrent.futures.ThreadPoolExecutor(
            1, initializer=_enter, initargs=(network,)
        )

    def get(self, path: str = "/", timeout: float = 10) -> Answer:
        """Fetch ``path``; raises OSError where nobody answers in ``timeout`` seconds."""
        return self.request("GET", path, timeout=timeout)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        tls: int | None = None,
        timeout: float = 10,
    ) -> Answer:
        """Ask for ``path``, over TLS if the port of that is given; raises as ``get`` does."""
        request = (method, path, body, headers or {})
        return self._inside.submit(self._request, request, tls, timeout).result(timeout + 5)

    def listens(self) -> bool:
        """Say whether the port takes connections."""
        return self._inside.submit(self._connects).result(5)

    def run(self, command: Sequence[str], timeout: float = 60) -> str:
        """Run a host's command (a load generator) inside of the namespace; return its output."""
        into = ["nsenter", "--target", str(self._pid), "--net", "--"]
        result = subprocess.run(
            [*into, *command],
            check=False,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=timeout,
        )
        assert result.returncode == 0, f"{command}: {result.stderr}"
        return result.stdout

    def close(self) -> None:
        self._inside.shutdown()

    def _connects(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        return True

    def _request(
        self,
        request: tuple[str, str, bytes | None, Mapping[str, str]],
        tls: int | None,
        timeout: float,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        if tls is not None:
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(
                "127.0.0.1", tls, timeout=timeout, context=context
            )
        try:
            connection.request(*request)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()


@contextlib.contextmanager
def serve(
    command: Sequence[str],
    port: int,
    *,
    within: float = 20,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Iterator[Server]:
    """Start ``command``, wait until ``port`` takes connections on loopback, and end it by SIGINT.

    As the first process of a container, a program without a handler never sees SIGTERM; Python has
    one for SIGINT.

    ``log`` receives its output. Raises AssertionError with that output where it does not answer.
    """
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        process = subprocess.Popen(
            [*_IN_OWN_NETWORK, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=env,
        )
        stack.callback(_end, process)
        deadline = time.monotonic() + within
        network = _network(process, deadline)
        stack.callback(os.close, network)
        server = Server(process.pid, network, port)
        stack.callback(server.close)
        _wait(server, process, deadline, log)
        yield server


def _enter(network: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _network(process: subprocess.Popen[bytes], deadline: float) -> int:
    """Return a descriptor of the namespace, once the process is in one of its own."""
    ours = os.stat("/proc/self/ns/net").st_ino
    path = f"/proc/{process.pid}/ns/net"
    while time.monotonic() < deadline and process.poll() is None:
        if os.stat(path).st_ino != ours:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        time.sleep(0.01)
    raise AssertionError("the server never had a network namespace")


def _wait(
    server: Server, process: subprocess.Popen[bytes], deadline: float, log: Path | None
) -> None:
    while time.monotonic() < deadline and process.poll() is None:
        if server.listens():
            return
        time.sleep(0.05)
    said = log.read_text("utf-8", "replace") if log else ""
    raise AssertionError(f"the server does not answer (exit {process.poll()}): {said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)
