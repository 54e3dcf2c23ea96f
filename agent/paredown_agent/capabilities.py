"""The capabilities that the agent has (capabilities(7)), by their names in the kernel."""

from __future__ import annotations

import re
from pathlib import Path

# include/uapi/linux/capability.h
_NUMBERS = {
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
# What includes another. The last two were split off CAP_SYS_ADMIN in Linux 5.8.
_WIDER = {
    "CAP_DAC_READ_SEARCH": "CAP_DAC_OVERRIDE",
    "CAP_PERFMON": "CAP_SYS_ADMIN",
    "CAP_BPF": "CAP_SYS_ADMIN",
}
GRANT = "run as root, or grant it: docker run --cap-add"


def effective(name: str) -> bool:
    """Say whether the calling process may do what ``name`` allows."""
    status = Path("/proc/self/status").read_text("ascii", errors="replace")
    (text,) = re.findall(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return any(int(text, 16) >> _NUMBERS[each] & 1 for each in (name, _WIDER.get(name, name)))
