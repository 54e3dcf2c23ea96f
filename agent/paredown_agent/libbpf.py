"""The system's libbpf, through ctypes: just what loading and reading a compiled object takes.

The functions are those that libbpf 0.3 and 1.x share (bpf/libbpf.h, bpf/bpf.h).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from collections.abc import Callable
from ctypes import c_char_p, c_int, c_long, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name, escape_name

_PRINT = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)
_DEBUG = 2  # enum libbpf_print_level
_LINE = 1024
BTF = Path("/sys/kernel/btf/vmlinux")
_BTF_KIND_FUNC = 12


class _BtfType(ctypes.Structure):
    """Of include/uapi/linux/btf.h: struct btf_type."""

    _fields_ = (("name", c_uint32), ("info", c_uint32), ("type", c_uint32))


class _ProgramInfo(ctypes.Structure):
    """Of include/uapi/linux/bpf.h: struct bpf_prog_info; the kernel fills in what it has."""

    _fields_ = (
        ("other", c_uint64 * 26),
        ("recursion_misses", c_uint64),  # since 5.12
    )


class _OpenOptions(ctypes.Structure):
    """Of bpf/libbpf.h: struct bpf_object_open_opts; ``types`` is from 0.6 on."""

    _fields_ = (
        ("size", c_size_t),
        ("name", c_char_p),
        ("relaxed", c_uint64),
        ("pins", c_char_p),
        ("attach", c_uint64),
        ("kconfig", c_char_p),
        ("types", c_char_p),
    )


_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "libbpf_set_print": (c_void_p, [_PRINT]),
    "libbpf_get_error": (c_long, [c_void_p]),
    "bpf_object__open_file": (c_void_p, [c_char_p, c_void_p]),
    "bpf_object__load": (c_int, [c_void_p]),
    "bpf_object__close": (None, [c_void_p]),
    "bpf_object__find_program_by_name": (c_void_p, [c_void_p, c_char_p]),
    "bpf_object__find_map_by_name": (c_void_p, [c_void_p, c_char_p]),
    "bpf_program__set_autoload": (c_int, [c_void_p, ctypes.c_bool]),
    "bpf_program__attach": (c_void_p, [c_void_p]),
    "bpf_program__attach_perf_event": (c_void_p, [c_void_p, c_int]),
    "bpf_program__set_attach_target": (c_int, [c_void_p, c_int, c_char_p]),
    "btf__parse": (c_void_p, [c_char_p, c_void_p]),
    "btf__find_by_name_kind": (c_int, [c_void_p, c_char_p, c_uint32]),
    "btf__type_by_id": (ctypes.POINTER(_BtfType), [c_void_p, c_uint32]),
    "btf__free": (None, [c_void_p]),
    "bpf_program__attach_cgroup": (c_void_p, [c_void_p, c_int]),
    "bpf_link__destroy": (c_int, [c_void_p]),
    "bpf_program__fd": (c_int, [c_void_p]),
    "bpf_obj_get_info_by_fd": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_map__fd": (c_int, [c_void_p]),
    "bpf_map__set_max_entries": (c_int, [c_void_p, c_uint32]),
    "bpf_map__set_initial_value": (c_int, [c_void_p, c_void_p, c_size_t]),
    "bpf_map_lookup_elem": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_map_update_elem": (c_int, [c_int, c_void_p, c_void_p, c_uint64]),
    "bpf_map_delete_elem": (c_int, [c_int, c_void_p]),
}


class Object:
    """A compiled BPF object: opened, told what to load, loaded, then attached.

    Raises:
        ParedownError: libbpf is missing, or refuses; the cause is its own last line.
    """

    def __init__(self, path: Path, types: Path | None = None) -> None:
        """``types``: where the kernel's BTF is; by default the running kernel's own."""
        self._lib = _library()
        self._links: list[tuple[str, c_void_p]] = []
        self._attached: set[int] = set()  # descriptors of programs
        options = _OpenOptions(size=ctypes.sizeof(_OpenOptions))
        options.types = None if types is None else os.fsencode(types)
        self._handle = self._pointer(
            f"cannot open BPF object {path.name}",
            self._lib.bpf_object__open_file(os.fsencode(path), ctypes.byref(options)),
        )

    def leave_out(self, program: str) -> None:
        """Do not load ``program``."""
        self._lib.bpf_program__set_autoload(self._program(program), False)

    def set_target(self, program: str, function: str) -> None:
        """Attach ``program`` to a function of the kernel, before ``load``."""
        status = self._lib.bpf_program__set_attach_target(
            self._program(program), 0, function.encode()
        )
        self._check(f"cannot attach BPF program {program} to {function}", status)

    def set_data(self, section: str, value: ctypes.Structure) -> None:
        """Set a constant section's content, before ``load``."""
        status = self._lib.bpf_map__set_initial_value(
            self._map(section), ctypes.byref(value), ctypes.sizeof(value)
        )
        self._check(f"cannot set {section} of the BPF object", status)

    def resize(self, name: str, entries: int) -> None:
        """Set a map's size, before ``load``."""
        status = self._lib.bpf_map__set_max_entries(self._map(name), entries)
        self._check(f"cannot resize BPF map {name}", status)

    def load(self) -> None:
        """Create the maps, and load the programs through the kernel's verifier."""
        self._check("cannot load BPF programs", self._lib.bpf_object__load(self._handle))

    def map(self, name: str) -> Map:
        """Return a map of the loaded object; it lives as long as the object."""
        return Map(self._lib, self._lib.bpf_map__fd(self._map(name)))

    def attach(self, program: str) -> None:
        """Attach ``program`` where its section says."""
        self._keep(program, self._lib.bpf_program__attach(self._program(program)))

    def attach_event(self, program: str, event: int) -> None:
        """Attach ``program`` to a perf event, one of several perhaps; takes the descriptor."""
        link = self._lib.bpf_program__attach_perf_event(self._program(program), event)
        try:
            self._keep(program, link)
        except ParedownError:
            os.close(event)
            raise

    def attach_cgroup(self, program: str, cgroup: int) -> None:
        """Attach ``program`` to an open directory of cgroup2 and what lies below."""
        link = self._lib.bpf_program__attach_cgroup(self._program(program), cgroup)
        self._keep(program, link)

    def skipped(self) -> int:
        """Return how often the kernel did not run a program that is or was attached.

        It does not while another task is in the midst of that program on the same CPU, which takes
        a kernel that preempts itself (ca06f55b9002 "Add per-program recursion prevention", 5.12).
        """
        total = 0
        for program in self._attached:
            info = _ProgramInfo()
            size = c_uint32(ctypes.sizeof(info))
            self._lib.bpf_obj_get_info_by_fd(program, ctypes.byref(info), ctypes.byref(size))
            total += info.recursion_misses
        return total

    def detach(self) -> None:
        """Detach every program."""
        while self._links:
            self._lib.bpf_link__destroy(self._links.pop()[1])

    def detach_one(self, program: str) -> None:
        """Detach ``program`` alone."""
        for each in [each for each in self._links if each[0] == program]:
            self._lib.bpf_link__destroy(each[1])
            self._links.remove(each)

    def close(self) -> None:
        """Detach, and give everything back; a second call does nothing."""
        self.detach()
        if self._handle:
            self._lib.bpf_object__close(self._handle)
            self._handle = c_void_p()

    def _program(self, name: str) -> c_void_p:
        found = self._lib.bpf_object__find_program_by_name(self._handle, name.encode())
        return self._pointer(f"cannot find BPF program {name}", found)

    def _keep(self, program: str, link: int | None) -> None:
        what = f"cannot attach BPF program {program}"
        self._links.append((program, self._pointer(what, link)))
        self._attached.add(self._lib.bpf_program__fd(self._program(program)))

    def _map(self, name: str) -> c_void_p:
        found = self._lib.bpf_object__find_map_by_name(self._handle, name.encode())
        return self._pointer(f"cannot find BPF map {name}", found)

    def _pointer(self, what: str, pointer: int | None) -> c_void_p:
        # An error is NULL with errno in libbpf 1, an encoded pointer before.
        self._check(what, self._lib.libbpf_get_error(pointer))
        return c_void_p(pointer)

    def _check(self, what: str, status: int) -> None:
        if status < 0:
            raise _error(what, -status)


