"""The capabilities that the agent has (capabilities(7)), by their names in the kernel."""

from __future__ import annotations

import re
from pathlib import Path

# include/uapi/linux/capability.h, in the order of their numbers.
_NAMES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"),
    *("SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW"),
    *("IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT"),
    *("SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD"),
    *("LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG"),
    *("WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"),
)
# What includes another. The last two were split off CAP_SYS_ADMIN in Linux 5.8.
_WIDER = {
    "CAP_DAC_READ_SEARCH": "CAP_DAC_OVERRIDE",
    "CAP_PERFMON": "CAP_SYS_ADMIN",
    "CAP_BPF": "CAP_SYS_ADMIN",
}
GRANT = "run as root, or grant it: docker run --cap-add"


def capability_name(number: int) -> str:
    """Return what the kernel calls the capability of a number; one that is new is "CAP_NUMBER"."""
    return f"CAP_{_NAMES[number] if number < len(_NAMES) else number}"


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
