"""The capabilities that the agent has (capabilities(7))."""

from __future__ import annotations

import re
from pathlib import Path

from paredown_schemas.capabilities import capability_name

# What includes another. The last two were split off CAP_SYS_ADMIN in Linux 5.8.
_WIDER = {
    "CAP_DAC_READ_SEARCH": "CAP_DAC_OVERRIDE",
    "CAP_PERFMON": "CAP_SYS_ADMIN",
    "CAP_BPF": "CAP_SYS_ADMIN",
}
GRANT = "run as root, or grant it: docker run --cap-add"


def effective(name: str) -> bool:
    """Say whether the calling process may do what ``name`` allows."""
    return not _own("CapEff").isdisjoint((name, _WIDER.get(name, name)))


def bounding() -> frozenset[str]:
    """Return what the calling process can hand on."""
    return _own("CapBnd")


def _own(kind: str) -> frozenset[str]:
    status = Path("/proc/self/status").read_text("ascii", errors="replace")
    (text,) = re.findall(rf"^{kind}:\s*([0-9a-f]+)$", status, re.MULTILINE)
    held = int(text, 16)
    return frozenset(capability_name(n) for n in range(held.bit_length()) if held >> n & 1)
