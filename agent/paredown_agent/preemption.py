"""Whether the kernel preempts itself, which BPF programs lose by.

Since ca06f55b9002 ("bpf: Add per-program recursion prevention mechanism", Linux 5.12) a program
that another task is in the midst of, on the same CPU, is not run. Programs of trampolines can be
preempted, and so come to that; those of system calls' tracepoints in later kernels too (seen on
7.2, not on 6.1). Those of fork, exec and exit are short, and were skipped once in thousands.
"""

from __future__ import annotations

import os

from paredown_agent.tracepoints import detached_mount

_MODEL = "sched/preempt"  # kernel/sched/debug.c: "none voluntary (full) lazy"


def preempts() -> bool:
    """Say whether it does, or may for all that it shows."""
    try:
        model = _model()
    except OSError:
        # Of the configuration: PREEMPT, PREEMPT_RT, PREEMPT_DYNAMIC; init/Makefile.
        return "PREEMPT" in os.uname().version
    return "(full)" in model or "(lazy)" in model


def _model() -> str:
    directory = detached_mount("debugfs")
    try:
        fd = os.open(_MODEL, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    finally:
        os.close(directory)
    with open(fd, encoding="ascii") as file:
        return file.read()
