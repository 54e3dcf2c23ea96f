"""The sessions of a plan's runs, numbered: what evidence refers to."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

from paredown_schemas.plan import TraceSession
from paredown_schemas.trace import Process, Run, SessionKind

# A health check makes a session every few seconds, always with the same program; who has more
# kinds of them than this is told by kind alone.
_MAX_PER_RUN = 16

# The run's number, the kind, and the first program, which is "" where it is unknown.
_Key = tuple[int, SessionKind, str]


class Sessions:
    """All sessions of all runs; those of one run, kind and first program count as one."""

    def __init__(self, runs: Sequence[Run]) -> None:
        """Number the sessions of ``runs``, whose order is the plan's."""
        self._keys = [_keys(number, run) for number, run in enumerate(runs)]
        counted = collections.Counter(key for keys in self._keys for key in keys.values())
        self.all = tuple(
            TraceSession(run, kind, exe or None, count)
            for (run, kind, exe), count in sorted(counted.items())
        )
        self._numbers = {key: number for number, key in enumerate(sorted(counted))}

    def numbers(self, run: int) -> Mapping[int, int]:
        """Return the numbers of one run's sessions, by the id that the trace has."""
        return {id_: self._numbers[key] for id_, key in self._keys[run].items()}


def _keys(number: int, run: Run) -> dict[int, _Key]:
    known = run.sessions()
    first: dict[int, tuple[int, str]] = {}
    for record in run.records:
        if isinstance(record, Process) and record.exe is not None:
            use = (record.time, record.exe)
            first[record.session] = min(first.get(record.session, use), use)
    # A record may name a session that the trace does not tell of.
    untold = {file.session for file in run.files()} - known.keys()
    keys: dict[int, _Key] = dict.fromkeys(untold, (number, "container", ""))
    told = set(keys.values())
    for id_, session in sorted(known.items(), key=lambda item: (item[1].time, item[0])):
        key = (number, session.kind, first.get(id_, (0, ""))[1])
        if key not in told and len(told) >= _MAX_PER_RUN:
            key = (number, session.kind, "")
        told.add(key)
        keys[id_] = key
    return keys
