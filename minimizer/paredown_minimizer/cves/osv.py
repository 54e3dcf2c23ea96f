"""A directory of OSV records, matched against a plan's packages.

Databases have hundreds of thousands of records, of which few name a package of the image: a record
is parsed only where its text has one of the ecosystems and one of the names.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from paredown_minimizer.cves import records, versions
from paredown_minimizer.cves.ecosystems import Ecosystem, ecosystems
from paredown_minimizer.cves.matching import called, plain_name
from paredown_minimizer.cves.reading import Node, parse, read_bytes, sha256
from paredown_minimizer.cves.scans import SYSTEM, Found, Subject, vulnerabilities
from paredown_minimizer.output import plural
from paredown_schemas.cves import Scan
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import PackageDecision, Plan

_LIMIT = 64 << 20
_NAME = re.compile(rb'"name"\s*:\s*"([^"]+)"')
_ECOSYSTEM = re.compile(rb'"ecosystem"\s*:\s*"([^"]+)"')
_MODIFIED = re.compile(rb'"modified"\s*:\s*"(\d{4}-\d\d-\d\dT[0-9:.]{8,18}Z)"')
_SUSE = ("SUSE:", "openSUSE:")
# A package, and the version of it that a record means.
Meant = tuple[PackageDecision, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Matched:
    """What the records say of a plan's packages."""

    scan: Scan
    found: tuple[tuple[Found, PackageDecision], ...]
    warnings: tuple[str, ...]


class _Directory:
    """The records of a directory, read one after the other and counted."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._digest = hashlib.sha256()
        self._newest = b""
        self._count = 0

    def __iter__(self) -> Iterator[tuple[bytes, str]]:
        """Yield the text of each, and what begins messages about it."""
        for path in _files(self._place):
            what = f"cannot read OSV record {escape_name(str(path))}"
            data = read_bytes(path, what, _LIMIT)
            name = os.fsencode(path).removeprefix(os.fsencode(self._place))
            self._digest.update(b"%s\0%s\n" % (name, sha256(data).encode()))
            self._newest = max([self._newest, *_MODIFIED.findall(data)])
            self._count += 1
            yield data, what

    def scan(self) -> Scan:
        """Return what there was, once all was read."""
        newest = f", the newest of {self._newest.decode()}" if self._newest else ""
        database = f"{plural(self._count, 'record')}{newest}"
        return Scan("before", "osv", self._digest.hexdigest(), database=database)


def match(plan: Plan, place: Path) -> Matched:
    """Return what the records in ``place``, a directory with others in it, say of the packages.

    Raises:
        ParedownError: there is none, or one cannot be read.
        DamagedInputError: one that names a package of the image is malformed.
    """
    known = ecosystems(plan)
    wanted = _Wanted(plan, known)
    directory = _Directory(place)
    found: list[tuple[Found, PackageDecision]] = []
    strange: set[str] = set()
    for data, what in directory:
        if wanted.may_be_in(data):
            found += _of_record(parse(data, what), wanted, strange)
    scan = directory.scan()
    missing = [each for each in known if each not in wanted.seen]
    return Matched(scan, tuple(found), tuple(_warnings(plan, known, missing, found, strange)))


def _files(place: Path) -> Iterator[Path]:
    """Yield the regular files that are called so, in the order of their names."""

    def refuse(error: OSError) -> None:
        what = escape_name(str(place))
        raise ParedownError(f"cannot read OSV records {what}: {error.strerror}") from error

    for directory, below, names in os.walk(place, onerror=refuse):
        below.sort()
        paths = (Path(directory, name) for name in sorted(names) if name.endswith(".json"))
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


class _Wanted:
    """A plan's packages, by how records name them."""

    def __init__(self, plan: Plan, known: Sequence[Ecosystem]) -> None:
        self._known = known
        self._by_name: dict[tuple[Ecosystem, str], list[Meant]] = {}
        self.seen: set[Ecosystem] = set()  # of which there was a record
        self._tags: dict[bytes, list[Ecosystem]] = {}
        self._answers: dict[tuple[str, str], list[Meant]] = {}
        for ecosystem in known:
            for package in plan.packages:
                if package.manager == ecosystem.manager:
                    for name, version in ecosystem.names(package):
                        plain = name if package.group else plain_name(name, package.manager)
                        named = (ecosystem, plain)
                        self._by_name.setdefault(named, []).append((package, version))

    def may_be_in(self, data: bytes) -> bool:
        """Say whether a record's text may name a package: where JSON escapes a name, it may."""
        inside = {each for tag in set(_ECOSYSTEM.findall(data)) for each in self._covering(tag)}
        self.seen |= inside
        return bool(inside) and any(
            "\\" in name or any(self._called(each, name) for each in inside)
            for name in {found.decode("utf-8", "replace") for found in _NAME.findall(data)}
        )

    def _covering(self, tag: bytes) -> list[Ecosystem]:
        if tag not in self._tags:
            of = tag.decode("utf-8", "replace")
            self._tags[tag] = [each for each in self._known if each.covers(of)]
        return self._tags[tag]

    def packages(self, of: str, name: str) -> list[Meant]:
        """Return the packages of a name in an ecosystem, both as records have them."""
        if (of, name) not in self._answers:
            covering = [each for each in self._known if each.covers(of)]
            self._answers[of, name] = [p for each in covering for p in self._called(each, name)]
        return self._answers[of, name]

    def _called(self, ecosystem: Ecosystem, name: str) -> list[Meant]:
        """Return those of the name, and Java archives that tell no group by their artifact's."""
        names = dict.fromkeys((name, plain_name(name, ecosystem.manager)))
        return [each for called in names for each in self._by_name.get((ecosystem, called), ())]


