"""What a file is and how it was used, told from its mode and first bytes.

ELF layout from the System V ABI, elf(5).
"""

from __future__ import annotations

import os
import stat
import struct

from paredown_schemas.trace import How, Kind

# Program headers follow the ELF header in every linker's output; looking further is not worth it.
_HEAD = 4096
_ET_DYN = 3
_PT_INTERP = 3

# How the file that an exec opened before shapes what the next one is.
AFTER_SCRIPT, AFTER_PROGRAM, AFTER_OTHER = "script", "program", ""


def read_head(fd: int) -> bytes:
    """Return the first bytes of an open regular file; none if they cannot be read."""
    try:
        return os.pread(fd, _HEAD, 0)
    except OSError:
        return b""


def exec_use(head: bytes, after: str) -> tuple[How, str]:
    """Return how a file that exec opened is used, and what the next one comes after.

    One exec opens a script, its interpreter (a script too, perhaps), and the ELF interpreter. What
    is no ELF file is binfmt_misc's, or for a shell to read after the kernel's refusal.
    """
    if head.startswith(b"#!") or (head and not _is_elf(head)):
        return ("interpreter" if after == AFTER_SCRIPT else "script"), AFTER_SCRIPT
    has_interpreter = _has_interpreter(head)
    following = AFTER_PROGRAM if has_interpreter else AFTER_OTHER
    if after == AFTER_SCRIPT:
        return "interpreter", following
    if after == AFTER_PROGRAM and _is_shared(head) and not has_interpreter:
        return "loader", AFTER_OTHER
    return "exec", following


def open_use(head: bytes) -> How:
    """Return how a regular file that was opened, not executed, is used."""
    return "library" if _is_shared(head) else "read"


def _is_elf(head: bytes) -> bool:
    return head.startswith(b"\x7fELF") and len(head) >= 64


def _order(head: bytes) -> str:
    return ">" if head[5] == 2 else "<"  # ELFDATA2MSB


def _is_shared(head: bytes) -> bool:
    return _is_elf(head) and struct.unpack_from(_order(head) + "H", head, 16)[0] == _ET_DYN


def _has_interpreter(head: bytes) -> bool:
    if not _is_elf(head):
        return False
    order = _order(head)
    if head[4] == 2:  # ELFCLASS64
        offset, size, count = *struct.unpack_from(order + "Q", head, 32), *_pair(head, order, 54)
    else:
        offset, size, count = *struct.unpack_from(order + "I", head, 28), *_pair(head, order, 42)
    starts = range(offset, min(offset + size * count, len(head) - 4), size) if size else ()
    return any(struct.unpack_from(order + "I", head, start)[0] == _PT_INTERP for start in starts)


def _pair(head: bytes, order: str, offset: int) -> tuple[int, int]:
    size, count = struct.unpack_from(order + "HH", head, offset)
    return size, count


def file_kind(mode: int) -> Kind:
    """Return what the trace calls a file of this st_mode."""
    if stat.S_ISREG(mode):
        return "file"
    return "directory" if stat.S_ISDIR(mode) else "other"
