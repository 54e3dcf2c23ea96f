"""A seccomp profile of the system calls that were made.

Followed: OCI runtime specification, config-linux.md, "Seccomp". Docker, podman, containerd and
CRI-O read the same file, as it has ``architectures`` and not docker's own ``archMap``.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

ARCHITECTURES = {
    "x86_64": "SCMP_ARCH_X86_64",
    "i386": "SCMP_ARCH_X86",
    "x32": "SCMP_ARCH_X32",
    "aarch64": "SCMP_ARCH_AARCH64",
    "arm": "SCMP_ARCH_ARM",
}
_ENOSYS = 38
# What a program makes without its own doing, and what only some of its runs make: it ends, a signal
# arrives or interrupts a call, it aborts (abort(3)), its vDSO finds no clock to read (vdso(7)), and
# what a thread of its is set up with.
_ANY_PROGRAM = frozenset(
    {
        *("exit", "exit_group", "rt_sigreturn", "restart_syscall"),
        *("getpid", "gettid", "tgkill", "rt_sigprocmask"),
        *("clock_gettime", "clock_getres", "gettimeofday", "time", "getcpu"),
        *("rseq", "set_robust_list", "futex"),
    }
)
# Between filter and exec (runc 1.1, standard_init_linux.go and setns_init_linux.go; strace of it;
# crun, src/libcrun/container.c): the filter is loaded last where new privileges are ruled out, else
# before the runtime changes user and drops capabilities. Both are Go's or C's own threads, too.
_RUNTIME_LATE = frozenset(
    {
        *("execve", "execveat", "close", "close_range", "fcntl", "fstat", "fstatfs", "getdents64"),
        *("openat", "newfstatat", "read", "write", "writev", "dup3"),
        *("epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "pipe2"),
        *("nanosleep", "sched_yield", "sched_getaffinity", "futex", "tgkill", "gettid", "getpid"),
        *("mmap", "munmap", "mprotect", "madvise", "brk", "clone", "clone3", "sigaltstack"),
        *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "prctl", "seccomp", "ppoll"),
    }
)
_RUNTIME_EARLY = frozenset(
    {
        *("capget", "capset", "chdir", "faccessat", "faccessat2", "fchown", "fchdir", "getcwd"),
        *(
            "getppid",
            "getuid",
            "geteuid",
            "getgid",
            "getegid",
            "lstat",
            "stat",
            "statx",
            "readlinkat",
        ),
        *("setgid", "setgroups", "setuid", "setresgid", "setresuid", "setsid", "umask", "keyctl"),
        *("openat2", "sendmsg", "recvmsg", "kill", "wait4", "prlimit64", "uname", "arch_prctl"),
    }
)


def make_profile(
    calls: Mapping[str, AbstractSet[str]], *, no_new_privileges: bool
) -> dict[str, Any]:
    """Return a profile that allows ``calls``, names by architecture, and what starting one takes.

    What it does not allow fails with ENOSYS, as where a kernel lacks it: libc and language runtimes
    then try what they used before (clone for clone3), which EPERM would not make them do.
    """
    runtime = _RUNTIME_LATE if no_new_privileges else _RUNTIME_LATE | _RUNTIME_EARLY
    names = frozenset[str]().union(*calls.values(), _ANY_PROGRAM, runtime)
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _ENOSYS,
        "architectures": [ARCHITECTURES[name] for name in ARCHITECTURES if name in calls],
        "syscalls": [{"names": sorted(names), "action": "SCMP_ACT_ALLOW"}],
    }
