"""An application under load, recorded while strace watches: does the trace lack anything?"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import psutil

import server
import strace_witness
from applications import AGENT, Application, load
from paredown_schemas.trace import read_trace

# Many short programs, pipes, links and directories: what a maintenance job does, then a server.
_JOB = r"""
set -e; cd /usr/share; ls doc >/tmp/list; sort /tmp/list | head -n 3; sh -c 'cat /etc/issue'
for f in /etc/p*; do test -d "$f" || wc -c <"$f"; done; awk 'NR == 1' /etc/passwd; find /etc/nginx
mkdir /tmp/d; echo x >/tmp/d/x; mv /tmp/d/x /tmp/d/y; ln -s y /tmp/d/z; cat /tmp/d/z; rm -r /tmp/d
/usr/bin/env perl -e 'use POSIX; print strftime("%Y", localtime), "\n"'; exec nginx -g 'daemon off;'
"""
SCRIPT = Application("a shell script", "nginx", ("sh", "-c", _JOB), 80, ("/",))
# What the agent mounts over the image, and the kernel's own filesystems, are not the image's.
_MOUNTED = ("/proc", "/sys", "/dev", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname")
# The container's first process waits until its witness is there.
_GATE = """
echo >/tmp/gate; while [ -e /tmp/gate ]; do sleep 0.02; done; exec "$@"
"""


def missing(application: Application, recorder: str, space: Path) -> tuple[set[str], set[str]]:
    """Return what strace saw used on the image's superblock, and what of it the trace lacks."""
    trace, log = space / "completeness.trace", space / "strace"
    for old in space.glob("strace.*"):
        old.unlink()
    options = ["--recorder", recorder, "--rootfs", str(application.source), "-o", str(trace)]
    gate = ["sh", "-c", _GATE, "gate", *application.command]
    command = [AGENT, "record", *options, "--force", "--", *gate]
    witness = threading.Thread(target=_attach, args=(log, time.time()))
    witness.start()
    with server.serve(command, application.port, log=space / "log") as running:
        load(application, running)
    witness.join()
    uses = strace_witness.read_log(log)
    executed = {_resolved(path, application.source) for path in uses.executed}
    seen = {path for path in uses.opened | executed if not _is_mounted(path)}
    (run,) = read_trace(trace).runs
    assert run.verdict == "complete", run.reasons
    lacking = seen - {file.path for file in run.files()}
    if recorder == "fanotify":
        # It names a file when the event is read: what the run makes under one name and renames at
        # once (Python's .pyc) is told by the second. Only the image's own files have one for sure.
        lacking = {path for path in lacking if os.path.lexists(f"{application.source}{path}")}
    return seen, lacking


def _resolved(path: str, tree: Path) -> str:
    """Follow links as the container does; what strace names by descriptor is resolved already."""
    found = strace_witness.resolve(path, "/", str(tree))
    return found.removeprefix(str(tree)) or "/"


def _is_mounted(path: str) -> bool:
    return any(path == place or path.startswith(place + "/") for place in _MOUNTED)


def _attach(log: Path, since: float) -> None:
    """Attach strace to the waiting process, let it go, and stay until strace ends."""
    first = _waiting(since)
    witness = subprocess.Popen([*strace_witness.arguments(log), "-p", str(first)])
    while "\nTracerPid:\t0\n" in Path(f"/proc/{first}/status").read_text():
        time.sleep(0.01)
    Path(f"/proc/{first}/root/tmp/gate").unlink()
    witness.wait(60)


def _waiting(since: float) -> int:
    while time.time() < since + 20:
        for process in psutil.process_iter(["cmdline", "create_time"]):
            words = process.info["cmdline"] or []
            if words[3:4] == ["gate"] and process.info["create_time"] >= since - 1:
                gate = Path(f"/proc/{process.pid}/root/tmp/gate")
                if gate.exists() and _is_first(process.pid):
                    return process.pid
        time.sleep(0.02)
    raise AssertionError("the container did not start")


def _is_first(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    numbers = next(line for line in status.splitlines() if line.startswith("NSpid")).split()[1:]
    return len(numbers) > 1 and numbers[-1] == "1"
