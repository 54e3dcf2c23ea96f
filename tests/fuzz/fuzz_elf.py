"""ELF files and the loader's cache: refused as malformed, or facts that are text.

lief is machine code without instrumentation, so that coverage leads through elf.py alone; a crash
of lief is found all the same.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from fuzzing import refusing
from paredown_minimizer.elf import parse_elf
from paredown_minimizer.ldcache import parse_cache
from paredown_minimizer.scripts import parse_shebang

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_NEW = b"glibc-ld.so.cache1.1"
DICTIONARY = [
    *(b"\x7fELF\2\1\1", b"\x7fELF\1\1\1", b"\x7fELF\2\2\1", b"FDO\0", b"Go\0\0", _NEW),
    *(b"ld.so-1.7.0\0", b'[{"soname":["x"]}]', b"\x0a\x0c\x7c\x40", b"$ORIGIN", b"/lib64/ld.so"),
    *(struct.pack("<Q", tag) for tag in (1, 4, 5, 6, 10, 11, 14, 15, 29, 0x6FFFFFFB, 0x6FFFFEF5)),
    *(struct.pack("<I", kind) for kind in (1, 2, 3, 4, 6, 0x6474E553)),
    *(b"\xff" * 8, b"\xff" * 4, bytes(8), b"#!/bin/sh -e\n", b"#! "),
]


def one_input(data: bytes) -> None:
    """Read what a file's first bytes make of it."""
    with refusing():
        if data.startswith(b"#!"):
            parse_shebang(data)
        elif data.startswith((_NEW, b"ld.so-")):
            found = parse_cache(data)
            assert sum(len(path) for paths in found.values() for path in paths) <= 4 * len(data)
        else:
            _check(data)


def _check(data: bytes) -> None:
    facts = parse_elf(io.BytesIO(data))
    names = [*facts.needed, *facts.rpath, *facts.runpath, *facts.dlopened, *facts.imports]
    names += [name for name in (facts.interpreter, facts.soname) if name is not None]
    for name in names:
        name.encode("utf-8", "surrogateescape")
        assert len(name) <= len(data)


def _elf(notes: bytes = b"") -> bytes:
    """A shared object of a string table, an interpreter, a dynamic section and notes."""
    strings = b"\0liba.so\0$ORIGIN/x\0libme.so\0"
    symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 0x12, 0, 0, 0, 0)
    hashes = struct.pack("<IIIII", 1, 2, 0, 0, 0) + bytes(4)
    interpreter = b"/lib64/ld.so\0"
    start = _HEADER.size + 4 * _SEGMENT.size
    parts = [strings, symbols, hashes, interpreter, notes]
    places = []
    body = b""
    for part in parts:
        body += bytes(-len(body) % 8)
        places.append(start + len(body))
        body += part
    body += bytes(-len(body) % 8)
    tags = [(1, 1), (14, 19), (15, 9), (29, 9), (0x6FFFFFFB, 0x800), (5, places[0])]
    tags += [(10, len(strings)), (6, places[1]), (11, 24), (4, places[2]), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    place = start + len(body)
    size = place + len(dynamic)
    header = _HEADER.pack(b"\x7fELF\2\1\1" + bytes(9), 3, 62, 1, 0, 64, 0, 0, 64, 56, 4, 64, 0, 0)
    segments = [(1, 0, size), (2, place, len(dynamic)), (3, places[3], len(interpreter))]
    segments.append((4, places[4], len(notes)))
    table = b"".join(
        _SEGMENT.pack(kind, 5, at, at, at, length, length, 8) for kind, at, length in segments
    )
    return header + table + body + dynamic


def _note(vendor: bytes, kind: int, text: bytes) -> bytes:
    padded = [part.ljust(-(-len(part) // 4) * 4, b"\0") for part in (vendor, text)]
    return struct.pack("<III", len(vendor), len(text), kind) + padded[0] + padded[1]


def _cache() -> bytes:
    strings = b"libc.so.6\0/lib/libc.so.6\0"
    first = 48 + 24
    entry = struct.pack("<iIIIQ", 3, first, first + 10, 0, 0)
    return struct.pack("<20sII5I", _NEW, 1, len(strings), 0, 0, 0, 0, 0) + entry + strings


def seeds() -> Iterator[bytes]:
    """Yield shared objects with every part that is read, caches and first lines."""
    yield _elf()
    yield _elf(_note(b"FDO\0", 0x407C0C0A, b'[{"soname":["libz.so.1"]}]\0'))
    yield _elf(_note(b"Go\0\0", 4, b"abc"))
    with open("/proc/self/exe", "rb") as file:
        yield file.read(4096)
    yield _cache()
    old = b"ld.so-1.7.0\0" + struct.pack("<I", 1) + bytes(12)
    yield old + bytes(-len(old) % 8) + _cache()
    yield b"#!/usr/bin/env -S python3 -I\n"
