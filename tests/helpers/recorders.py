"""Which recorders the tests of recorders use, and which of them must work here."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from fixture_types import Require
from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.recorder.registry import RECORDERS, Kind
from paredown_schemas.errors import ParedownError

# Not every kernel has trampolines or its headers at hand: where PAREDOWN_REQUIRE counts for more
# recorders than these, PAREDOWN_RECORDERS names them. The matrix of kernels does.
_MUST_WORK = os.environ.get("PAREDOWN_RECORDERS", "fanotify ebpf-tracepoints").split()
# What tests take as a parameter: where a skip is a failure no others are asked for.
NAMES = [
    name for name in RECORDERS if name in _MUST_WORK or os.environ.get("PAREDOWN_REQUIRE") != "all"
]


def opened(
    name: str,
    require: Require,
    open_kind: Callable[[Kind], Recorder] = lambda kind: kind.open_recorder(Clock()),
) -> Recorder:
    """Return an open recorder, or skip the test; fail where it must work."""
    try:
        return open_kind(RECORDERS[name])
    except ParedownError as error:
        why = f"{error}: {error.hint}"
        if name in _MUST_WORK:
            require(False, why)
        pytest.skip(why)
