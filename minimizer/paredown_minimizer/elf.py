"""What an ELF file asks of the loader, read by lief.

Followed: the System V gABI (chapter 5, "Dynamic Linking"), and for ``.note.dlopen`` the UAPI
group's "ELF dlopen metadata". A file that is cut short or does not hang together is refused as a
whole: half a dependency list would be worse than none, since nobody would see that it is half.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import json
import resource
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name

MAGIC = b"\x7fELF"
_DF_1_NODEFLIB = 0x800
_NOTE_DLOPEN = 0x407C0C0A  # vendor "FDO"
# What lief may take beside eight times the file: libLLVM's 46,000 symbols take a tenth of it.
_MEMORY = 1 << 28
_NOTE_GO_BUILD_ID = 4  # vendor "Go": Go, src/cmd/internal/buildid

ElfType = Literal["program", "library", "other"]


class MalformedElfError(ParedownError):
    """A file begins like an ELF file and is none that can be trusted."""


@dataclasses.dataclass(frozen=True, slots=True)
class Elf:
    """The part of an ELF file that decides what else is loaded. Names in memory form."""

    type: ElfType  # a position-independent program has type library and an interpreter
    machine: tuple[int, int]  # EI_CLASS and e_machine: only equals load each other
    interpreter: str | None  # PT_INTERP
    soname: str | None
    needed: tuple[str, ...]  # DT_NEEDED, in order
    rpath: tuple[str, ...]  # components, unexpanded
    runpath: tuple[str, ...]
    nodeflib: bool  # DF_1_NODEFLIB: default directories are not searched
    dlopened: tuple[str, ...]  # sonames of .note.dlopen, of every priority
    imports: frozenset[str]  # names of undefined dynamic symbols, without versions
    is_go: bool  # linked by Go

    @property
    def is_program(self) -> bool:
        """Say whether the kernel can start it."""
        return self.type == "program" or self.interpreter is not None


def parse_elf(file: BinaryIO) -> Elf:
    """Read an ELF file, from its start wherever ``file`` stands.

    Raises:
        MalformedElfError: it is cut short or malformed; the message is the cause alone.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise MalformedElfError("no ELF magic")
    import lief  # noqa: PLC0415 - 0.25 s, and not every command reads ELF

    try:
        # Values that lief has no name for are no fault of the file: vendors have their own.
        with warnings.catch_warnings(), _bounded_memory(_MEMORY + 8 * size):
            warnings.simplefilter("ignore", RuntimeWarning)
            # The file itself and not its bytes, which lief would copy twice.
            binary = lief.ELF.parse(cast("io.IOBase", file), _config())
            if binary is None:
                raise MalformedElfError("not an ELF file that lief understands")
            _refuse_cut_short(binary, size)
            return _from_lief(binary)
    except MemoryError as error:
        raise MalformedElfError("it takes more memory than such a file can need") from error
    except (UnicodeDecodeError, RuntimeError, AttributeError) as error:
        raise MalformedElfError(f"malformed: {error}") from error


@contextlib.contextmanager
def _bounded_memory(more: int) -> Iterator[None]:
    """Let this process take ``more`` bytes and then fail, instead of the host.

    lief copies every name, and names that overlap make gigabytes of a file of some megabytes.
    """
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    wanted = pages * resource.getpagesize() + more
    before = soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *limits]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@functools.cache
def _config() -> Any:
    import lief  # noqa: PLC0415

    lief.logging.disable()
    config = lief.ELF.ParserConfig()
    config.parse_relocations = False
    config.parse_symtab_symbols = False
    config.parse_symbol_versions = False
    config.parse_overlay = False
    return config


def _refuse_cut_short(binary: Any, size: int) -> None:
    # lief clamps what lies outside and goes on, so that a cut file seems to need nothing.
    header = binary.header
    ends = [header.section_header_offset + header.numberof_sections * header.section_header_size]
    ends += [segment.file_offset + segment.physical_size for segment in binary.segments]
    if max(ends) > size:
        raise MalformedElfError(f"cut short: its headers reach to byte {max(ends)} of {size}")
    if header.numberof_segments != len(binary.segments):
        raise MalformedElfError("program headers are missing")


def _from_lief(binary: Any) -> Elf:
    import lief  # noqa: PLC0415

    tags = lief.ELF.DynamicEntry.TAG
    needed: list[str] = []
    texts: dict[Any, str] = {}
    flags = 0
    for entry in binary.dynamic_entries:
        if entry.tag == tags.NEEDED:
            needed.append(_text(entry.name))
        elif entry.tag == tags.SONAME:
            texts[entry.tag] = _text(entry.name)
        elif entry.tag == tags.RPATH:
            texts[entry.tag] = _text(entry.rpath)
        elif entry.tag == tags.RUNPATH:
            texts[entry.tag] = _text(entry.runpath)
        elif entry.tag == tags.FLAGS_1:
            flags = entry.value
    kinds: dict[Any, ElfType] = {
        lief.ELF.Header.FILE_TYPE.EXEC: "program",
        lief.ELF.Header.FILE_TYPE.DYN: "library",
    }
    return Elf(
        type=kinds.get(binary.header.file_type, "other"),
        machine=(binary.header.identity_class.value, binary.header.machine_type.value),
        interpreter=_interpreter(binary, lief.ELF.Segment.TYPE.INTERP),
        soname=texts.get(tags.SONAME),
        needed=tuple(needed),
        rpath=_components(texts.get(tags.RPATH)),
        runpath=_components(texts.get(tags.RUNPATH)),
        nodeflib=bool(flags & _DF_1_NODEFLIB),
        dlopened=_dlopened(binary),
        imports=_imports(binary),
        is_go=any(_is_note(note, _NOTE_GO_BUILD_ID, "Go") for note in binary.notes),
    )


def _imports(binary: Any) -> frozenset[str]:
    # Not through binary.imported_symbols, which leaves out symbols of no type: that is how those
    # look that no library was linked for.
    return frozenset(_text(s.name) for s in binary.dynamic_symbols if s.shndx == 0 and s.name)


def _text(name: str | bytes) -> str:
    # lief hands out bytes where a name is no UTF-8.
    return decode_name(name) if isinstance(name, bytes) else name


def _components(path: str | None) -> tuple[str, ...]:
    return tuple(component for component in (path or "").split(":") if component)


def _interpreter(binary: Any, interp: Any) -> str | None:
    # Not through binary.interpreter, which fails on a name that is no UTF-8.
    for segment in binary.segments:
        if segment.type == interp:
            return decode_name(bytes(segment.content).split(b"\0")[0])
    return None


def _dlopened(binary: Any) -> tuple[str, ...]:
    sonames: list[str] = []
    for note in binary.notes:
        if _is_note(note, _NOTE_DLOPEN, "FDO"):
            sonames += _sonames(bytes(note.description))
    return tuple(dict.fromkeys(sonames))


def _is_note(note: Any, number: int, vendor: str) -> bool:
    return bool(note.original_type == number and note.name.rstrip("\0") == vendor)


def _sonames(description: bytes) -> list[str]:
    try:
        features = json.loads(description.rstrip(b"\0"))
        names = [name for feature in features for name in feature["soname"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise MalformedElfError(f"malformed .note.dlopen: {error}") from error
    if not all(isinstance(name, str) for name in names):
        raise MalformedElfError("malformed .note.dlopen: a soname is no string")
    return names
