"""Drive a recorder by hand: what the agent's own loop does, without targets and trace files."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from paredown_agent.recorder.base import Recorder
from paredown_schemas.trace import File, Record, Session

# Slow machines, such as the guests of the kernel matrix, take longer for what a test waits for.
PATIENCE = float(os.environ.get("PAREDOWN_PATIENCE", "1"))


def watch(recorder: Recorder, directory: Path) -> None:
    """Watch the superblock of a directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        recorder.watch(descriptor)
    finally:
        os.close(descriptor)


def inside(root: Path, *command: str) -> list[str]:
    """Return a command line that runs ``command`` in ``root``, in namespaces of its own."""
    return ["unshare", "--mount", "--pid", "--fork", "chroot", str(root), *command]


def shell(root: Path, script: str) -> list[str]:
    """Return a command line that runs a shell script in ``root``."""
    return inside(root, "/bin/sh", "-euc", script)


def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a command that may wait for a line, or the end, of its standard input."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def follow(recorder: Recorder, process: subprocess.Popen[bytes]) -> list[Record]:
    """Drain until a process has ended well; return the records."""
    records: list[Record] = []
    while process.poll() is None:
        select.select([recorder.fileno()], [], [], 0.05)
        records += recorder.drain()
    if process.stdin:
        process.stdin.close()
    assert process.returncode == 0, process.args
    while part := recorder.drain():
        records += part
    return records


def run(recorder: Recorder, command: Sequence[str]) -> list[Record]:
    """Run a command to its end and return the records."""
    return follow(recorder, start(command))


def settle(recorder: Recorder, seconds: float = 0.3) -> list[Record]:
    """Drain for a moment; return the records."""
    records: list[Record] = []
    end = time.monotonic() + seconds * PATIENCE
    while (left := end - time.monotonic()) > 0:
        select.select([recorder.fileno()], [], [], left)
        records += recorder.drain()
    return records


def begun(recorder: Recorder) -> list[Record]:
    """Drain until a session has begun, and for a moment; return the records."""
    records: list[Record] = []
    end = time.monotonic() + 10 * PATIENCE
    while not any(isinstance(record, Session) for record in records):
        assert time.monotonic() < end, "no session began"
        records += settle(recorder, 0.05)
    return [*records, *settle(recorder)]


def files(records: Sequence[Record]) -> list[File]:
    """Return the file records."""
    return [record for record in records if isinstance(record, File)]


def paths(records: Sequence[Record], how: str = "") -> set[str]:
    """Return the paths that were recorded, used in one way or in any."""
    return {record.path for record in files(records) if how in ("", record.how)}
