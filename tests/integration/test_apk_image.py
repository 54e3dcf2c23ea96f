"""A real Alpine Linux slimmed to what a server uses, and the real apk to judge its database."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import apk_tree
from fixture_types import Serve
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.packages.apk import Apk
from paredown_schemas.plan import read_plan
from paredown_schemas.trace import File
from slim_trees import slim_tree
from traces import use
from tree_witness import dangling, regular_bytes
from trees import table

# What strace sees the server open when it serves a request.
USED = [
    use("/usr/bin/hello-server", how="exec"),
    use("/lib/ld-musl-x86_64.so.1"),
    use("/usr/lib/libz.so.1.3.2"),
    use("/etc/hello.conf"),
    use("/usr/share/hello/index.html"),
    use("/etc/passwd"),
]
DATABASE = ("lib/apk/db/", "usr/lib/apk/db/", "etc/apk/world")


@pytest.fixture(scope="module", params=["lib", "usr/lib"])
def original(
    request: pytest.FixtureRequest, apk_rootfs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The server's tree, as Alpine has it, and with /usr merged as Wolfi has it."""
    if request.param == "lib":
        return apk_rootfs
    merged = tmp_path_factory.mktemp("merged") / "root"
    subprocess.run(["cp", "--archive", apk_rootfs, merged], check=True)
    for name in ("bin", "lib", "sbin"):
        subprocess.run(
            ["cp", "--archive", f"{merged}/{name}/.", f"{merged}/usr/{name}"], check=True
        )
        shutil.rmtree(merged / name)
        (merged / name).symlink_to(f"usr/{name}")
    return merged


@pytest.fixture(scope="module", params=["package", "trim", "file"])
def slim(
    request: pytest.FixtureRequest, original: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return slimmed(original, USED, request.param, tmp_path_factory)


def slimmed(
    original: Path, used: Sequence[File], granularity: str, factory: pytest.TempPathFactory
) -> Path:
    """Return what is left of a tree of which ``used`` is; the plan lies beside it."""
    place = factory.mktemp("apk")
    slim_tree(original, used, granularity, place)
    return place / "slim"


def test_nothing_changes_where_all_stays(original: Path) -> None:
    with contextlib.closing(open_directory(str(original))) as image:
        inventory = Apk().read(image)
        assert len(inventory.packages) == 28
        assert Apk().rewrite(image, inventory, image.tree.keys() - inventory.database) == {}


def test_apk_finds_its_database_true(original: Path, slim: Path) -> None:
    assert apk_tree.audit(slim) <= apk_tree.audit(original)
    packages = read_plan(slim.parent / "plan.json").packages
    kept = {package.name for package in packages if package.action != "remove"}
    assert apk_tree.installed(slim) == kept
    assert {"hello-server", "musl", "zlib"} <= kept
    assert not {"busybox", "curl", "hello-doc", "libcrypto3", "apk-tools"} & kept
    for package in kept:
        before = apk_tree.files(original, package)
        left = {path for path in before if os.path.lexists(f"{slim}{path}")}
        assert apk_tree.files(slim, package) == left != set()


def test_apk_is_a_witness_that_can_speak(slim: Path, tmp_path: Path) -> None:
    before = apk_tree.audit(slim)
    damaged = tmp_path / "damaged"
    subprocess.run(["cp", "--archive", slim, damaged], check=True)
    (damaged / "usr/bin/hello-server").unlink()
    (damaged / "usr/share/hello/index.html").chmod(0o600)
    (damaged / "usr/lib/libz.so.1.3.2").write_text("another")
    (damaged / "usr/bin/strange").touch()
    assert apk_tree.audit(damaged) - before == {
        "A usr/bin/strange",
        "M usr/share/hello/index.html",
        "U usr/lib/libz.so.1.3.2",
        "X usr/bin/hello-server",
    }


def test_world_triggers_and_scripts_name_what_is_left(original: Path, slim: Path) -> None:
    place = slim / "lib/apk/db"
    names = subprocess.run(
        ["tar", "-tzf", place / "scripts.tar.gz"], check=True, capture_output=True, text=True
    ).stdout.split()
    assert {name.rsplit("-1.0", 1)[0] for name in names} == {"hello-server"}
    assert len(names) == 2
    (line,) = (place / "triggers").read_text().splitlines()
    assert line.endswith(" /usr/share/hello")
    world = (slim / "etc/apk/world").read_text().splitlines()
    before = (original / "etc/apk/world").read_text().splitlines()
    # The one is named with its checksum: apk had it from a file.
    assert world == [x for x in before if x.startswith(("alpine-release", "hello-server><Q1"))]
    assert len(world) == 2


def test_all_else_is_the_same(original: Path, slim: Path) -> None:
    before, after = table(original), table(slim)
    differing = {path for path in after if after[path] != before.get(path)}
    assert all(path.startswith(DATABASE) for path in differing), differing
    assert dangling(original, slim) == []
    assert not [path for path in after if path.startswith("bin/") and path != "bin/sh"]
    assert regular_bytes(slim) < regular_bytes(original) / 8
    # Alpine's package of directories went, and what every program takes for granted did not.
    assert {"tmp", "var/tmp", "proc", "root", "var/log", "dev/shm"} < set(after)
    assert "etc/os-release" in after
    assert "etc/alpine-release" in after


def test_server_answers_as_before(slim: Path, serve: Serve) -> None:
    with serve(["chroot", str(slim), apk_tree.COMMAND], 8080) as server:
        answer = server.get()
    assert answer.status == 200
    assert b"Hello from an apk-managed image" in answer.body


def test_applets_of_busybox_stay_with_it_and_each_works(
    apk_rootfs: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A health check's wget, say: recorders see busybox alone."""
    slim = slimmed(apk_rootfs, [use("/bin/busybox", how="exec")], "package", tmp_path_factory)
    before, after = links(apk_rootfs), links(slim)
    assert after.keys() == {path for path, target in before.items() if target == "/bin/busybox"}
    assert len(after) > 200
    subprocess.run(["chroot", slim, "wget", "--help"], check=True, capture_output=True)
    # The package that listed /usr/bin went; the links in it are in no package's list anyway.
    assert apk_tree.audit(slim) - apk_tree.audit(apk_rootfs) == {"d usr/bin/"}


def links(tree: Path) -> dict[str, str]:
    """Return the links among the programs, with their targets."""
    places = [place for name in ("bin", "sbin") for place in (tree / name, tree / "usr" / name)]
    paths = [path for place in places if place.is_dir() for path in place.iterdir()]
    return {str(path)[len(str(tree)) :]: os.readlink(path) for path in paths if path.is_symlink()}
