"""ELF files made to harm: refused or read, in bounded time and memory, and never a crash."""

from __future__ import annotations

import io
import resource
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from decisions import decided, make_tree
from paredown_minimizer.elf import MalformedElfError, parse_elf
from traces import use

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
NEEDED, HASH, STRTAB, SYMTAB, RPATH, STRSZ, SYMENT = 1, 4, 5, 6, 15, 10, 11


def elf(strings: bytes, dynamic: Sequence[tuple[int, int]], symbols: bytes = b"") -> bytes:
    """A shared object of a string table, a hash table, symbols and a dynamic section, no more.

    Later entries of ``dynamic`` take precedence over the true ones.
    """
    start = _HEADER.size + 2 * _SEGMENT.size
    symtab = start + len(strings) + -len(strings) % 8
    table = symtab + len(symbols)
    count = len(symbols) // 24
    hashes = struct.pack("<III", 1, count, 0) + bytes(4 * count + (4 if count % 2 == 0 else 0))
    place = table + len(hashes)
    tags = {STRTAB: start, STRSZ: len(strings), SYMTAB: symtab, SYMENT: 24, HASH: table}
    tags |= {tag: value for tag, value in dynamic if tag in tags}
    entries = [(tag, value) for tag, value in dynamic if tag not in tags] + [*tags.items(), (0, 0)]
    section = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    size = place + len(section)
    identity = b"\x7fELF\2\1\1" + bytes(9)
    header = _HEADER.pack(identity, 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    load = _SEGMENT.pack(1, 5, 0, 0, 0, size, size, 4096)
    described = _SEGMENT.pack(2, 4, place, place, place, len(section), len(section), 8)
    padded = strings.ljust(symtab - start, b"\0")
    return header + load + described + padded + symbols + hashes + section


STRINGS = b"\0liba.so\0$ORIGIN/x\0"
GOOD = elf(STRINGS, [(NEEDED, 1), (RPATH, 9)])


def patched(offset: int, layout: str, value: int) -> bytes:
    data = bytearray(GOOD)
    struct.pack_into(layout, data, offset, value)
    return bytes(data)


def test_what_hostile_ones_are_made_from_is_read() -> None:
    facts = parse_elf(io.BytesIO(GOOD))
    assert (facts.needed, facts.rpath) == (("liba.so",), ("$ORIGIN/x",))


LYING = {
    "sections without end": patched(60, "<H", 0xFFFF),
    "sections beyond the end": patched(40, "<Q", 1 << 62),
    "sections of sections": patched(58, "<H", 0xFFFF),
    "segments without end": patched(56, "<H", 0xFFFF),
    "segments beyond the end": patched(32, "<Q", 1 << 63),
    "segments of no size": patched(54, "<H", 0),
    "segments that overlap": patched(54, "<H", 1),
    "segment of 2^60 bytes": patched(64 + 32, "<Q", 1 << 60),
    "dynamic section of 2^60 bytes": patched(64 + 56 + 32, "<Q", 1 << 60),
    "dynamic section that is the header": patched(64 + 56 + 8, "<Q", 0),
    "dynamic section without its end": elf(STRINGS, [(NEEDED, 1)])[:-16],
    "names beyond the table": elf(STRINGS, [(NEEDED, 1 << 40), (NEEDED, 0xFFFFFFFF)]),
    "name at the last byte": elf(STRINGS, [(NEEDED, len(STRINGS) - 1)]),
    "table of names that is nowhere": elf(STRINGS, [(NEEDED, 1), (STRTAB, 1 << 62)]),
    "table of names without end": elf(STRINGS, [(NEEDED, 1), (STRSZ, 1 << 62)]),
    "table of names that is the dynamic section": elf(b"", [(NEEDED, 8)]),
    "hash table without end": elf(STRINGS, [(HASH, 0)]),
    "symbols that are the header": elf(STRINGS, [(SYMTAB, 0)], bytes(240)),
    "class of the other width": patched(4, "<B", 1),
    "class of no width": patched(4, "<B", 9),
    "bytes in the other order": patched(5, "<B", 2),
}


@pytest.mark.parametrize("name", LYING)
def test_lying_headers_end_at_once(name: str) -> None:
    before = time.process_time()
    try:
        found = parse_elf(io.BytesIO(LYING[name]))
    except MalformedElfError as error:
        assert str(error).isprintable()
    else:
        assert len(found.needed) <= 2
    assert time.process_time() - before < 5


def test_names_that_overlap_fill_no_memory() -> None:
    """lief copies every name: 1.5 MB of file would be a gigabyte."""
    length = 1_500_000
    parse_elf(io.BytesIO(GOOD))
    limits = resource.getrlimit(resource.RLIMIT_AS)
    bomb = elf(b"a" * length + b"\0", [(NEEDED, offset) for offset in range(1, 900)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MalformedElfError, match="more memory"):
        parse_elf(io.BytesIO(bomb))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000
    assert resource.getrlimit(resource.RLIMIT_AS) == limits
    assert parse_elf(io.BytesIO(GOOD)).needed == ("liba.so",)


def test_a_decision_goes_on_without_damaged_files(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_tree(root, {"/usr/bin": None, "/usr/bin/other": "x"})
    for number, data in enumerate(LYING.values()):
        (root / f"usr/bin/p{number}").write_bytes(data)
    traced = [use(f"/usr/bin/p{number}", how="exec") for number in range(len(LYING))]
    decision = decided(root, traced, {"p": [use.path for use in traced], "o": ["/usr/bin/other"]})
    assert {use.path for use in traced} <= decision.kept
    assert "/usr/bin/other" not in decision.kept
    assert decision.warnings
    assert all(warning.isprintable() for warning in decision.warnings)
