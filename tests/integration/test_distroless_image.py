"""A distroless image of real Debian packages: slimmed, it is distroless still, and true."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import distroless_tree
import strace_witness
from paredown_schemas.plan import read_plan
from slim_trees import slim_tree
from traces import use
from tree_witness import dangling, regular_bytes
from trees import table

PYTHON = "/usr/bin/python3.11"
PROGRAM = "import json, zlib; print(json.dumps(zlib.crc32(b'x')))"
DATABASE = f"{distroless_tree.STATUS_D}/"


@pytest.fixture(scope="module")
def original(flask_rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("distroless") / "root"
    distroless_tree.make_distroless(flask_rootfs, tree)
    return tree


@pytest.fixture(scope="module", params=["package", "file"])
def slim(
    request: pytest.FixtureRequest, original: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What is left of it after what strace saw; the plan lies beside it."""
    place = tmp_path_factory.mktemp("slim")
    uses = strace_witness.run(command(original), place / "strace", original)
    used = [use(path, how="exec") for path in sorted(uses.executed)]
    used += [use(path) for path in sorted(uses.opened - uses.executed)]
    slim_tree(original, used, request.param, place)
    return place / "slim"


def command(tree: Path) -> list[str]:
    return ["chroot", str(tree), PYTHON, "-c", PROGRAM]


def test_it_runs_as_before(original: Path, slim: Path) -> None:
    answers = [subprocess.check_output(command(tree)) for tree in (original, slim)]
    assert answers[0] == answers[1] != b""


def test_status_d_names_exactly_what_is_left(original: Path, slim: Path) -> None:
    decided = read_plan(slim.parent / "plan.json").packages
    kept = {package.name for package in decided if package.action != "remove"}
    before, after = distroless_tree.packages(original), distroless_tree.packages(slim)
    assert after == {name: called for name, called in before.items() if name in kept}
    assert {"libc6", "python3.11-minimal", "base-files"} <= kept
    assert "openssl" in before.keys() - kept
    assert distroless_tree.verify(slim) == set()
    listed = {path.name.removesuffix(".md5sums") for path in (slim / DATABASE).iterdir()}
    assert listed == set(after.values())


def test_md5sums_are_a_witness_that_can_speak(slim: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(slim, damaged, symlinks=True)
    with (damaged / PYTHON[1:]).open("ab") as file:
        file.write(b"x")
    assert distroless_tree.verify(damaged) == {f"python3.11-minimal {PYTHON}"}


def test_all_else_is_the_same_and_distroless(original: Path, slim: Path) -> None:
    before, after = table(original), table(slim)
    differing = {path for path in after if after[path] != before.get(path)}
    assert all(path.startswith(DATABASE) for path in differing), differing
    assert dangling(original, slim) == []
    assert regular_bytes(slim) < regular_bytes(original)
    assert {"etc/os-release", "etc/debian_version", "tmp", "etc/passwd"} <= set(after)
    assert [path.name for path in (slim / "var/lib/dpkg").iterdir()] == ["status.d"]
