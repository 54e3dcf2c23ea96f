"""The configuration that ``runc`` starts a container of the agent's own with.

Follows the OCI runtime specification; what docker gives a container is what a user expects here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paredown_agent.capabilities import bounding

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# docker's default set (moby, oci/caps/defaults.go) without CAP_MKNOD: the container has no device
# cgroup, so that the host's disks would be within reach.
_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SYS_CHROOT",
    "CAP_AUDIT_WRITE",
    "CAP_SETFCAP",
)

# What docker hides (moby, oci/defaults.go).
_MASKED = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
]
_READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def write_bundle(bundle: Path, root: Path, command: Sequence[str], name: str) -> None:
    """Write config.json and the files of the host's network into the directory ``bundle``.

    ``root`` is the container's root, ``name`` what its hostname is made from. Raises OSError.
    """
    hostname = _hostname(name)
    _write_network_files(bundle, hostname)
    config = _config(root, command, hostname, bundle)
    (bundle / "config.json").write_text(json.dumps(config), "utf-8", "surrogateescape")


def _hostname(name: str) -> str:
    """A label of RFC 1123, of at most 63 characters."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-")[:63].rstrip("-") or "paredown"


def _write_network_files(bundle: Path, hostname: str) -> None:
    """The container has the host's network: its resolver and its names are right there too."""
    for name in ("resolv.conf", "hosts"):
        try:
            shutil.copyfile(f"/etc/{name}", bundle / name)
        except FileNotFoundError:
            (bundle / name).touch()
    with (bundle / "hosts").open("a") as hosts:
        hosts.write(f"127.0.1.1\t{hostname}\n")
    (bundle / "hostname").write_text(hostname + "\n")
    for name in ("resolv.conf", "hosts", "hostname"):
        (bundle / name).chmod(0o644)


def _config(root: Path, command: Sequence[str], hostname: str, bundle: Path) -> dict[str, Any]:
    capabilities = _capabilities()
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,  # the command has the agent's own stdin, stdout and stderr
            "user": {"uid": 0, "gid": 0},
            "args": list(command),
            "env": _environment(hostname),
            "cwd": "/",
            # Not inheritable nor ambient, as in docker since 20.10.14 (CVE-2022-24769).
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "noNewPrivileges": False,
        },
        "root": {"path": str(root), "readonly": False},
        "hostname": hostname,
        "mounts": [*_KERNEL_MOUNTS, *_network_mounts(bundle)],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "uts")],
            "maskedPaths": _MASKED,
            "readonlyPaths": _READ_ONLY,
        },
    }


def _environment(hostname: str) -> list[str]:
    terminal = [f"TERM={os.environ.get('TERM', 'xterm')}"] if os.isatty(0) else []
    return [f"PATH={PATH}", f"HOSTNAME={hostname}", *terminal]


def _capabilities() -> list[str]:
    """What the host itself lacks cannot be handed on: runc would refuse to start."""
    held = bounding()
    return [name for name in _CAPABILITIES if name in held]


def _mount(destination: str, fstype: str, *options: str) -> dict[str, Any]:
    options = ("nosuid", *options)
    return {"destination": destination, "type": fstype, "source": fstype, "options": list(options)}


_KERNEL_MOUNTS = [
    _mount("/proc", "proc", "noexec", "nodev"),
    _mount("/dev", "tmpfs", "strictatime", "mode=755", "size=65536k"),
    _mount("/dev/pts", "devpts", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    _mount("/dev/shm", "tmpfs", "noexec", "nodev", "mode=1777", "size=65536k"),  # noqa: S108
    _mount("/dev/mqueue", "mqueue", "noexec", "nodev"),
    _mount("/sys", "sysfs", "noexec", "nodev", "ro"),
]


def _network_mounts(bundle: Path) -> list[dict[str, Any]]:
    return [
        {
            "destination": f"/etc/{name}",
            "type": "bind",
            "source": str(bundle / name),
            "options": ["bind", "ro"],
        }
        for name in ("resolv.conf", "hosts", "hostname")
    ]