class Map:
    """A map of integers or structures, which the caller's ctypes types describe."""

    def __init__(self, lib: ctypes.CDLL, fd: int) -> None:
        self._lib = lib
        self.fd = fd

    def lookup(self, key: int, value: ctypes.Array[c_uint64] | ctypes.Structure) -> bool:
        """Read the entry of a 32-bit ``key`` into ``value``; say whether there is one.

        A per-CPU map fills an array with one element per possible CPU.
        """
        status = self._lib.bpf_map_lookup_elem(
            self.fd, ctypes.byref(c_uint32(key)), ctypes.byref(value)
        )
        return int(status) == 0

    def update(self, key: int, value: c_uint32 | ctypes.Structure) -> None:
        """Write the entry of a 32-bit ``key``; raises ParedownError when the map is full."""
        status = self._lib.bpf_map_update_elem(
            self.fd, ctypes.byref(c_uint32(key)), ctypes.byref(value), 0
        )
        if status < 0:
            raise _error("cannot write a BPF map", ctypes.get_errno())

    def delete(self, key: int) -> None:
        """Remove the entry of a 32-bit ``key``, if there is one."""
        self._lib.bpf_map_delete_elem(self.fd, ctypes.byref(c_uint32(key)))


class KernelTypes:
    """What the kernel's own type information says; some MB of it until ``close``.

    Raises:
        ParedownError: it cannot be read.
    """

    def __init__(self) -> None:
        self._lib = _library()
        self._handle = c_void_p(self._lib.btf__parse(os.fsencode(BTF), None))
        if code := -self._lib.libbpf_get_error(self._handle):
            raise _error(f"cannot read {BTF}", code)

    def function(self, name: str) -> int:
        """Return the number of a function's type; 0 if there is none of that name."""
        number = self._lib.btf__find_by_name_kind(self._handle, name.encode(), _BTF_KIND_FUNC)
        return max(0, int(number))

    def arguments(self, function: str) -> int | None:
        """Return how many arguments a function takes; None if there is none of that name."""
        if not (number := self.function(function)):
            return None
        named = self._lib.btf__type_by_id(self._handle, number).contents
        return int(self._lib.btf__type_by_id(self._handle, named.type).contents.info & 0xFFFF)

    def close(self) -> None:
        """Forget it."""
        self._lib.btf__free(self._handle)


