"""The identity of a directory changes with what is in it, and with nothing else."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixture_types import Require
from paredown_schemas.identity import directory_identity, image_identity, scan_tree


def _identity(root: Path) -> str:
    return directory_identity(scan_tree(root))


def _plant(root: Path) -> None:
    (root / "d" / "e").mkdir(parents=True)
    (root / "d" / "file").write_text("1234")
    (root / "d" / "link").symlink_to("file")
    (root / "b").write_text("x")
    os.mkfifo(root / "fifo")
    for path in (*root.rglob("*"), root):
        os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    _plant(root := tmp_path / "tree")
    return root


def _relink(root: Path) -> None:
    (root / "d" / "link").unlink()
    (root / "d" / "link").symlink_to("FILE")
    os.utime(root / "d" / "link", ns=(10**18, 10**18), follow_symlinks=False)


def _keeping_times(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def changed(root: Path) -> None:
        change(root)
        for path in (*root.rglob("*"), root):
            os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)

    return changed


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda root: (root / "b").chmod(0o4755), id="mode"),
        pytest.param(lambda root: root.chmod(0o700), id="mode of the root"),
        pytest.param(lambda root: os.utime(root / "b", ns=(0, 10**18 + 1)), id="a nanosecond"),
        pytest.param(_relink, id="link text"),
        pytest.param(_keeping_times(lambda root: (root / "b").write_text("xx")), id="size"),
        pytest.param(_keeping_times(lambda root: (root / "b").rename(root / "c")), id="name"),
        pytest.param(_keeping_times(lambda root: (root / "b").rename(root / "d/b")), id="place"),
        pytest.param(_keeping_times(lambda root: (root / "b").unlink()), id="gone"),
        pytest.param(_keeping_times(lambda root: (root / "d/n").touch()), id="new"),
        pytest.param(_keeping_times(lambda root: (root / "d/n").mkdir()), id="new directory"),
    ],
)
def test_changes_with_metadata(tree: Path, change: Callable[[Path], object]) -> None:
    before = _identity(tree)
    change(tree)
    assert _identity(tree) != before


@pytest.mark.parametrize("ids", [(1, -1), (-1, 1)], ids=["owner", "group"])
def test_changes_with_the_owner(tree: Path, require: Require, ids: tuple[int, int]) -> None:
    require(os.geteuid() == 0, "chown takes root")
    before = _identity(tree)
    os.chown(tree / "b", *ids)
    assert _identity(tree) != before


def test_changes_with_the_device_number(tree: Path, require: Require) -> None:
    require(os.geteuid() == 0, "mknod takes root")
    identities = set()
    for minor in (3, 5):
        os.mknod(tree / "device", stat.S_IFCHR | 0o600, os.makedev(1, minor))
        os.utime(tree / "device", ns=(10**18, 10**18))
        os.utime(tree, ns=(10**18, 10**18))
        identities.add(_identity(tree))
        (tree / "device").unlink()
    assert len(identities) == 2


def test_is_the_same_for_a_copy_made_in_another_order(tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    names = ["fifo", "d/link", "b", "d/file", "d/e", "d"]
    (copy / "d" / "e").mkdir(parents=True)
    os.mkfifo(copy / "fifo")
    (copy / "d" / "link").symlink_to("file")
    for name in ("b", "d/file"):
        shutil.copy(tree / name, copy / name)
    for name in names:
        os.utime(copy / name, ns=(10**18, 10**18), follow_symlinks=False)
    shutil.copystat(tree, copy)
    assert _identity(copy) == _identity(tree)
    assert _identity(tree) == _identity(tree)


def test_readdir_order_does_not_matter(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _identity(tree)
    scandir = os.scandir

    class Reversed:
        def __init__(self, path: bytes) -> None:
            with scandir(path) as listing:
                self._entries = list(listing)[::-1]

        def __enter__(self) -> list[os.DirEntry[bytes]]:
            return self._entries

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Reversed)
    assert _identity(tree) == before


def test_scan_lists_as_find_does(tree: Path) -> None:
    found = sorted("/" + str(path.relative_to(tree)) for path in tree.rglob("*"))
    scanned = [path for path, _, _ in scan_tree(tree)]
    assert sorted(scanned) == ["/", *found]
    assert all(scanned.index(os.path.dirname(p)) < scanned.index(p) for p in scanned[1:])


@given(st.lists(st.text(max_size=5), max_size=4), st.text(max_size=5))
def test_layers_and_platform_name_an_image(layers: list[str], platform: str) -> None:
    identity = image_identity(layers, platform)
    assert image_identity([*layers, ""], platform) != identity
    assert image_identity(layers, platform + "x") != identity
    if layers != layers[::-1]:
        assert image_identity(layers[::-1], platform) != identity
