"""The process that stands between the agent and a container of the agent's own.

It is PID 1 of a pid namespace around the container's: when the agent dies, even by SIGKILL, the
kernel kills the supervisor, and with it everything below, so that nothing can be left behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Collection
from pathlib import Path

from paredown_agent.mountinfo import read_mounts
from paredown_agent.target.namespaces import (
    CLONE_NEWNS,
    CLONE_NEWPID,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REMOUNT,
    die_with,
    mount,
    set_namespace,
    unshare,
)

NOT_STARTED = 125


def start(runc: str, bundle: Path, forwarded: Collection[int]) -> int:
    """Start ``bundle``'s container and return the supervisor's pid, before the container runs.

    The supervisor passes the signals ``forwarded``, which the caller has blocked, on to the
    container's first process, and ends with its exit status, 128 + N if signal N killed it. The
    container has been started if there is a file ``pid`` in ``bundle``; if not, ``error`` there
    holds the reason, or ``log`` runc's, which has printed it too. Raises OSError.
    """
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    agent = os.pidfd_open(os.getpid())
    try:
        unshare(CLONE_NEWPID)  # of the next child, not of this process
        child = os.fork()
        if child == 0:
            _supervise(runc, bundle, forwarded, agent)
        set_namespace(own, CLONE_NEWPID)
    finally:
        os.close(own)
        os.close(agent)
    return child


def _supervise(runc: str, bundle: Path, forwarded: Collection[int], agent: int) -> None:
    status = NOT_STARTED
    try:
        die_with(agent)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # the recorder's are not to outlive it
        os.setsid()  # ^C reaches the agent, which forwards it
        _isolate()
        status = _run(runc, bundle, forwarded)
    except OSError as error:
        (bundle / "error").write_text(error.strerror or str(error))
    finally:
        os._exit(status)


def _isolate() -> None:
    unshare(CLONE_NEWNS)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    # runc would make cgroups, which nobody could remove after a SIGKILL. With --rootless it does
    # without them where they are read-only, and the container stays in the agent's cgroup.
    flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC
    for found in read_mounts().mounts:
        if found.fstype in ("cgroup", "cgroup2"):
            mount(None, found.mount_point, None, flags)


def _run(runc: str, bundle: Path, forwarded: Collection[int]) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    command = [runc, "--root", str(bundle / "runc"), "--rootless", "true"]
    command += ["--log", str(bundle / "log")]
    # Detached: the container then has the agent's own stdio, not pipes that runc copies.
    command += ["run", "--detach", "--bundle", str(bundle), "--pid-file", str(bundle / "pid")]
    started = subprocess.run(
        [*command, f"paredown-{os.urandom(4).hex()}"], check=False, preexec_fn=_unblock
    )
    if started.returncode != 0:
        return NOT_STARTED
    return _reap(int((bundle / "pid").read_text()), forwarded)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _reap(first: int, forwarded: Collection[int]) -> int:
    """Runc has gone, so its orphans are children of this process, which is their namespace's 1."""
    while True:
        received = signal.sigwait([signal.SIGCHLD, *forwarded])
        if received != signal.SIGCHLD:
            os.kill(first, received)
            continue
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            if ended[0] == first:
                status = os.waitstatus_to_exitcode(ended[1])
                return status if status >= 0 else 128 - status
