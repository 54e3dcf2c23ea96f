"""Whether the kernel lets a BPF program be attached to a function, and rings be made: by trying.

bpf(2) itself is called, since libbpf's functions for it differ between its versions 0 and 1.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from ctypes import c_uint32, c_uint64

from paredown_agent import syscalls
from paredown_agent.libbpf import KernelTypes

# include/uapi/linux/bpf.h
_MAP_CREATE, _PROG_LOAD, _RAW_TRACEPOINT_OPEN = 0, 5, 17
_MAP_RINGBUF = 27
_PROG_TRACING = 26
_TRACE_FENTRY = 24
_PAGE = 4096
# A function that is there for tests of trampolines (net/bpf/test_run.c).
_FUNCTION = "bpf_fentry_test1"
# r0 = 0; exit
_RETURN_ZERO = bytes.fromhex("b7000000000000009500000000000000")


class _Map(ctypes.Structure):
    _fields_ = (
        ("type", c_uint32),
        ("key", c_uint32),
        ("value", c_uint32),
        ("entries", c_uint32),
    )


class _Program(ctypes.Structure):
    """Of union bpf_attr, the part for BPF_PROG_LOAD."""

    _fields_ = (
        ("type", c_uint32),
        ("instructions", c_uint32),
        ("code", ctypes.c_char_p),
        ("license", ctypes.c_char_p),
        ("log", c_uint32 * 4),
        ("kernel_version", c_uint32),
        ("flags", c_uint32),
        ("name", ctypes.c_char * 16),
        ("interface", c_uint32),
        ("attach_type", c_uint32),
        ("btf", c_uint32),
        ("function_size", c_uint32),
        ("functions", c_uint64),
        ("function_count", c_uint32),
        ("line_size", c_uint32),
        ("lines", c_uint64),
        ("line_count", c_uint32),
        ("attach_btf_id", c_uint32),
    )


class _Attachment(ctypes.Structure):
    _fields_ = (("name", c_uint64), ("program", c_uint32), ("pad", c_uint32))


def try_ring_buffer() -> None:
    """Make a ring buffer; raises OSError where there is none."""
    os.close(_bpf(_MAP_CREATE, _Map(_MAP_RINGBUF, 0, 0, _PAGE)))


def try_trampoline(types: KernelTypes | None = None) -> None:
    """Attach a program to a function for a moment; raises OSError, ParedownError.

    Loading is allowed in more places than attaching: both are tried.
    """
    if types is None:
        with contextlib.closing(KernelTypes()) as read:
            try_trampoline(read)
        return
    program = _Program(type=_PROG_TRACING, instructions=2, code=_RETURN_ZERO, license=b"GPL")
    program.attach_type = _TRACE_FENTRY
    program.attach_btf_id = types.function(_FUNCTION)
    loaded = _bpf(_PROG_LOAD, program)
    try:
        os.close(_bpf(_RAW_TRACEPOINT_OPEN, _Attachment(program=loaded)))
    finally:
        os.close(loaded)


def _bpf(command: int, attributes: ctypes.Structure) -> int:
    size = ctypes.sizeof(attributes)
    return syscalls.call("bpf", command, ctypes.byref(attributes), size)
