"""Where libraries are found, against the real loader."""

from __future__ import annotations

import functools
import io
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from decisions import make_tree
from elf_files import can_compile, compile_library, compile_program
from fixture_types import Require
from paredown_minimizer.contents import Contents
from paredown_minimizer.elf import parse_elf
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.ldcache import configured_directories, parse_cache, read_cache
from paredown_minimizer.loader import Context, Loader

LD = "/lib64/ld-linux-x86-64.so.2"
_LINE = re.compile(r"\s(?:\S+ => )?(/\S+) \(0x")


def closure(root: Path, program: str, library_path: str = "") -> set[str]:
    """Return the files that ``program`` may load, canonical."""
    image = open_directory(str(root))
    contents = Contents(image)
    try:
        return _closure(contents, Loader(contents, library_path), program)
    finally:
        image.close()


def _closure(contents: Contents, loader: Loader, program: str) -> set[str]:
    image = contents.image
    found: set[str] = set()
    pending: list[tuple[str, Context | None]] = [(program, None)]
    while pending:
        name, context = pending.pop()
        resolved = image.tree.resolve(name)
        elf = resolved and contents.elf(resolved.path)
        if not resolved or not elf:
            continue
        context = context or loader.context(elf)
        below = loader.inherited(resolved.path, elf, context)
        for soname in elf.needed:
            for hit in loader.find(resolved.path, elf, soname, context):
                end = image.tree.resolve(hit)
                assert end is not None
                if end.path not in found:
                    found.add(end.path)
                    pending.append((end.path, below))
    return found


def by_ld(root: Path, programs: list[str], env: str = "") -> dict[str, set[str]]:
    """Ask the tree's own loader, in a chroot, as ldd does: it starts none of the programs."""
    found: dict[str, set[str]] = {}
    image = open_directory(str(root))
    for program in programs:
        environment = {"LD_TRACE_LOADED_OBJECTS": "1", "LD_LIBRARY_PATH": env}
        listed = subprocess.run(
            [LD, program],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            # Not by chroot(8), which the variable would ask for its own libraries.
            preexec_fn=functools.partial(os.chroot, root),
        ).stdout
        ends = [image.tree.resolve(path) for path in _LINE.findall(listed)]
        paths = {end.path for end in ends if end is not None}
        # The loader itself is listed too, needed or not.
        found[program] = {path for path in paths if "/ld-linux" not in path}
    image.close()
    return found


def test_every_program_of_a_system_gets_what_ld_so_gives_it(
    nginx_rootfs: Path, require: Require
) -> None:
    require(os.geteuid() == 0, "chroot takes root")
    programs = [
        f"/usr/{name}/{path.name}"
        for name in ("bin", "sbin")
        for path in sorted((nginx_rootfs / "usr" / name).iterdir())
        if not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF"
    ][::4]
    listed = by_ld(nginx_rootfs, programs)
    assert sum(map(len, listed.values())) > 100
    image = open_directory(str(nginx_rootfs))
    contents = Contents(image)
    loader = Loader(contents, "")
    for program, expected in listed.items():
        mine = {path for path in _closure(contents, loader, program) if "/ld-linux" not in path}
        assert mine == expected, program
    image.close()


def test_every_program_of_alpine_gets_what_musl_gives_it(apk_rootfs: Path) -> None:
    image = open_directory(str(apk_rootfs))
    contents = Contents(image)
    loader = Loader(contents, "")
    ours = "/lib/ld-musl-x86_64.so.1"
    count = 0
    for path in image.tree:
        elf = contents.elf(path) if image.tree[path].type == "file" else None
        if elf is None or path == ours or ".so" in path:
            continue
        listed = subprocess.run(
            ["chroot", apk_rootfs, ours, "--list", path], capture_output=True, text=True, check=True
        ).stdout
        ends = [image.tree.resolve(name) for name in _LINE.findall(listed)]
        expected = {end.path for end in ends if end is not None}
        # The program names its loader, which is the C library as well.
        assert _closure(contents, loader, path) | {ours} == expected, path
        count += len(expected)
    image.close()
    assert count > 30


