"""The types of the fixtures in conftest.py, for tests that annotate them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from paredown_schemas.trace import File
from server import Server


class Require(Protocol):
    """Skip where an ability is missing, or fail with PAREDOWN_REQUIRE=all."""

    def __call__(self, ok: bool, why: str) -> None: ...


class Serve(Protocol):
    """See server.serve."""

    def __call__(
        self,
        command: Sequence[str],
        port: int,
        *,
        within: float = ...,
        env: Mapping[str, str] | None = ...,
        log: Path | None = ...,
    ) -> contextlib.AbstractContextManager[Server]: ...


class StraceOpens(Protocol):
    """Run a command and return what it opened or executed below root."""

    def __call__(
        self, command: Sequence[str], root: Path = ..., timeout: float = ...
    ) -> frozenset[str]: ...


class MakeTrace(Protocol):
    """Write a trace file; the fields are those of traces.trace_records."""

    def __call__(
        self, files: Iterable[str | File] = ..., *, name: str = ..., **fields: Any
    ) -> Path: ...
