"""Traces of an image that was rebuilt since, mapped onto the new one by path and package name.

What the image had when it was recorded stands in the plan of then. A path that is there still is
itself. One that is gone is looked for among what the package of its name, in the new image, has and
the old image did not: where only versions in its name changed (``libfoo.so.1.2.3``,
``/usr/lib/python3.11``), else under its file name. What is not found keeps all that the package
has. And a used package's new files, which no run could use, stay with it.

That is a guess about what the new versions use. Nobody ran them: the plan says so.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from paredown_minimizer.distributions import source_of_bytecode
from paredown_minimizer.image.model import Image
from paredown_minimizer.output import plural
from paredown_minimizer.packages.base import Inventory, Package
from paredown_schemas.errors import DamagedInputError
from paredown_schemas.plan import (
    Evidence,
    Moved,
    PackageDecision,
    Plan,
    Rebase,
)
from paredown_schemas.trace import File, Process, Record, Run

_VERSION = re.compile(r"\d+(?:\.\d+)*")
# Debian renamed libraries whose time_t grew: libssl3 is libssl3t64 since trixie.
_WIDER_TIME = re.compile(r"t64\Z")
# Of files that are numbered through, which one was meant cannot be told.
_MOST = 8
VANISHED = "rebase/vanished"
NEW_FILE = "rebase/new-file"

_Family = tuple[str, str]  # manager, and the name but for versions


@dataclasses.dataclass(frozen=True)
class Rebased:
    """The runs as if they had been recorded on the new image, and what that took."""

    runs: Sequence[Run]
    rebase: Rebase | None = None
    moved: tuple[Moved, ...] = ()
    lost: tuple[str, ...] = ()  # packages of which something used was not found again
    grown: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)  # new files

    def holds(self, image: Image, inventory: Inventory, file: set[str]) -> Iterator[Evidence]:
        """Yield what stays beside what was mapped; ``file``: packages of granularity file."""
        for package in self.lost:
            paths = [p for p in sorted(inventory.owned[package]) if _is_file(image, p)]
            for path in paths if package in file else paths[:1]:
                yield Evidence(path, "rule", None, VANISHED)
        for package in file & self.grown.keys():
            for path in self.grown[package]:
                yield Evidence(path, "rule", None, NEW_FILE)


def is_of(run: Run, plan: Plan) -> bool:
    """Say whether a run was recorded on the image that ``plan`` is of."""
    identity = run.image.identity if run.image else None
    if identity is None:  # recorded inside a container: the plan knows its traces
        return any(trace.run == run.header.run for trace in plan.traces)
    return identity == plan.image


def rebase(runs: Sequence[Run], old: Plan | None, image: Image, inventory: Inventory) -> Rebased:
    """Map those of ``runs`` that are of ``old``'s image onto ``image``.

    Raises:
        DamagedInputError: ``old`` is itself a rebased plan, or of another platform.
    """
    if old is None or old.image == image.identity or not any(is_of(run, old) for run in runs):
        return Rebased(runs)
    if old.rebase is not None or old.platform != image.platform:
        raise DamagedInputError(
            "cannot rebase: the old plan is not of the image that was recorded",
            hint="give the plan that was made of that image",
        )
    mapping = _Mapping(old, image, inventory)
    mapped = [mapping.run(run) if is_of(run, old) else run for run in runs]
    moved = tuple(sorted(mapping.moved(), key=lambda moved: (moved.path, moved.to or "")))
    vanished = {each.path for each in moved if each.to is None}
    told = Rebase(
        image=old.image,
        plan=old.id,
        same=len(mapping.same),
        moved=len({each.path for each in moved} - vanished),
        vanished=len(vanished),
        new_packages=tuple(sorted(mapping.new_packages())),
    )
    lost = {package for path in vanished for package in mapping.packages_now(path)}
    return Rebased(mapped, told, moved, tuple(sorted(lost)), mapping.grown())


def sentence(rebased: Rebase) -> str:
    """Return the risk that a rebased plan is, in words for a reviewer."""
    total = rebased.same + rebased.moved + rebased.vanished
    counted = f"{rebased.same:,} of {plural(total, 'path')} are the same"
    counted += f", {rebased.moved:,} moved, {rebased.vanished:,} vanished"
    new = plural(len(rebased.new_packages), "package")
    told = f"; {new} that no run could use came in" if rebased.new_packages else ""
    return f"the profile was recorded on another image, {rebased.image}: {counted}{told}"


class _Mapping:
    """Finds the old image's paths in the new one."""

    def __init__(self, old: Plan, image: Image, inventory: Inventory) -> None:
        self._tree = image.tree
        self._image = image
        self._inventory = inventory
        listed = (record for part in (old.kept, old.removed) for record in part)
        self._old = {path: record.package for record in listed for path in record.paths()}
        self._old |= {record.path: record.package for record in old.evidence}
        self._old_packages = {package.key: package for package in old.packages}
        self.same: set[str] = set()
        self._found: dict[str, tuple[str, ...]] = {}  # where what is gone went
        self._used: set[str] = set()  # old packages

    def run(self, run: Run) -> Run:
        records = [new for record in run.records for new in self._record(record)]
        return dataclasses.replace(run, records=tuple(records))

    def _record(self, record: Record) -> Iterable[Record]:
        if isinstance(record, File) and not record.truncated:
            exe = self._program(record.exe)
            for path in self._paths(record):
                yield dataclasses.replace(record, path=path, exe=exe)
        elif isinstance(record, Process):
            yield dataclasses.replace(record, exe=self._program(record.exe))
        else:
            yield record

    def _program(self, exe: str | None) -> str | None:
        return next(iter(self._of(exe)), exe) if exe in self._old else exe

    def _paths(self, file: File) -> tuple[str, ...]:
        path = file.path
        if file.kind == "directory" and path in self._old and path not in self._tree:
            return ()  # directories hold nothing
        if path not in self._tree and path not in self._old:
            return (path,)  # made by the run
        if file.kind != "directory" and file.how != "directory":
            self._used.update(filter(None, [self._old.get(path)]))
            if path in self._tree:
                self.same.add(path)
        return self._of(path)

    def _of(self, path: str) -> tuple[str, ...]:
        if path in self._tree:
            return (path,)
        if path not in self._found:
            self._found[path] = tuple(self._search(path))
        return self._found[path]

    def _search(self, path: str) -> Sequence[str]:
        canonical = self._tree.canonical(path)  # /lib became a link to /usr/lib
        if canonical in self._tree:
            return [canonical]
        source = source_of_bytecode(path)
        if source is not None and source in self._old:
            # It was compiled from that, or will be.
            return [source] if source in self._tree else self._search(source)
        package = self._old_packages.get(self._old[path] or "")
        if package is None:
            return []
        family, stem = _family(package), _stem(path)
        if 0 < len(places := self._new_by_stem.get((family, stem), [])) <= _MOST:
            return places
        elsewhere = self._new_by_stem.get((family, stem.rpartition("/")[2]), [])
        return elsewhere if len(elsewhere) == 1 else []

    @functools.cached_property
    def _new_by_stem(self) -> Mapping[tuple[_Family, str], list[str]]:
        """What the old image did not have, by package and by path or file name but for versions."""
        found: dict[tuple[_Family, str], list[str]] = collections.defaultdict(list)
        for family, packages in self._families.items():
            for package in packages:
                for path in self._new_files(package):
                    stem = _stem(path)
                    found[family, stem].append(path)
                    found[family, stem.rpartition("/")[2]].append(path)
        return found

    @functools.cached_property
    def _families(self) -> Mapping[_Family, list[str]]:
        families: dict[_Family, list[str]] = collections.defaultdict(list)
        for key, package in sorted(self._inventory.packages.items()):
            families[_family(package)].append(key)
        return families

    def _new_files(self, package: str) -> list[str]:
        owned = sorted(self._inventory.owned[package])
        return [path for path in owned if path not in self._old and _is_file(self._image, path)]

    def packages_now(self, path: str) -> Sequence[str]:
        """Return the new image's packages of the name of what had an old path."""
        package = self._old_packages.get(self._old.get(path) or "")
        if package is None:
            return []
        family = self._families.get(_family(package), [])
        same = [key for key in family if self._inventory.packages[key].name == package.name]
        return same or family

    def moved(self) -> Iterator[Moved]:
        """Yield where each used path went that is not there any more."""
        for path, places in self._found.items():
            package = self._old_packages.get(self._old[path] or "")
            now = [self._inventory.packages[key] for key in self.packages_now(path)]
            versions = ", ".join(dict.fromkeys(each.version for each in now))
            key, before = (package.key, package.version) if package else (None, None)
            for place in places or (None,):
                yield Moved(path, place, key, before, versions or None)

    def new_packages(self) -> Iterator[str]:
        """Yield the packages that the old image did not have, under no earlier version's name."""
        names = {package.name for package in self._inventory.packages.values()}
        known = {package.name for package in self._old_packages.values()}
        renamed = {_family(p) for p in self._old_packages.values() if p.name not in names}
        for key, package in self._inventory.packages.items():
            if package.name not in known and _family(package) not in renamed:
                yield key

    def grown(self) -> dict[str, list[str]]:
        """Return the files that used packages of the old image have gained."""
        families = {_family(self._old_packages[k]) for k in self._used if k in self._old_packages}
        packages = [package for family in families for package in self._families.get(family, ())]
        return {package: files for package in packages if (files := self._new_files(package))}


def _family(package: PackageDecision | Package) -> _Family:
    return package.manager, _stem(_WIDER_TIME.sub("", package.name))


@functools.cache
def _stem(name: str) -> str:
    return _VERSION.sub("#", name)


def _is_file(image: Image, path: str) -> bool:
    return not image.tree.leads_to_directory(path)
