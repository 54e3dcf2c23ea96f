"""The recorders, and which of them works here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from paredown_agent.recorder import ebpf, fanotify
from paredown_agent.recorder.base import Clock, Probe, Recorder
from paredown_schemas.errors import ParedownError, UsageError

AUTO = "auto"


class Kind(Protocol):
    """What a recorder's module offers."""

    def probe(self) -> Probe:
        """Say whether it works on this host, without leaving anything behind."""

    def open_recorder(self, clock: Clock) -> Recorder:
        """Load and attach it; raises ParedownError where it does not work."""


# In the order in which ``auto`` tries them.
RECORDERS: Mapping[str, Kind] = MappingProxyType({"fanotify": fanotify, "ebpf": ebpf})


def probe_all() -> dict[str, Probe]:
    """Return what each recorder says of this host, by name."""
    return {name: kind.probe() for name, kind in RECORDERS.items()}


def choose(name: str, clock: Clock) -> Recorder:
    """Return the recorder ``name``, or the first that works here for "auto".

    Raises:
        UsageError: there is no such recorder.
        ParedownError: it does not work here, or none does; the hint has each one's reason.
    """
    if name == AUTO:
        return _first(clock)
    if name not in RECORDERS:
        known = ", ".join((AUTO, *RECORDERS))
        raise UsageError(f"cannot use recorder {name!r}: known are {known}")
    return RECORDERS[name].open_recorder(clock)


def _first(clock: Clock) -> Recorder:
    failures: list[tuple[str, ParedownError]] = []
    for name, kind in RECORDERS.items():
        try:
            return kind.open_recorder(clock)
        except ParedownError as error:
            failures.append((name, error))
    causes = "; ".join(f"{name}: {error}" for name, error in failures)
    hints = dict.fromkeys(error.hint for _, error in failures if error.hint)
    raise ParedownError(f"cannot record on this host: {causes}", hint="; ".join(hints))