@pytest.fixture
def world(tmp_path: Path, nginx_rootfs: Path, require: Require) -> Path:
    """A tree with a loader in it, for programs that need no C library."""
    require(os.geteuid() == 0, "chroot takes root")
    require(can_compile(), "clang is not installed")
    root = tmp_path / "world"
    (root / "lib64").mkdir(parents=True)
    shutil.copy(nginx_rootfs / LD.lstrip("/"), root / LD.lstrip("/"))
    return root


def _stub(tmp_path: Path, name: str, *needs: Path) -> Path:
    """A library to link against, elsewhere than in the tree."""
    return compile_library(tmp_path / "link" / name, soname=name, needs=needs)


def test_rpath_of_the_program_reaches_the_libraries_of_its_libraries(
    world: Path, tmp_path: Path
) -> None:
    b = _stub(tmp_path, "libb.so")
    compile_library(world / "opt/app/libb.so", soname="libb.so")
    a = compile_library(world / "opt/app/liba.so", soname="liba.so", needs=[b])
    rpath = ["-Wl,--disable-new-dtags,-rpath,$ORIGIN/../opt/app"]
    compile_program(world / "bin/p", needs=[a], options=rpath)
    assert closure(world, "/bin/p") == {"/opt/app/liba.so", "/opt/app/libb.so"}
    assert by_ld(world, ["/bin/p"])["/bin/p"] == closure(world, "/bin/p")


def test_runpath_is_for_the_object_itself(world: Path, tmp_path: Path) -> None:
    b = _stub(tmp_path, "libb.so")
    compile_library(world / "opt/app/libb.so", soname="libb.so")
    a = compile_library(world / "opt/app/liba.so", soname="liba.so", needs=[b])
    compile_program(world / "bin/p", needs=[a], options=["-Wl,--enable-new-dtags,-rpath,/opt/app"])
    assert closure(world, "/bin/p") == {"/opt/app/liba.so"}
    assert by_ld(world, ["/bin/p"])["/bin/p"] == {"/opt/app/liba.so"}


def test_rpath_before_library_path_before_runpath(world: Path) -> None:
    a = compile_library(world / "one/liba.so", soname="liba.so")
    compile_library(world / "two/liba.so", soname="liba.so")
    compile_program(world / "bin/old", needs=[a], options=["-Wl,--disable-new-dtags,-rpath,/one"])
    compile_program(world / "bin/new", needs=[a], options=["-Wl,--enable-new-dtags,-rpath,/one"])
    listed = by_ld(world, ["/bin/old", "/bin/new"], env="/two")
    assert listed == {"/bin/old": {"/one/liba.so"}, "/bin/new": {"/two/liba.so"}}
    assert closure(world, "/bin/old", "/two") == {"/one/liba.so"}
    # The container may be started with another environment: both are candidates.
    assert closure(world, "/bin/new", "/two") == {"/one/liba.so", "/two/liba.so"}


def test_cache_and_configuration(world: Path, require: Require) -> None:
    require(Path("/sbin/ldconfig").exists(), "there is no ldconfig")
    a = compile_library(world / "opt/far/liba.so", soname="liba.so")
    compile_program(world / "bin/p", needs=[a])
    make_tree(world, {"/etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n"})
    make_tree(world, {"/etc/ld.so.conf.d/far.conf": "# far\n/opt/far\n"})
    image = open_directory(str(world))
    assert configured_directories(Contents(image)) == ["/opt/far"]
    image.close()
    assert closure(world, "/bin/p") == {"/opt/far/liba.so"}  # by the configuration
    subprocess.run(["/sbin/ldconfig", "-X", "-r", str(world)], check=True)
    (world / "etc/ld.so.conf.d/far.conf").unlink()
    image = open_directory(str(world))
    assert read_cache(Contents(image))["liba.so"] == ["/opt/far/liba.so"]
    image.close()
    assert closure(world, "/bin/p") == {"/opt/far/liba.so"}  # by the cache
    assert by_ld(world, ["/bin/p"])["/bin/p"] == {"/opt/far/liba.so"}