def available() -> str:
    """Return why libbpf cannot be used, or nothing."""
    try:
        _library()
    except ParedownError as error:
        return str(error)
    return ""


_log: list[str] = []


@functools.cache
def _library() -> ctypes.CDLL:
    lib = open_library()
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.libbpf_set_print(_PRINT_LINE)
    return lib


def open_library() -> ctypes.CDLL:
    """Return the system's libbpf without signatures; raises ParedownError."""
    for name in ("libbpf.so.1", "libbpf.so.0"):
        try:
            return ctypes.CDLL(name, use_errno=True)
        except OSError:
            continue
    raise ParedownError(
        "cannot load BPF programs: libbpf is not installed",
        hint="on Debian and Ubuntu: apt-get install libbpf1 (libbpf0 before Debian 12)",
    )


@functools.cache
def _vsnprintf() -> Callable[..., int]:
    function = ctypes.CDLL(None).vsnprintf
    # A va_list argument is passed as a pointer by the x86-64 and the AArch64 procedure call.
    function.argtypes = [c_char_p, c_size_t, c_char_p, c_void_p]
    return function


def _print_line(level: int, form: bytes, arguments: int) -> int:
    if level < _DEBUG:
        line = ctypes.create_string_buffer(_LINE)
        _vsnprintf()(line, _LINE, form, arguments)
        _log.append(decode_name(line.value).strip())
        del _log[:-20]
    return 0


_PRINT_LINE = _PRINT(_print_line)  # libbpf keeps the pointer, so it must not be collected


def _error(what: str, code: int) -> ParedownError:
    cause = os.strerror(code)
    # The first warning is the nearest to the cause; the rest are consequences.
    told = next((line.removeprefix("libbpf: ") for line in _log if line), "")
    _log.clear()
    hint = ""
    if code == errno.EPERM:  # the verifier's own refusal is EACCES
        told = ""  # guesses, in several sentences
        hint = "needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN"
    return ParedownError(
        f"{what}: {cause}" + (f" ({escape_name(told)})" if told else ""), hint=hint
    )
