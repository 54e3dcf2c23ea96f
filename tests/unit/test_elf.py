"""What lief makes of ELF files, against pyelftools; and what cut and broken ones come to."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from elf_files import can_compile, compile_library, compile_program
from fixture_types import Require
from paredown_minimizer.elf import MAGIC, MalformedElfError, parse_elf


def _elf_files(root: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            if path.is_symlink() or not path.is_file():
                continue
            with path.open("rb") as file:
                if file.read(4) == MAGIC:
                    yield path


def _by_pyelftools(path: Path) -> dict[str, Any]:
    segment: Any
    found: dict[str, Any] = {"needed": [], "soname": None, "rpath": None, "runpath": None}
    found["interpreter"] = None
    with path.open("rb") as file:
        for segment in ELFFile(file).iter_segments():
            if segment.header.p_type == "PT_INTERP":
                found["interpreter"] = segment.get_interp_name()
            if segment.header.p_type != "PT_DYNAMIC":
                continue
            for tag in segment.iter_tags():
                if tag.entry.d_tag == "DT_NEEDED":
                    found["needed"].append(tag.needed)
                for name in ("soname", "rpath", "runpath"):
                    if tag.entry.d_tag == f"DT_{name.upper()}":
                        found[name] = getattr(tag, name)
    return found


@pytest.mark.parametrize("tree", ["nginx_rootfs", "flask_rootfs"])
def test_two_readers_agree_on_every_file(tree: str, request: pytest.FixtureRequest) -> None:
    count = 0
    for path in _elf_files(request.getfixturevalue(tree)):
        elf, witness = parse_elf(io.BytesIO(path.read_bytes())), _by_pyelftools(path)
        assert elf.needed == tuple(witness["needed"]), path
        assert elf.soname == witness["soname"], path
        assert ":".join(elf.rpath) == (witness["rpath"] or ""), path
        assert ":".join(elf.runpath) == (witness["runpath"] or ""), path
        assert elf.interpreter == witness["interpreter"], path
        count += 1
    assert count > 500


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, require: Require) -> bytes:
    require(can_compile(), "clang is not installed")
    space = tmp_path_factory.mktemp("elf")
    library = compile_library(space / "liba.so", soname="liba.so.1")
    options = ["-Wl,--disable-new-dtags,-rpath,$ORIGIN/x:/opt", "-Wl,-z,nodefaultlib"]
    return compile_program(space / "program", needs=[library], options=options).read_bytes()


def test_flags_and_paths(program: bytes) -> None:
    elf = parse_elf(io.BytesIO(program))
    assert elf.needed == ("liba.so.1",)
    assert elf.rpath == ("$ORIGIN/x", "/opt")
    assert elf.runpath == ()
    assert elf.nodeflib
    assert elf.is_program


def test_imported_symbols(tmp_path: Path, require: Require) -> None:
    require(can_compile(), "clang is not installed")
    library = compile_library(tmp_path / "l.so", imports=["getaddrinfo", "iconv_open"])
    assert {"getaddrinfo", "iconv_open"} <= parse_elf(io.BytesIO(library.read_bytes())).imports
    assert "use_getaddrinfo" not in parse_elf(io.BytesIO(library.read_bytes())).imports


def _noted(text: str) -> str:
    """C that holds a .note.dlopen, as the UAPI group's specification lays it out."""
    literal = text.replace("\\", "\\\\").replace('"', '\\"')
    return (
        '__attribute__((used, section(".note.dlopen"), aligned(4))) static const struct {'
        'unsigned namesz, descsz, type; char name[4]; char desc[sizeof("' + literal + '")];'
        '} note = {4, sizeof("' + literal + '"), 0x407c0c0a, "FDO", "' + literal + '"};'
    )


def test_dlopen_notes(tmp_path: Path, require: Require) -> None:
    require(can_compile(), "clang is not installed")
    text = (
        '[{"feature":"zstd","priority":"suggested","soname":["libzstd.so.1"]},'
        '{"soname":["libbpf.so.1","libbpf.so.0"]}]'
    )
    library = compile_library(tmp_path / "l.so", source=_noted(text))
    assert parse_elf(io.BytesIO(library.read_bytes())).dlopened == (
        "libzstd.so.1",
        "libbpf.so.1",
        "libbpf.so.0",
    )


def test_broken_dlopen_note_is_refused(tmp_path: Path, require: Require) -> None:
    require(can_compile(), "clang is not installed")
    library = compile_library(tmp_path / "l.so", source=_noted('[{"soname":[3]}]'))
    with pytest.raises(MalformedElfError, match="dlopen"):
        parse_elf(io.BytesIO(library.read_bytes()))


def test_every_cut_is_refused(program: bytes) -> None:
    for size in range(0, len(program), 97):
        with pytest.raises(MalformedElfError):
            parse_elf(io.BytesIO(program[:size]))


@pytest.mark.parametrize("flip", [0xFF, 0x01])
def test_flipped_bytes_never_crash(program: bytes, flip: int) -> None:
    refused = 0
    for place in range(0, len(program), 11):
        broken = bytearray(program)
        broken[place] ^= flip
        try:
            parse_elf(io.BytesIO(bytes(broken)))
        except MalformedElfError:
            refused += 1
    assert refused


def test_names_of_any_bytes(program: bytes) -> None:
    odd = program.replace(b"liba.so.1", b"lib\xff.so.1")
    odd = odd.replace(b"/lib64/ld-linux-x86-64", b"/lib64/ld-\xfeinux-x86-64")
    elf = parse_elf(io.BytesIO(odd))
    assert elf.needed == ("lib\udcff.so.1",)
    assert elf.interpreter == "/lib64/ld-\udcfeinux-x86-64.so.2"
