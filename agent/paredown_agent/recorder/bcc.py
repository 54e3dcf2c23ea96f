"""The BPF programs, compiled on this host by BCC: for kernels without BTF.

The text is that of the object which a wheel carries, behind a front end of its own (bcc.h). The
tables are made from that object, which takes no BTF, so that both have one definition. BCC is the
distribution's python3-bpfcc (PyPI's package of that name is another), found from inside a virtual
environment too.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import os
import re
import struct
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

from paredown_agent import syscalls
from paredown_agent.libbpf import Object
from paredown_agent.trampolines import try_ring_buffer
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

_PACKAGES = Path("/usr/lib/python3/dist-packages")
_PARTS = ("paredown.h", "events.h", "paths.h", "processes.h", "files.h", "facts.h", "sessions.h")
_MAPS = (
    *("events", "counts", "scratch", "tasks", "dead", "watched", "told"),
    *("facts", "programs", "mounts"),
)
# As the sections of the object say.
_RAW_TRACEPOINTS = MappingProxyType(
    {
        "session_fork": "sched_process_fork",
        "session_exec": "sched_process_exec",
        "session_exit": "sched_process_exit",
    }
)
_CALL = "opened"
# What the kernel's headers have or have not: include/linux/fs.h.
_FEATURES = MappingProxyType(
    {"INODE_MTIME_SPLIT": "i_mtime_sec", "INODE_MTIME_UNDERSCORE": "__i_mtime"}
)
# include/uapi/linux/bpf.h, perf_event.h
_RAW_TRACEPOINT_OPEN = 17
_IOC_ENABLE, _IOC_SET_BPF = 0x2400, 0x40042408


def check_bcc() -> None:
    """Raise ParedownError if something is missing; compiling would take seconds."""
    _headers()
    _import_bcc()
    try:
        try_ring_buffer()
    except OSError as error:
        raise ParedownError(
            f"cannot make a BPF ring buffer: {error.strerror}", hint="needs Linux 5.8, and CAP_BPF"
        ) from error


class BccObject(Object):
    """See ``Object``, which makes the tables here; the programs are BCC's.

    Raises:
        ParedownError: BCC or the kernel's headers are missing, or refuse.
    """

    def __init__(self, path: Path) -> None:
        self._headers = _headers()
        self._bcc = _import_bcc()
        # No program of the object is loaded, so that any BTF will do, such as its own.
        super().__init__(path, types=path)
        self._programs: dict[str, int] = {}
        self._events: list[int] = []
        self._config = ""

    def set_data(self, section: str, value: ctypes.Structure) -> None:
        """See ``Object``."""
        super().set_data(section, value)
        fields = (f".{name} = {getattr(value, name)}ULL" for name, *_ in value._fields_)
        self._config = f"static const struct config config = {{ {', '.join(fields)} }};"

    def load(self) -> None:
        """See ``Object``."""
        for name in (*_RAW_TRACEPOINTS, _CALL):
            self.leave_out(name)
        super().load()
        try:
            module = self._bcc.BPF(text=self._text().encode(), cflags=["-w"])
            kinds = dict.fromkeys(_RAW_TRACEPOINTS, self._bcc.BPF.RAW_TRACEPOINT)
            for name, kind in (*kinds.items(), (_CALL, self._bcc.BPF.TRACEPOINT)):
                self._programs[name] = module.load_func(name.encode(), kind).fd
        except Exception as error:  # BCC raises Exception itself
            raise ParedownError(
                f"cannot compile BPF programs by BCC: {escape_name(str(error)[:200])}",
                hint=f"the headers in {self._headers} must be this kernel's own",
            ) from error
        self._module = module  # closes the programs when it goes

    def attach(self, program: str) -> None:
        """See ``Object``."""
        name = ctypes.create_string_buffer(_RAW_TRACEPOINTS[program].encode())
        attributes = ctypes.create_string_buffer(
            struct.pack("QII", ctypes.addressof(name), self._programs[program], 0)
        )
        self._events.append(self._do(program, "bpf", _RAW_TRACEPOINT_OPEN, attributes, 16))
        self._attached.add(self._programs[program])

    def attach_event(self, program: str, event: int) -> None:
        """See ``Object``."""
        self._events.append(event)
        try:
            fcntl.ioctl(event, _IOC_SET_BPF, self._programs[program])
            fcntl.ioctl(event, _IOC_ENABLE, 0)
        except OSError as error:
            raise ParedownError(f"cannot attach BPF program {program}: {error.strerror}") from error
        self._attached.add(self._programs[program])

    def detach(self) -> None:
        """See ``Object``."""
        super().detach()
        while self._events:
            os.close(self._events.pop())

    def _do(self, program: str, call: str, *arguments: object) -> int:
        try:
            return syscalls.call(call, *arguments)
        except OSError as error:
            raise ParedownError(f"cannot attach BPF program {program}: {error.strerror}") from error

    def _text(self) -> str:
        source = _sources()
        header = (self._headers / "include/linux/fs.h").read_text("utf-8", "replace")
        features = [f"#define {name}" for name, word in _FEATURES.items() if _has(header, word)]
        tables = [
            f"#define {name} (*(char *)bpf_pseudo_fd(1, {self.map(name).fd}))" for name in _MAPS
        ]
        front = (source / "bcc.h").read_text("utf-8")
        parts = {name: _without_includes((source / name).read_text("utf-8")) for name in _PARTS}
        opens = _without_includes((source / "opens.h").read_text("utf-8"))
        first = parts.pop("paredown.h")
        return "\n".join((*features, front, first, self._config, *tables, *parts.values(), opens))


def _sources() -> Path:
    """In a wheel beside this package's modules, in a checkout beside the package."""
    package = Path(__file__).parent.parent
    installed = package / "bpf"
    return installed if installed.is_dir() else package.parent / "bpf"


def _without_includes(text: str) -> str:
    return re.sub(r'^#include "[^"]*"$', "", text, flags=re.MULTILINE)


def _has(header: str, word: str) -> bool:
    return re.search(rf"\b{word}\b", header) is not None


def _headers() -> Path:
    release = os.uname().release
    modules = Path("/lib/modules", release)
    for found in (modules / "source", modules / "build"):
        if (found / "include/linux/fs.h").exists():
            return found
    raise ParedownError(
        "cannot compile BPF programs by BCC: this kernel's headers are missing",
        hint=f"on Debian and Ubuntu: apt-get install linux-headers-{release}",
    )


def _import_bcc() -> Any:
    """Import the distribution's BCC, and nothing else from beside it."""
    if "bcc" in sys.modules:
        return sys.modules["bcc"]
    init = _PACKAGES / "bcc" / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        "bcc", init, submodule_search_locations=[str(init.parent)]
    )
    try:
        if spec is None or spec.loader is None:
            raise ImportError(str(init))
        module = sys.modules["bcc"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        sys.modules.pop("bcc", None)
        raise ParedownError(
            f"cannot compile BPF programs by BCC: {error}",
            hint="on Debian and Ubuntu: apt-get install python3-bpfcc",
        ) from error
    return module
