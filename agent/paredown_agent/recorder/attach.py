"""Which of the BPF programs are loaded, and what they are attached to.

What a kernel offers is asked of the kernel's own type information, never of its version.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from paredown_agent.libbpf import KernelTypes, Object
from paredown_agent.recorder.bcc import BccObject, check_bcc
from paredown_agent.tracepoints import Tracepoints
from paredown_agent.trampolines import try_trampoline
from paredown_schemas.errors import ParedownError

_SESSIONS = ("session_fork", "session_exec", "session_exit")
_LOADER, _LOADER_IN_LIST = "exec_loader", "exec_loader_in_list"
_CALL = "opened"
_CALLS = ("open", "openat", "openat2", "creat")
# By the names that the function has had, newest last.
_TRAMPOLINES: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "opened_by_path": ("do_filp_open", "do_file_open"),
        "opened_at_root": ("do_file_open_root",),
        "exec_looks": ("security_bprm_check",),
    }
)
AGAIN = "opened_again"  # which recorder/startup.py attaches
_OPTIONAL = (_LOADER, _LOADER_IN_LIST, _CALL, AGAIN, *_TRAMPOLINES)
_OTHERS = "the recorders fanotify and ebpf-tracepoints do without"
_ROOT = "do_file_open_root"


@dataclasses.dataclass(frozen=True, slots=True)
class AttachSet:
    """``files``: opens and ELF interpreters are told too; the rest says by what.

    ``open`` makes the programs of the compiled object; ``typed`` if that takes the kernel's BTF.
    ``check`` is what to find out instead where opening takes seconds; it raises ParedownError.
    """

    files: bool = False
    calls: Sequence[str] = ()
    trampolines: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    open: Callable[[Path], Object] = Object
    typed: bool = True
    check: Callable[[], None] | None = None


SESSIONS = AttachSet()
CALLS = AttachSet(files=True, calls=_CALLS)
TRAMPOLINES = AttachSet(files=True, trampolines=_TRAMPOLINES)
BCC = AttachSet(files=True, calls=_CALLS, open=BccObject, typed=False, check=check_bcc)


class Attachment:
    """An ``AttachSet`` on this kernel.

    Raises:
        ParedownError: the kernel lacks something that it takes.
    """

    def __init__(self, attach: AttachSet) -> None:
        self._calls = _existing(attach.calls) if attach.calls else ()
        self._targets: dict[str, str] = {}
        self._programs = list(_SESSIONS)
        self._kept = [] if attach.files else [AGAIN]
        self.root_arguments = 0
        if attach.files and attach.typed:
            with contextlib.closing(KernelTypes()) as types:
                if attach.trampolines:
                    _check_trampolines(types)
                find = types.function("bpf_find_vma")
                self._targets = _targets(attach.trampolines, types)
                self.root_arguments = types.arguments(_ROOT) or 0
            # The session must be known before the programs that ask for it run: attached first.
            self._programs += [_LOADER if find else _LOADER_IN_LIST, *self._targets]

    def prepare(self, program: Object) -> None:
        """Choose what is loaded."""
        wanted = {*self._programs, *self._kept, *([_CALL] if self._calls else [])}
        for name in _OPTIONAL:
            if name not in wanted:
                program.leave_out(name)
        for name, function in self._targets.items():
            program.set_target(name, function)

    def attach(self, program: Object) -> None:
        """Attach what was loaded; raises ParedownError."""
        for name in self._programs:
            program.attach(name)
        if self._calls:
            with contextlib.closing(Tracepoints()) as tracepoints:
                for call in self._calls:
                    program.attach_event(_CALL, tracepoints.open("syscalls", call))


def _existing(calls: Sequence[str]) -> Sequence[str]:
    with contextlib.closing(Tracepoints()) as tracepoints:
        names = [f"sys_exit_{call}" for call in calls]
        found = [name for name in names if tracepoints.exists("syscalls", name)]
    if not found:
        raise ParedownError(
            "cannot attach BPF programs: no tracepoints of system calls",
            hint="needs a kernel with CONFIG_FTRACE_SYSCALLS",
        )
    return found


def _check_trampolines(types: KernelTypes) -> None:
    """Loading all the programs first would take longer than ``auto`` should."""
    try:
        try_trampoline(types)
    except OSError as error:
        raise ParedownError(
            f"cannot attach BPF programs to the kernel's functions: {error.strerror}", hint=_OTHERS
        ) from error


def _targets(trampolines: Mapping[str, Sequence[str]], types: KernelTypes) -> dict[str, str]:
    return {program: _first(names, types) for program, names in trampolines.items()}


def _first(names: Sequence[str], types: KernelTypes) -> str:
    for name in names:
        if types.function(name):
            return name
    raise ParedownError(
        f"cannot attach BPF programs: this kernel has no {' or '.join(names)}",
        hint=_OTHERS,
    )
