"""Make the agent bundle: what ``paredown-agent`` takes to run in any image, in one directory.

Run by the system's own Python on Debian, whose packages (and their copyright files) it is made of:
the interpreter, the dynamic loader, libbpf, msgpack, psutil, each shared library that these need,
and of the standard library what the agent can reach. Same packages and sources, same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import modulefinder
import os
import platform
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "paredown"
_SOURCES = (ROOT / "agent", ROOT / "schemas")
_PACKAGES = ("paredown_agent", "paredown_schemas")
_LIBRARIES = ("libbpf.so.1", "libseccomp.so.2")  # loaded by name
# What the standard library would like in places that the agent never comes to.
_LEFT_OUT = (
    *("_hashlib", "_ssl", "asyncio", "curses", "distutils", "doctest", "lib2to3", "lzma", "bz2"),
    *("multiprocessing", "pdb", "pydoc", "readline", "ssl", "test", "unittest", "xmlrpc"),
)
# The launcher needs no libc (agent/bundle/launcher.c).
_COMPILE = (
    *("clang", "-O2", "-Wall", "-Werror", "-ffreestanding", "-fno-stack-protector"),
    *("-fno-asynchronous-unwind-tables", "-fno-pie", "-static", "-nostdlib", "-s"),
    *("-Wl,-z,noseparate-code", "-Wl,--build-id=none"),
)
_TIME = 0  # of every file: the bundle depends on its content alone


def main() -> None:
    """Make ``DIR/paredown`` and ``DIR/paredown-agent-MACHINE.tar.gz``."""
    parser = argparse.ArgumentParser(prog="scripts/bundle", description="Make the agent bundle.")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "dist", metavar="DIR")
    output: Path = parser.parse_args().output
    tree = output / NAME
    if tree.exists():
        shutil.rmtree(tree)
    for directory in ("bin", "licenses", f"lib/{_stdlib().name}/lib-dynload"):
        (tree / directory).mkdir(parents=True)
    _fill(tree)
    _settle(tree)
    archive = output / f"paredown-agent-linux-{platform.machine()}.tar.gz"
    _pack(tree, archive)
    size = sum(path.stat().st_size for path in tree.rglob("*"))
    packed = archive.stat().st_size
    print(f"Wrote {tree} ({size / 1e6:.1f} MB), {archive} ({packed / 1e6:.1f} MB).")


def _fill(tree: Path) -> None:
    origins = [_copy(Path(sys.executable).resolve(), tree / "bin" / "python3")]
    modules = tree / "lib" / _stdlib().name
    for module in _modules():
        origins += _add_module(module, modules)
    for package in _PACKAGES:
        _add_data(package, modules)
    binaries = [*map(Path, origins), *(_find_library(name) for name in _LIBRARIES)]
    for library in sorted({*binaries[-len(_LIBRARIES) :], *_needed(binaries)}):
        name = "ld.so" if library.name.startswith("ld-linux") else library.name
        origins.append(_copy(library, tree / "lib" / name))
    launcher = ROOT / "agent" / "bundle" / "launcher.c"
    subprocess.run([*_COMPILE, "-o", tree / "paredown-agent", launcher], check=True)
    _add_licences(origins, tree / "licenses")


def _stdlib() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _modules() -> list[modulefinder.Module]:
    """Every module that a module of the agent imports anywhere, and so on."""
    path = [*map(str, _SOURCES), *sys.path]
    finder = modulefinder.ModuleFinder(path=path, excludes=_LEFT_OUT)
    for package in _PACKAGES:
        for source, name in _package_files(package, ".py"):
            if source.name != "__main__.py":
                finder.import_hook(
                    name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                )
    finder.import_hook("paredown_agent.__main__")
    finder.import_hook("encodings", fromlist=["ascii", "idna", "latin_1", "utf_8"])
    finder.import_hook("runpy")
    for name in _LEFT_OUT:
        for importer in finder.badmodules.get(name, ()):
            if importer.startswith(_PACKAGES):
                sys.exit(f"cannot make the bundle: {importer} imports {name}, which is left out")
    return sorted(
        (module for module in finder.modules.values() if module.__file__),
        key=lambda module: module.__name__,
    )


def _package_files(package: str, suffix: str) -> Iterator[tuple[Path, str]]:
    (top,) = (source / package for source in _SOURCES if (source / package).is_dir())
    for path in sorted(top.rglob(f"*{suffix}")):
        yield path, str(path.relative_to(top.parent))


def _add_module(module: modulefinder.Module, target: Path) -> list[Path]:
    """Put a module in; return its file if it is from a package of the distribution."""
    source = Path(module.__file__ or "")
    if source.suffix == ".so":
        place = target / module.__name__.replace(".", "/")
        if "." not in module.__name__:
            place = target / "lib-dynload" / module.__name__
        return [_copy(source, place.with_name(source.name))]
    name = module.__name__.replace(".", "/") + ("/__init__" if module.__path__ else "")
    place = target / f"{name}.pyc"
    place.parent.mkdir(parents=True, exist_ok=True)
    py_compile.compile(
        str(source),
        cfile=str(place),
        dfile=f"{name}.py",
        doraise=True,
        optimize=2,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    return [] if source.is_relative_to(ROOT) else [source]


def _add_data(package: str, target: Path) -> None:
    for suffix in (".bpf.o", ".json"):
        for source, name in _package_files(package, suffix):
            _copy(source, target / name)


def _copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return source


def _find_library(name: str) -> Path:
    listed = subprocess.run(["/sbin/ldconfig", "-p"], check=True, capture_output=True, text=True)
    found = re.search(rf"{re.escape(name)} \(libc6,[^)]*\) => (\S+)", listed.stdout)
    if found is None:
        sys.exit(f"cannot make the bundle: {name} is not installed")
    return Path(found[1])


def _needed(binaries: Sequence[Path]) -> set[Path]:
    """Return the libraries that ELF files need, and the dynamic loader."""
    found = set()
    for binary in binaries:
        with binary.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
        listed = subprocess.run(["ldd", binary], check=True, capture_output=True, text=True)
        found |= {
            Path(path)
            for path in re.findall(r"(?:=> |^\s)(/\S+) \(0x", listed.stdout, re.MULTILINE)
        }
    return found


def _add_licences(origins: Sequence[Path], target: Path) -> None:
    """Put in the copyright files of the packages that files are from, and what these refer to."""
    texts = [Path("/usr/share/doc") / package / "copyright" for package in _owners(origins)]
    for text in texts:
        _copy(text, target / text.parent.name)
    common = Path("/usr/share/common-licenses")
    named = set(re.findall(rf"{common}/([\w.+-]*\w)", "".join(path.read_text() for path in texts)))
    for name in sorted(named):
        _copy(common / name, target / "common-licenses" / name)
    for name in ("LICENSE", "LICENSE.BPF"):
        _copy(ROOT / name, target / "paredown" / name)


def _owners(origins: Sequence[Path]) -> list[str]:
    """Return the names of the packages that files are from."""
    names = {name: origin for origin in origins for name in _names(origin)}
    done = subprocess.run(["dpkg", "-S", *names], check=False, capture_output=True, text=True)
    owners = {}
    for line in done.stdout.splitlines():
        package, _, name = line.partition(": ")
        owners[names[name]] = package.partition(":")[0]
    for origin in origins:
        if origin not in owners:
            sys.exit(f"cannot make the bundle: {origin} is from no package with a licence")
    return sorted(set(owners.values()))


def _names(path: Path) -> set[str]:
    """What dpkg may know a file by: links lead to it, and /usr was merged after it was packed."""
    names = {str(path), str(path.resolve())}
    return names | {name.removeprefix("/usr") for name in names} | {f"/usr{name}" for name in names}


def _settle(tree: Path) -> None:
    """Give every file the mode and time that it shall have; readable by any user."""
    programs = {tree / "paredown-agent", tree / "bin" / "python3", tree / "lib" / "ld.so"}
    for path in sorted(tree.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() or path in programs else 0o644)
        os.utime(path, (_TIME, _TIME))
    tree.chmod(0o755)
    os.utime(tree, (_TIME, _TIME))


def _pack(tree: Path, archive: Path) -> None:
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, _TIME) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in (tree, *sorted(tree.rglob("*"))):
            entry = tar.gettarinfo(path, str(path.relative_to(tree.parent)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            with open(path if entry.isreg() else os.devnull, "rb") as content:
                tar.addfile(entry, content)


if __name__ == "__main__":
    main()
