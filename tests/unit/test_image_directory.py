"""Directories as images, written back to the bit; GNU tar and cp are the witnesses."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixture_types import Require
from paredown_minimizer.image.directory import DirectoryImage
from paredown_minimizer.image.docker_archive import open_archive
from paredown_minimizer.image.model import read
from paredown_minimizer.image.slim import Provenance, SlimImage
from paredown_minimizer.image.source import open_image, refuse_source, split_spec, write_image
from paredown_schemas.errors import ParedownError, UsageError
from trees import make_odd_tree, make_socket, table

DESTINATIONS = ("dir:{}/out", "docker-archive:{}/out", "oci-archive:{}/out", "oci-dir:{}/out")
PROVENANCE = Provenance("image-sha256:0", "plan-sha256:0", "0")


@pytest.fixture
def odd_tree(require: Require, tmp_path: Path) -> Path:
    tree = tmp_path / "odd"
    tree.mkdir()
    require(os.geteuid() == 0, "owners, devices and trusted attributes take root")
    try:
        make_odd_tree(tree)
    except PermissionError as error:
        require(False, f"an odd tree cannot be made here: {error}")
    return tree


@pytest.fixture
def tiny_disk(require: Require, tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=False, capture_output=True
    )
    require(mount.returncode == 0, "nothing can be mounted")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_written_directory_equals_its_source_and_cp(odd_tree: Path, tmp_path: Path) -> None:
    image = DirectoryImage(odd_tree)
    write_image(image, f"dir:{tmp_path}/copy", PROVENANCE, force=False)
    subprocess.run(["cp", "-a", odd_tree, tmp_path / "cp"], check=True)
    expected = table(odd_tree)
    assert len(expected) > 30
    assert table(tmp_path / "copy") == expected
    assert table(tmp_path / "cp") == expected
    assert DirectoryImage(tmp_path / "copy").identity == image.identity


def test_holes_stay_holes(odd_tree: Path, tmp_path: Path) -> None:
    write_image(DirectoryImage(odd_tree), f"dir:{tmp_path}/copy", PROVENANCE, force=False)
    original = (odd_tree / "data" / "sparse").stat()
    assert (tmp_path / "copy" / "data" / "sparse").stat().st_blocks <= original.st_blocks


def test_through_an_archive_and_back(odd_tree: Path, tmp_path: Path) -> None:
    image = DirectoryImage(odd_tree)
    write_image(image, f"docker-archive:{tmp_path}/a.tar", PROVENANCE, force=False)
    with contextlib.closing(open_archive(f"{tmp_path}/a.tar")) as archive:
        write_image(archive, f"dir:{tmp_path}/copy", PROVENANCE, force=False)
    assert table(tmp_path / "copy") == table(odd_tree)


def test_what_tar_cannot_tell_differs(odd_tree: Path) -> None:
    """The witness sees each kind of difference: otherwise the tests above prove nothing."""
    before = table(odd_tree)
    os.utime(odd_tree / "data" / "empty", ns=(0, 1))
    os.chown(odd_tree / "deep" / "loop-b", 1, 1, follow_symlinks=False)
    os.setxattr(odd_tree / "bin" / "su", "user.new", b"")
    after = table(odd_tree)
    changed = {path for path in before if before[path] != after[path]}
    assert {"data/empty", "deep/loop-b", "bin/su"} <= changed


def test_first_name_of_a_hardlink_group_may_go(odd_tree: Path, tmp_path: Path) -> None:
    image = DirectoryImage(odd_tree)
    slim = SlimImage(image, image.tree.keys() - {"/bin/hard", "/data/large"}, {})
    write_image(slim, f"dir:{tmp_path}/copy", PROVENANCE, force=False)
    write_image(slim, f"docker-archive:{tmp_path}/a.tar", PROVENANCE, force=False)
    one, two = tmp_path / "copy" / "deep/er/hard", tmp_path / "copy" / "zz-hard"
    assert one.stat().st_ino == two.stat().st_ino
    assert one.read_bytes() == (odd_tree / "data" / "large").read_bytes()
    with contextlib.closing(open_archive(f"{tmp_path}/a.tar")) as archive:
        assert read(archive, "/zz-hard", 1 << 30) == one.read_bytes()
        assert ["/deep/er/hard", "/zz-hard"] in archive.tree.hardlink_groups.values()


def test_sockets_are_left_out(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    make_socket(tree / "s")
    (tree / "f").touch()
    image = DirectoryImage(tree)
    assert image.tree["/s"].type == "socket"
    write_image(image, f"dir:{tmp_path}/copy", PROVENANCE, force=False)
    assert os.listdir(tmp_path / "copy") == ["f"]


def test_content_is_never_read_through_a_link_or_fifo(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "d" / "f").write_text("inside")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "f").write_text("secret")
    image = DirectoryImage(tree)
    assert read(image, "/d/f", 100) == b"inside"
    image.close()
    image = DirectoryImage(tree)
    (tree / "d").rename(tree / "e")
    (tree / "d").symlink_to(secret)
    with pytest.raises(ParedownError, match="cannot read /d/f"):
        image.open("/d/f")
    (tree / "d").unlink()
    (tree / "d").mkdir()
    os.mkfifo(tree / "d" / "f")
    with pytest.raises(ParedownError, match="changed since"):
        image.open("/d/f")


@pytest.mark.parametrize("path", ["/d", "/none", "/link"])
def test_only_regular_files_have_content(tmp_path: Path, path: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(ParedownError, match="not a regular file"):
        DirectoryImage(tmp_path).open(path)


def test_missing_source_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ParedownError, match="cannot read directory .*none: No such file"):
        open_image(f"dir:{tmp_path}/none")


def test_full_disk_leaves_nothing(tiny_disk: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "large").write_bytes(bytes(1_000_000))
    # Compressed it would fit.
    (tree / "random").write_bytes(os.urandom(1_000_000))
    for destination in DESTINATIONS:
        with pytest.raises(ParedownError, match="No space left on device"):
            write_image(
                DirectoryImage(tree), destination.format(tiny_disk), PROVENANCE, force=False
            )
        assert list(tiny_disk.iterdir()) == []


def test_what_is_mounted_in_the_old_tree_is_safe(tiny_disk: Path, tmp_path: Path) -> None:
    (tiny_disk / "precious").touch()
    tree = tmp_path / "tree"
    tree.mkdir()
    for old in (tmp_path / "disk", tmp_path):
        with pytest.raises(ParedownError, match="is mounted there"):
            write_image(DirectoryImage(tree), f"dir:{old}", PROVENANCE, force=True)
    assert (tiny_disk / "precious").exists()


def test_without_root_owners_cannot_be_kept(require: Require, tmp_path: Path) -> None:
    require(os.geteuid() == 0, "another user's file takes root")
    tree, place = tmp_path / "tree", Path(tempfile.mkdtemp())
    tree.mkdir()
    (tree / "f").touch()
    os.chown(tree / "f", 1234, 1234)
    place.chmod(0o777)
    image = DirectoryImage(tree)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        try:
            write_image(image, f"dir:{place}/out", PROVENANCE, force=False)
        except ParedownError as error:
            told = "Operation not permitted" in str(error) and "only root" in error.hint
            os._exit(0 if told and not list(place.iterdir()) else 1)
        os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    shutil.rmtree(place)
    assert status == 0


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    tree, there = tmp_path / "tree", tmp_path / "there"
    tree.mkdir()
    there.mkdir()
    (tree / "new").touch()
    (there / "old").touch()
    archives = (f"docker-archive:{there}/old", f"oci-archive:{there}/old:a:b")
    for destination in (f"dir:{there}", f"oci-dir:{there}:a:b", *archives):
        with pytest.raises(UsageError, match="it exists"):
            write_image(DirectoryImage(tree), destination, PROVENANCE, force=False)
    assert os.listdir(there) == ["old"]
    write_image(DirectoryImage(tree), f"dir:{there}", PROVENANCE, force=True)
    assert os.listdir(there) == ["new"]
    assert sorted(os.listdir(tmp_path)) == ["there", "tree"]


def test_destination_may_not_be_the_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (tmp_path / "alias").symlink_to(source)
    for destination in (f"dir:{source}", f"dir:{tmp_path}/alias/"):
        with pytest.raises(UsageError, match="the source itself"):
            refuse_source(f"dir:{source}", destination, force=False)
        refuse_source(f"dir:{source}", destination, force=True)
    inside = (f"dir:{source}/in", f"docker-archive:{source}/a.tar", f"oci-dir:{source}/in:a:b")
    for destination in (*inside, f"oci-archive:{source}/a.tar:b", f"dir:{tmp_path}"):
        with pytest.raises(UsageError, match="in one another"):
            refuse_source(f"dir:{source}", destination, force=True)
    refuse_source(f"dir:{source}", f"dir:{source}2", force=False)
    with pytest.raises(UsageError, match="the source itself"):
        refuse_source("nginx:1", "docker:nginx:1", force=False)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("dir:/a:b", ("dir", "/a:b")),
        ("nginx", ("docker", "nginx")),
        ("nginx:1.25", ("docker", "nginx:1.25")),
        ("localhost:5000/a/b@sha256:0", ("docker", "localhost:5000/a/b@sha256:0")),
        ("docker-archive:a.tar:r:1", ("docker-archive", "a.tar:r:1")),
    ],
)
def test_spec(spec: str, expected: tuple[str, str]) -> None:
    assert split_spec(spec) == expected


@pytest.mark.parametrize("spec", ["", "dir:", "/srv/tree", "./tree", "docker:"])
def test_spec_that_names_nothing(spec: str) -> None:
    with pytest.raises(UsageError, match="cannot tell what image"):
        split_spec(spec)
