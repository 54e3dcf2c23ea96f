"""Where the dynamic loader finds a library: the search rules of glibc and of musl, on an image.

Followed: ld.so(8) and glibc's elf/dl-load.c; musl's ldso/dynlink.c. The image's own ldd is never
run. Where the outcome hangs on what only the running program knows (its CPU, its environment, which
program opened a plugin), every file that could be chosen is a candidate.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterable, Iterator
from typing import Literal

from paredown_minimizer.contents import Contents
from paredown_minimizer.elf import Elf
from paredown_minimizer.image.model import join, parent
from paredown_minimizer.ldcache import configured_directories, read_cache

Libc = Literal["glibc", "musl"]

_MUSL_DEFAULT = ("/lib", "/usr/local/lib", "/usr/lib")
# e_machine (elf.h) of Linux's usual machines: musl's name, Debian's triplet.
_MACHINES: dict[tuple[int, int], tuple[str, str]] = {
    (2, 62): ("x86_64", "x86_64-linux-gnu"),
    (1, 62): ("x32", "x86_64-linux-gnux32"),
    (1, 3): ("i386", "i386-linux-gnu"),
    (2, 183): ("aarch64", "aarch64-linux-gnu"),
    (1, 40): ("armhf", "arm-linux-gnueabihf"),
    (2, 243): ("riscv64", "riscv64-linux-gnu"),
    (2, 21): ("powerpc64le", "powerpc64le-linux-gnu"),
    (2, 22): ("s390x", "s390x-linux-gnu"),
}
# Subdirectories that glibc before 2.37 searched by CPU (elf/dl-hwcaps.c); newer ones have
# glibc-hwcaps/ alone.
_LEGACY_HWCAPS = ("tls", "haswell", "haswell/avx512_1", "xeon_phi", "x86_64", "i686", "tls/x86_64")


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What an object inherits from those that load it."""

    libc: Libc
    rpath: tuple[str, ...] = ()  # expanded, nearest loader first; musl: RUNPATH too


class Loader:
    """Finds libraries in one image."""

    def __init__(self, contents: Contents, library_path: str) -> None:
        """Read the loader's configuration; ``library_path`` is the image's LD_LIBRARY_PATH."""
        self._contents = contents
        self._tree = contents.image.tree
        self._library_path = [d for d in library_path.replace(";", ":").split(":") if d]
        self._cache = read_cache(contents)
        self._configured = configured_directories(contents)
        self._default: dict[tuple[int, int], list[str]] = {}

    def context(self, elf: Elf) -> Context:
        """Return the context of an object that nothing is known to load.

        A program names its loader; a plugin shows musl by needing musl's one library.
        """
        interpreter = posixpath.basename(elf.interpreter or "")
        musl = interpreter.startswith("ld-musl-") or (
            not interpreter
            and any(name == "libc.so" or name.startswith("libc.musl-") for name in elf.needed)
        )
        return Context("musl" if musl else "glibc")

    def inherited(self, path: str, elf: Elf, context: Context) -> Context:
        """Return the context of what ``path`` loads."""
        if context.libc == "musl":
            own = elf.rpath + elf.runpath
        else:
            own = () if elf.runpath else elf.rpath
        rpath = dict.fromkeys([*self._expand(path, elf, own), *context.rpath])
        return dataclasses.replace(context, rpath=tuple(rpath))

    def find(self, path: str, elf: Elf, soname: str, context: Context) -> list[str]:
        """Return every path that ``soname``, needed by ``path``, could be loaded from.

        Paths are as the loader names them: links among them are still to be followed.
        """
        if "/" in soname:
            return self._matching(elf, self._expand(path, elf, [soname]))
        found: dict[str, None] = {}
        for places, certain in self._stages(path, elf, soname, context):
            matching = self._matching(elf, places)
            found.update(dict.fromkeys(matching))
            if matching and certain:
                break
        return list(found)

    def find_anywhere(self, elf: Elf, soname: str) -> list[str]:
        """Return where a library opened by name alone, by no known object, could come from."""
        context = self.context(elf)
        return self.find("/", dataclasses.replace(elf, rpath=(), runpath=()), soname, context)

    def _stages(
        self, path: str, elf: Elf, soname: str, context: Context
    ) -> Iterator[tuple[list[str], bool]]:
        """Yield candidates in the loader's order, and whether a hit among them ends its search.

        LD_LIBRARY_PATH may differ when the container is started, so it ends nothing: what would
        be found without it is a candidate too.
        """
        inherited = self.inherited(path, elf, context).rpath
        from_environment = [(hits, False) for hits, _ in self._in(self._library_path, soname)]
        if context.libc == "musl":
            yield from from_environment
            yield from self._in(inherited, soname)
            yield from self._in(self._musl_directories(elf), soname)
            return
        if not elf.runpath:
            yield from self._in(inherited, soname)
        yield from from_environment
        yield from self._in(self._expand(path, elf, elf.runpath), soname)
        default = self._default_directories(elf)
        cached = self._cache.get(soname, [])
        if elf.nodeflib:
            yield [hit for hit in cached if parent(hit) not in default], True
            return
        yield cached, True
        yield from self._in([*self._configured, *default], soname)

    def _in(self, directories: Iterable[str], soname: str) -> Iterator[tuple[list[str], bool]]:
        """Yield each directory's hits, all of its variants by CPU among them."""
        for directory in directories:
            resolved = self._tree.resolve(directory)
            if resolved is None or self._tree[resolved.path].type != "directory":
                continue
            places = (join(place, soname) for place in self._variants(resolved.path))
            yield [place for place in places if place in self._tree], True

    def _variants(self, directory: str) -> Iterator[str]:
        yield directory
        yield from self._tree.children.get(join(directory, "glibc-hwcaps"), [])
        yield from (join(directory, name) for name in _LEGACY_HWCAPS)

    def _matching(self, elf: Elf, places: Iterable[str]) -> list[str]:
        """Keep the files that this object could load: of its class and machine."""
        matching = []
        for place in places:
            resolved = self._tree.resolve(place)
            library = resolved and self._contents.elf(resolved.path)
            if library and library.machine == elf.machine:
                matching.append(place)
        return matching

    def _default_directories(self, elf: Elf) -> list[str]:
        if elf.machine not in self._default:
            _, triplet = _MACHINES.get(elf.machine, ("", ""))
            names = [f"/lib/{triplet}", f"/usr/lib/{triplet}"] if triplet else []
            names += ["/lib64", "/usr/lib64"] if elf.machine[0] == 2 else []
            self._default[elf.machine] = [*names, "/lib", "/usr/lib"]
        return self._default[elf.machine]

    def _musl_directories(self, elf: Elf) -> list[str]:
        machine, _ = _MACHINES.get(elf.machine, ("", ""))
        text = self._contents.text(f"/etc/ld-musl-{machine}.path")
        return text.replace("\n", ":").split(":") if text else list(_MUSL_DEFAULT)

    def _expand(self, path: str, elf: Elf, names: Iterable[str]) -> list[str]:
        """Replace $ORIGIN, $LIB and $PLATFORM, by each value they can have."""
        machine, triplet = _MACHINES.get(elf.machine, ("", ""))
        values = {
            "ORIGIN": [parent(path)],
            "LIB": [f"lib/{triplet}", "lib64", "lib"],
            "PLATFORM": [machine, "haswell", "xeon_phi"],
        }
        expanded = list(names)
        for token, replacements in values.items():
            for form in (f"${{{token}}}", f"${token}"):
                expanded = [
                    name.replace(form, value)
                    for name in expanded
                    for value in (replacements if form in name else [""])
                ]
        return expanded
