"""Which processes are a container's, told from /proc alone, whatever engine runs it.

A container's processes share its mount namespace, or have its superblock as their root; neither
its pid namespace, which it may share with the host or with its pod, nor its cgroup says as much.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from paredown_agent.capabilities import GRANT, effective
from paredown_agent.mountinfo import Mount, read_mounts
from paredown_agent.processes import INITIAL_PID_NAMESPACE, Relative, relatives
from paredown_schemas.errors import ParedownError

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_INIT = 1
# Without them other users' processes, and those with more capabilities, hold nothing, it seems
# (ptrace(2), access mode checking; proc(5), the modes of /proc/PID/fd and map_files).
_TO_LOOK = ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH")

# st_dev and st_ino of a process's root directory
Root = tuple[int, int]


def first_process(pid: int) -> int:
    """Return the first process of the container that process ``pid`` lives in.

    Raises:
        ParedownError: there is no such process, or it lives in no container.
    """
    what = f"cannot attach to process {pid}"
    root = root_of(pid)
    if root is None:
        cause = "it may not be looked at" if Path(f"/proc/{pid}").exists() else "no such process"
        hint = "takes root, CAP_SYS_PTRACE, and pids as the agent sees them"
        raise ParedownError(f"{what}: {cause}", hint=hint)
    if root in _own_roots():
        hint = "--pid takes a process inside a container; a command of the host: record -- COMMAND"
        raise ParedownError(f"{what}: its root is the host's own, it is in no container", hint=hint)
    processes = relatives()
    top = _top(pid, processes)
    root, namespace = root_of(top), namespace_of(top, "mnt")
    # What came in by exec has the container's first process not above it, but before it.
    for each, relative in processes.items():
        if root_of(each) == root and namespace_of(each, "mnt") == namespace:
            parent = relative.parent
            if root_of(parent) != root or namespace_of(parent, "mnt") != namespace:
                return each
    return top


def container_id(pid: int) -> str | None:
    """Return the id that a process's cgroups are named after, as all engines but ``ctr`` do."""
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text(errors="replace")
    except OSError:
        return None
    ids = _ID.findall(text)
    return ids[-1] if ids else None


class Container:
    """The container of a first process, and who belongs to it."""

    def __init__(self, first: int) -> None:
        """Look at its first process.

        Raises:
            ParedownError: it is gone, or its root is nothing that can be recorded by itself.
        """
        what = f"cannot attach to process {first}"
        for name in _TO_LOOK:
            if not effective(name):
                hint = f"{GRANT}={name.removeprefix('CAP_')}"
                raise ParedownError(f"{what}: {name} is missing", hint=hint)
        root = read_mounts(first).locate("/")
        namespace = namespace_of(first, "mnt")
        if root is None or namespace is None:
            raise ParedownError(f"{what}: its root is no mount of its own")
        if root.path != "/":
            hint = "paredown-agent record --rootfs DIR -- COMMAND runs it where it can be recorded"
            raise ParedownError(
                f"{what}: its root is a directory of a larger filesystem", hint=hint
            )
        self.first = first
        self.mount: Mount = root.mount
        self._namespace = namespace
        self._device = (root_of(first) or (0, 0))[0]
        self._pid_namespace = namespace_of(first, "pid")
        self._above = _ancestors(first)

    def has(self, pid: int) -> bool:
        """Say whether a process shares its mount namespace, or has its superblock as root.

        Who made the container may share its mount namespace too, as unshare(1) does: not of it.
        """
        if pid in self._above:
            return False
        root = root_of(pid)
        own = root is not None and root[0] == self._device
        return own or namespace_of(pid, "mnt") == self._namespace

    def came_in(self, parent: int) -> bool:
        """Say whether a process of it came from outside, when its parent is none of it.

        The parent is outside of its pid namespace then. Inside it is who inherits orphans, where
        the namespace is the pod's or the host's: those are the container's own.
        """
        if self._pid_namespace == namespace_of(os.getpid(), "pid"):
            return False  # parents are in one's own namespace, or above it: those nobody sees
        return namespace_of(parent, "pid") != self._pid_namespace


def sessions_of(container: Container, known: Mapping[int, int]) -> dict[int, int | None]:
    """Return the container's processes that ``known`` has not, by pid, with their sessions.

    A process has its ancestors' session, as far as ``known`` has one. None is for those with no
    ancestor in the container; their descendants follow in the next call.
    """
    found: dict[int, int | None] = {}
    for pid, relative in relatives().items():
        if pid in known or pid == os.getpid():
            continue
        session = known.get(relative.parent, found.get(relative.parent))
        if session is not None or (relative.parent not in found and container.has(pid)):
            found[pid] = session
    return found


def root_of(pid: int) -> Root | None:
    """Return what names a process's root directory; None if it is gone or may not be seen."""
    try:
        status = os.stat(f"/proc/{pid}/root")
    except OSError:
        return None
    return status.st_dev, status.st_ino


def namespace_of(pid: int, kind: str) -> int | None:
    """Return the number of a process's namespace of a ``kind`` as /proc/PID/ns has it."""
    try:
        return os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    except OSError:
        return None


def _own_roots() -> set[Root | None]:
    """In a pid namespace that is shared with a container or a pod, PID 1 is theirs."""
    own = os.getpid()
    host = {root_of(_INIT)} if namespace_of(own, "pid") == INITIAL_PID_NAMESPACE else set()
    return {root_of(own), *host}


def _ancestors(pid: int) -> set[int]:
    processes, found = relatives(), set[int]()
    while (relative := processes.get(pid)) is not None and relative.parent not in found:
        pid = relative.parent
        found.add(pid)
    return found


def _top(pid: int, processes: Mapping[int, Relative]) -> int:
    """The highest ancestor in the same container: not beyond another root and pid namespace."""
    while (relative := processes.get(pid)) is not None:
        root, above = root_of(pid), root_of(relative.parent)
        if above is None or root is None or above in _own_roots():
            break
        same_pids = namespace_of(pid, "pid") == namespace_of(relative.parent, "pid")
        if above[0] != root[0] and not same_pids:
            break
        pid = relative.parent
    return pid
