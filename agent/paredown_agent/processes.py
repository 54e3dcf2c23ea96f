"""Processes as /proc has them, in the agent's pid namespace."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # include/linux/proc_ns.h: PROC_PID_INIT_INO


@dataclasses.dataclass(frozen=True, slots=True)
class Relative:
    """A process's parent, and its start in clock ticks since boot: an order, and an identity."""

    parent: int
    start: int

    @property
    def age(self) -> float:
        """Return for how many seconds it has run."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.start / os.sysconf("SC_CLK_TCK")


def relatives() -> dict[int, Relative]:
    """Return every process there is, in the order in which they started."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    found = {pid: relative for pid in pids if (relative := relative_of(pid)) is not None}
    return dict(sorted(found.items(), key=lambda item: (item[1].start, item[0])))


def relative_of(pid: int) -> Relative | None:
    """Return what proc_pid_stat(5) says of a process; None if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The second field, the program's name, may hold anything: count from its end.
    fields = stat.rpartition(b")")[2].split()
    return Relative(parent=int(fields[1]), start=int(fields[19]))
