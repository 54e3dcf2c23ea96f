"""Traces for tests that need no recorder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from paredown_schemas.identity import host_platform
from paredown_schemas.trace import (
    File,
    Header,
    ImageIdentity,
    Record,
    Session,
    TraceWriter,
    Trailer,
)

_HEADER: dict[str, Any] = {
    "run": "0123456789abcdef",
    "agent": "0.1.0",
    "kernel": "6.1.0",
    "recorder": "fanotify",
    "platform": host_platform(),
    "target": "rootfs",
    "command": ("app",),
    "scenario": None,
    "container": None,
    "start": 1_700_000_000_000_000_000,
}
_USE: dict[str, Any] = {
    "how": "read",
    "kind": "file",
    "session": 1,
    "exe": "/usr/bin/app",
    "time": 1,
    "size": None,
    "mtime": None,
    "device": None,
    "inode": None,
    "truncated": False,
    "held": False,
}


def use(path: str, **fields: Any) -> File:
    """Return a file record: a read by /usr/bin/app in session 1, unless ``fields`` say else."""
    return File(path=path, **{**_USE, **fields})


def trace_records(
    files: Iterable[str | File] = (),
    *,
    reference: str | None = None,
    identity: str | None = None,
    records: Iterable[Record] = (),
    reasons: tuple[str, ...] = (),
    trailer: bool = True,
    **header: Any,
) -> list[Record]:
    """Return one run's records; ``trailer=False`` is a recorder that was killed."""
    run: list[Record] = [
        Header(**{**_HEADER, **header}),
        ImageIdentity(reference, identity),
        Session(1, "container", 100, 0),
        *(file if isinstance(file, File) else use(file) for file in files),
        *records,
    ]
    if trailer:
        run.append(
            Trailer(
                files=sum(record.TYPE == "file" for record in run),
                losses=sum(record.TYPE == "loss" for record in run),
                verdict="partial" if reasons else "complete",
                reasons=reasons,
                time=10**9,
            )
        )
    return run


def write_trace(path: Path, *runs: Iterable[Record]) -> Path:
    """Write runs into one trace file, as ``merge`` does."""
    with path.open("wb") as output:
        writer = TraceWriter(output)
        for number, run in enumerate(runs, 1):
            for record in run:
                if isinstance(record, Trailer):
                    writer.write(dataclasses.replace(record, more=number < len(runs)))
                else:
                    writer.write(record)
    return path