def _of_record(
    record: Node, wanted: _Wanted, strange: set[str]
) -> Iterator[tuple[Found, PackageDecision]]:
    if "withdrawn" in record:
        return
    for affected in record["affected"]:
        for package, version in _meant(affected, wanted):
            try:
                fixed = records.hit(affected, package.manager, version)
            except versions.UnknownVersionError as error:
                strange.add(f"{package.name}: {error}")
                continue
            if fixed is not None:
                level = records.how_severe(record, affected)
                subject = Subject(called(package), package.version, package.manager)
                for each in vulnerabilities(records.ids(record), level, fixed, subject):
                    yield each, package


def _meant(affected: Node, wanted: _Wanted) -> list[Meant]:
    package = affected["package"]
    of, name = package["ecosystem"].text, package["name"].text
    if not of.startswith(_SUSE):
        return wanted.packages(of, name)
    found = [
        each for binary in _binaries(affected) or [name] for each in wanted.packages(of, binary)
    ]
    return list({package.key: (package, version) for package, version in found}.values())


def _binaries(affected: Node) -> list[str]:
    """Return the binary packages of the source that SUSE's record names."""
    specific = affected["ecosystem_specific"].value
    listed = specific.get("binaries") if isinstance(specific, dict) else None
    packages = listed if isinstance(listed, list) else []
    return sorted({name for each in packages if isinstance(each, dict) for name in each})


def _warnings(
    plan: Plan,
    known: list[Ecosystem],
    missing: list[Ecosystem],
    found: list[tuple[Found, PackageDecision]],
    strange: set[str],
) -> Iterator[str]:
    managers = {each.manager for each in known}
    for manager in sorted({package.manager for package in plan.packages} - managers):
        where = f" of {plan.distribution.id}" if plan.distribution else ""
        if manager in SYSTEM:
            yield f"no OSV ecosystem is known for the packages of {manager}{where}"
    for each in missing:
        release = f" {each.release}" if each.release else ""
        yield f"no OSV record is of {each.name}{release}: its packages were not looked for"
    if strange:
        shown = ", ".join(sorted(strange)[:3])
        yield f"{plural(len(strange), 'version')} that cannot be compared: {shown}"
    if any(package.manager == "java" and package.group is None for _, package in found):
        yield "Java archives that tell no group are matched with OSV records by their names alone"
