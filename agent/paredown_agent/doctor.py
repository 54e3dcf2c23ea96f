"""What this host offers to a recording, found by trying; never by a kernel's version."""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

from paredown_agent import libbpf
from paredown_agent.capabilities import GRANT, effective
from paredown_agent.preemption import preempts
from paredown_agent.recorder.registry import probe_all
from paredown_agent.tracepoints import Tracepoints
from paredown_agent.trampolines import try_ring_buffer, try_trampoline
from paredown_schemas.errors import ParedownError

FORMAT = "paredown-doctor"
VERSION = 1

# include/uapi/linux/fanotify.h
_CLASS_NOTIF, _MARK_ADD, _MARK_FILESYSTEM, _FAN_OPEN = 0, 1, 0x100, 0x20
_MARK_IGNORED, _MARK_EVICTABLE = 0x20, 0x200
_REPORT_FD_ERROR = 0x2000


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One thing that a recording may need; ``detail`` says what was found, or why it is not."""

    name: str
    works: bool
    detail: str
    hint: str = ""


def diagnose() -> list[Check]:
    """Try everything, and return what works here, in an order made for reading."""
    return [*_kernel(), *_capabilities(), *_bpf(), *_fanotify(), *_recorders(), *_programs()]


def recorder_works(checks: list[Check]) -> bool:
    """Say whether this host can record at all."""
    return any(check.works for check in checks if check.name.startswith("recorder "))


def to_json(checks: list[Check]) -> dict[str, Any]:
    """Return the checks as doctor-1.schema.json describes them."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "works": recorder_works(checks),
        "checks": [dataclasses.asdict(check) for check in checks],
    }


def _kernel() -> Iterator[Check]:
    yield Check("kernel", works=True, detail=f"{os.uname().release} {os.uname().machine}")
    yield _check("BTF", libbpf.BTF.exists(), str(libbpf.BTF), "a kernel with CONFIG_DEBUG_INFO_BTF")
    yield _tracefs()


def _tracefs() -> Check:
    try:
        Tracepoints().close()
    except ParedownError as error:
        return Check("tracefs", works=False, detail=str(error), hint=error.hint)
    return Check("tracefs", works=True, detail="opens, mounted or not")


def _capabilities() -> Iterator[Check]:
    uses = {
        "CAP_BPF": "",
        "CAP_PERFMON": "",
        "CAP_SYS_ADMIN": "",
        "CAP_SYS_PTRACE": "for --container and --pid: ",
        "CAP_DAC_READ_SEARCH": "for --container and --pid: ",
    }
    for name, use in uses.items():
        hint = f"{use}{GRANT}={name.removeprefix('CAP_')}"
        yield _check(name, effective(name), "effective", hint)


def _bpf() -> Iterator[Check]:
    missing = libbpf.available()
    yield _check("libbpf", not missing, "found", "on Debian and Ubuntu: apt-get install libbpf1")
    if missing:
        return
    ring = _try(try_ring_buffer)
    older = "" if not ring else "Linux 5.8 or later"
    refused = ring == os.strerror(errno.EPERM)
    yield Check("ring buffer", not ring, ring or "works", f"{GRANT}=BPF" if refused else older)
    trampoline = _try(try_trampoline)
    hint = "only ebpf-trampolines needs them" if trampoline else ""
    yield Check("trampolines", not trampoline, trampoline or "work", hint)
    model = (
        "may preempt itself: auto takes fanotify first" if preempts() else "runs BPF programs whole"
    )
    yield Check("preemption", works=True, detail=f"the kernel {model}")


def _fanotify() -> Iterator[Check]:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fanotify_mark.argtypes = [
        *(ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p)
    ]
    group = libc.fanotify_init(_CLASS_NOTIF, os.O_RDONLY | os.O_CLOEXEC)
    if group < 0:
        cause = os.strerror(ctypes.get_errno())
        yield Check("fanotify", works=False, detail=cause, hint=f"{GRANT}=SYS_ADMIN")
        return
    tried = (
        ("fanotify filesystem marks", _MARK_FILESYSTEM, "Linux 4.20 or later"),
        ("fanotify ignore marks", _MARK_IGNORED, "a kernel with CONFIG_FANOTIFY"),
        ("fanotify evictable marks", _MARK_IGNORED | _MARK_EVICTABLE, "Linux 5.19 or later"),
    )
    try:
        for name, flags, hint in tried:
            # Of a memfd's filesystem there is none to mark; nobody reads what is queued here.
            whole = flags & _MARK_FILESYSTEM
            target = os.open("/", os.O_RDONLY) if whole else os.memfd_create("probe")
            failed = libc.fanotify_mark(group, _MARK_ADD | flags, _FAN_OPEN, target, None) < 0
            cause = os.strerror(ctypes.get_errno()) if failed else "work"
            yield Check(name, not failed, cause, hint if failed else "")
            os.close(target)
    finally:
        os.close(group)
    newer = libc.fanotify_init(_CLASS_NOTIF | _REPORT_FD_ERROR, os.O_RDONLY | os.O_CLOEXEC)
    cause = os.strerror(ctypes.get_errno()) if newer < 0 else "work"
    hint = "Linux 6.13 or later: without it, files that cannot be told of have no reason"
    yield Check("fanotify errors of events", newer >= 0, cause, hint if newer < 0 else "")
    if newer >= 0:
        os.close(newer)


def _recorders() -> Iterator[Check]:
    for name, probe in probe_all().items():
        yield Check(f"recorder {name}", probe.works, probe.why or "works", probe.hint)


def _programs() -> Iterator[Check]:
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    wanted = (
        ("runc", "for --rootfs: apt-get install runc"),
        ("docker", "for docker run and --container: apt-get install docker.io"),
        ("podman", "for podman run and --container: apt-get install podman"),
        ("ctr", "for --container with containerd, where it runs: apt-get install containerd"),
        ("crictl", "for --container with CRI-O, where it runs: comes with it or with cri-tools"),
    )
    for name, hint in wanted:
        found = shutil.which(name, path=path) or ""
        yield _check(name, found, found, hint)


def _check(name: str, works: object, detail: str, hint: str) -> Check:
    return Check(name, bool(works), detail if works else "missing", "" if works else hint)


def _try(probe: Callable[[], None]) -> str:
    """Return why it does not work, or nothing."""
    try:
        probe()
    except OSError as error:
        return error.strerror or str(error)
    except ParedownError as error:
        return str(error)
    return ""