def test_every_variant_by_cpu_is_a_candidate(world: Path) -> None:
    a = compile_library(world / "usr/lib/liba.so", soname="liba.so")
    variant = world / "usr/lib/glibc-hwcaps/x86-64-v3/liba.so"
    compile_library(variant, soname="liba.so")
    compile_program(world / "bin/p", needs=[a])
    found = closure(world, "/bin/p")
    assert found == {"/usr/lib/liba.so", "/usr/lib/glibc-hwcaps/x86-64-v3/liba.so"}
    assert by_ld(world, ["/bin/p"])["/bin/p"] <= found


def test_library_of_another_machine_is_passed_over(world: Path) -> None:
    a = compile_library(world / "usr/lib/liba.so", soname="liba.so")
    compile_program(world / "bin/p", needs=[a])
    other = bytearray(a.read_bytes())
    other[18] = 183  # e_machine: aarch64
    (world / "lib/x86_64-linux-gnu").mkdir(parents=True)
    (world / "lib/x86_64-linux-gnu/liba.so").write_bytes(other)
    assert closure(world, "/bin/p") == {"/usr/lib/liba.so"}
    assert by_ld(world, ["/bin/p"])["/bin/p"] == {"/usr/lib/liba.so"}


def test_nodeflib_leaves_default_directories_out(world: Path) -> None:
    a = compile_library(world / "usr/lib/liba.so", soname="liba.so")
    compile_program(world / "bin/p", needs=[a], options=["-Wl,-z,nodefaultlib"])
    assert closure(world, "/bin/p") == set()
    assert by_ld(world, ["/bin/p"])["/bin/p"] == set()


def test_musl_finds_by_its_path_file_and_inherits_runpath(tmp_path: Path, require: Require) -> None:
    require(can_compile(), "clang is not installed")
    root = tmp_path / "musl"
    c = _stub(tmp_path, "libc.musl-x86_64.so.1")
    b = _stub(tmp_path, "libb.so")
    compile_library(root / "opt/libb.so", soname="libb.so", needs=[c])
    a = compile_library(root / "opt/liba.so", soname="liba.so", needs=[b])
    d = compile_library(root / "far/libd.so", soname="libd.so", needs=[c])
    options = [
        "-Wl,--enable-new-dtags,-rpath,/opt",
        "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1",
    ]
    compile_program(root / "bin/p", needs=[a, d], options=options)
    make_tree(root, {"/etc/ld-musl-x86_64.path": "/far\n/lib\n"})
    assert closure(root, "/bin/p") == {"/opt/liba.so", "/opt/libb.so", "/far/libd.so"}


def test_needed_by_path(world: Path) -> None:
    a = compile_library(world / "opt/liba.so", soname="/opt/liba.so")
    compile_program(world / "bin/p", needs=[a])
    assert parse_elf(io.BytesIO((world / "bin/p").read_bytes())).needed == ("/opt/liba.so",)
    assert closure(world, "/bin/p") == {"/opt/liba.so"} == by_ld(world, ["/bin/p"])["/bin/p"]


@pytest.mark.parametrize("size", [0, 5, 20, 47, 60, 200])
def test_cut_cache_gives_what_is_whole(size: int, nginx_rootfs: Path) -> None:
    data = (nginx_rootfs / "etc/ld.so.cache").read_bytes()
    whole = parse_cache(data)
    assert len(whole) > 50
    cut = parse_cache(data[:size])
    assert all(paths == whole.get(soname) for soname, paths in cut.items())
