"""The recorders, and which of them works here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from paredown_agent.preemption import preempts
from paredown_agent.recorder import ebpf, fanotify
from paredown_agent.recorder.also import Also
from paredown_agent.recorder.base import Clock, Probe, Recorder
from paredown_schemas.errors import ParedownError, UsageError

AUTO = "auto"


class Kind(Protocol):
    """What a recorder's module offers."""

    def probe(self) -> Probe:
        """Say whether it works on this host, without leaving anything behind."""

    def open_recorder(self, clock: Clock, also: Also | None = None) -> Recorder:
        """Load and attach it; raises ParedownError where it does not work."""


_SAFE = "fanotify"  # where the kernel preempts itself
# In the order in which ``auto`` tries them otherwise.
RECORDERS: Mapping[str, Kind] = MappingProxyType(
    {
        ebpf.TRAMPOLINES.name: ebpf.TRAMPOLINES,
        _SAFE: fanotify,
        ebpf.TRACEPOINTS.name: ebpf.TRACEPOINTS,
        ebpf.BCC.name: ebpf.BCC,
    }
)
_EBPF = (ebpf.TRAMPOLINES.name, ebpf.TRACEPOINTS.name)


def probe_all() -> dict[str, Probe]:
    """Return what each recorder says of this host, by name."""
    return {name: kind.probe() for name, kind in RECORDERS.items()}


def choose(name: str, clock: Clock, also: Collection[str] = ()) -> Recorder:
    """Return the recorder ``name``, or the first that works here: of all, or of both ebpf ones.

    ``also`` are those of ``ALSO`` that are to be recorded as far as this host can.

    Raises:
        UsageError: there is no such recorder.
        ParedownError: it does not work here, or none does; the hint has each one's reason.
    """
    if name in RECORDERS:
        return RECORDERS[name].open_recorder(clock, Also(also))
    choices = {AUTO: in_order(), "ebpf": _EBPF}
    if name not in choices:
        known = ", ".join((*choices, *RECORDERS))
        raise UsageError(f"cannot use recorder {name!r}: known are {known}")
    return _first(choices[name], clock, also)


def in_order() -> tuple[str, ...]:
    """Return the recorders as ``auto`` tries them here."""
    first = _SAFE if preempts() else next(iter(RECORDERS))
    return tuple(sorted(RECORDERS, key=lambda name: name != first))


def _first(names: Sequence[str], clock: Clock, also: Collection[str]) -> Recorder:
    failures: list[tuple[str, ParedownError]] = []
    for name in names:
        try:
            return RECORDERS[name].open_recorder(clock, Also(also))
        except ParedownError as error:
            failures.append((name, error))
    causes = "; ".join(f"{name}: {error}" for name, error in failures)
    hints = dict.fromkeys(error.hint for _, error in failures if error.hint)
    raise ParedownError(f"cannot record on this host: {causes}", hint="; ".join(hints))
