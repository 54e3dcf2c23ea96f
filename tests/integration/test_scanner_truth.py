"""Whoever asks a slim image which packages it has is told what the plan says, and no more.

The readers share no code with Paredown: the package managers' own tools, an SBOM tool of others
(debsbom, which is on PyPI), and for apk, beside apk itself, the few lines that scanners read it by.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

import apk_tree
import rootfs
import rpm_tree
from fixture_types import Require
from paredown_minimizer.evidence import sbom, vex
from paredown_minimizer.evidence.subject import NamedImage
from paredown_schemas.cves import Finding
from paredown_schemas.plan import Plan
from paredown_schemas.trace import File
from results import example_cves
from slim_trees import slim_tree
from traces import use

# name, version, architecture
Listed = set[tuple[str, str, str]]
Reader = Callable[[Path], Listed]

_DEBSBOM = str(Path(sys.executable).with_name("debsbom"))

NGINX: list[str | File] = [
    use("/usr/sbin/nginx", how="exec"),
    "/etc/nginx/nginx.conf",
    "/etc/nginx/sites-available/default",
    "/usr/share/nginx/html/index.html",
]
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


def _debsbom(tree: Path) -> Listed:
    """Name the architecture, which it else asks dpkg's own package for."""
    native = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
    options = ["--root", str(tree), "--distro-arch", native, "-t", "cdx", "-o", "-"]
    command = [_DEBSBOM, "generate", *options]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    named = [each["purl"] for each in json.loads(shown).get("components", ()) if "purl" in each]
    return _binaries(named)


def _binaries(purls: Iterable[str]) -> Listed:
    found = set()
    for purl in map(PackageURL.from_string, purls):
        epoch = f"{purl.qualifiers['epoch']}:" if "epoch" in purl.qualifiers else ""
        if (architecture := purl.qualifiers.get("arch", "")) != "source":
            found.add((purl.name, f"{epoch}{purl.version}", architecture))
    return found


def _dpkg_files(tree: Path, package: str) -> set[str]:
    command = ["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "--listfiles", package]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return set(shown.splitlines())


def _apk_database(tree: Path) -> Listed:
    """Read it as scanners do: records of lines "P:name", parted by empty lines."""
    found = set()
    for record in (tree / "lib/apk/db/installed").read_text().split("\n\n"):
        said = dict(line.split(":", 1) for line in record.splitlines() if line[1:2] == ":")
        if "P" in said:
            found.add((said["P"], said["V"], said["A"]))
    return found


def _apk(tree: Path) -> Listed:
    """``apk info -v`` writes name-version: neither version nor release has another hyphen."""
    shown = apk_tree.apk(tree, "info", "-v").split()
    architectures = {name: arch for name, _, arch in _apk_database(tree)}
    split = [line.rsplit("-", 2) for line in shown]
    return {(name, f"{version}-{r}", architectures[name]) for name, version, r in split}


def _declared(plan: Plan, *actions: str) -> Listed:
    system = [each for each in plan.packages if each.location is None and each.action in actions]
    return {(package.name, package.version, package.architecture) for package in system}


@dataclasses.dataclass(frozen=True)
class System:
    """A root filesystem, what runs in it, where its database lies, and who reads that."""

    tree: Callable[[], Path]
    used: Sequence[str | File]
    database: str
    readers: Mapping[str, Reader]
    files: Callable[[Path, str], set[str]]  # of a package, as they are listed
    notices: frozenset[str] = frozenset()  # packages of which nothing else is left


@dataclasses.dataclass(frozen=True)
class Slimmed:
    """What became of one of them."""

    system: System
    original: Path
    slim: Path
    plan: Plan


SYSTEMS = {
    "dpkg": System(
        functools.partial(rootfs.cached, "nginx"),
        NGINX,
        "var/lib/dpkg",
        {"dpkg-query": _dpkg_query, "debsbom": _debsbom},
        _dpkg_files,
        frozenset({"gcc-12-base"}),
    ),
    "apk": System(
        apk_tree.server_tree,
        SERVER,
        "lib/apk/db",
        {"apk info": _apk, "as scanners do": _apk_database},
        apk_tree.files,
    ),
    # The other forms of its database: test_rpm_images.py.
    "rpm": System(
        functools.partial(rpm_tree.cached, "sqlite"),
        NGINX,
        rpm_tree.FORMS["sqlite"][0][1:],
        {"rpm -qa": functools.partial(rpm_tree.packages, "sqlite")},
        lambda tree, package: rpm_tree.owned("sqlite", tree)[package],
        frozenset({"gcc-12-base"}),
    ),
}
CASES = [("dpkg", "package"), *((name, "file") for name in SYSTEMS)]


@pytest.fixture(scope="module", params=CASES, ids=" ".join)
def slimmed(
    request: pytest.FixtureRequest, require: Require, tmp_path_factory: pytest.TempPathFactory
) -> Slimmed:
    name, granularity = request.param
    system = SYSTEMS[name]
    require(os.geteuid() == 0, "a root filesystem with its owners takes root")
    require(Path(_DEBSBOM).exists(), "debsbom is not installed")
    try:
        original = system.tree()
    except (OSError, subprocess.SubprocessError) as error:
        require(False, f"no root filesystem of {name} can be made: {error}")
        raise
    place = tmp_path_factory.mktemp("truth")
    plan = slim_tree(original, system.used, granularity, place)
    return Slimmed(system, original, place / "slim", plan)


def test_every_reader_lists_the_plan_s_packages(slimmed: Slimmed) -> None:
    before = _declared(slimmed.plan, "keep", "trim", "remove")
    after = _declared(slimmed.plan, "keep", "trim")
    assert 2 < len(after) < len(before) / 2
    for name, read in slimmed.system.readers.items():
        assert read(slimmed.original) == before, name
        assert read(slimmed.slim) == after, name


def test_readers_notice_a_database_that_is_not_true(slimmed: Slimmed, tmp_path: Path) -> None:
    after = _declared(slimmed.plan, "keep", "trim")
    place = slimmed.system.database
    for name, source in (("stale", slimmed.original), ("emptied", slimmed.slim)):
        copy = tmp_path / name
        shutil.copytree(source / place, copy / place, symlinks=True)
        if name == "emptied":
            for file in (copy / place).iterdir():
                if file.is_file():
                    file.write_bytes(b"")
        for reader, read in slimmed.system.readers.items():
            try:
                found = read(copy)
            except subprocess.CalledProcessError:
                continue
            assert found != after, (name, reader)
            assert (after < found) == (name == "stale"), (name, reader)


def test_sboms_list_what_readers_do(slimmed: Slimmed) -> None:
    read = list(slimmed.system.readers.values())[-1]
    sides: tuple[tuple[sbom.Side, Path], ...] = (
        ("before", slimmed.original),
        ("after", slimmed.slim),
    )
    for side, tree in sides:
        text = sbom.make(slimmed.plan, side, NamedImage(), None)
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
        components = json.loads(text)["components"]
        assert _binaries(each["purl"] for each in components if "purl" in each) == read(tree)


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
        paths = [slimmed.slim / path[1:] for path in slimmed.system.files(slimmed.slim, name)]
        files = [path for path in paths if path.is_file() and not path.is_symlink()]
        assert files
        for path in files:
            assert path.read_bytes()[:4] != b"\x7fELF"
            assert not path.stat().st_mode & 0o111
