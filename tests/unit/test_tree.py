"""The image model's paths: walked as the kernel does with the tree as its root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixture_types import Require
from paredown_minimizer.image.directory import DirectoryImage
from paredown_minimizer.image.model import Resolved, Tree, is_below, join, parent

LINKS = {
    "lib": "usr/lib",
    "usr/lib/a.so": "a.so.1",
    "usr/lib/up": "../../../../usr/lib",
    "usr/lib/absolute": "/lib/a.so.1",
    "chain0": "chain1",
    "chain1": "/chain2/.",
    "chain2": "lib/",
    "loop": "loop2",
    "loop2": "loop",
    "dangling": "none",
    "through-a-file": "usr/lib/a.so.1/x",
}
PATHS = [
    "/lib/a.so",
    "/lib/up/up/a.so",
    "//lib/./absolute",
    "/lib/../../../usr/lib/a.so.1",
    "/chain0/a.so",
    "/chain0",
    "/loop",
    "/loop/x",
    "/dangling",
    "/through-a-file",
    "/usr/lib/a.so.1/x",
    "/usr/lib/a.so.1/..",
    "/none/../usr",
    "/",
    "/..",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "usr" / "lib").mkdir(parents=True)
    (tmp_path / "usr" / "lib" / "a.so.1").touch()
    for name, target in LINKS.items():
        (tmp_path / name).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize("path", PATHS)
def test_resolves_as_the_kernel_does(root: Path, path: str, require: Require) -> None:
    require(os.geteuid() == 0, "chroot takes root")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.chroot(root)
        os.chdir("/")
        try:
            os.stat(path)
            os.write(writer, os.path.realpath(path).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        expected = pipe.read() or None
    resolved = DirectoryImage(root).tree.resolve(path)
    assert (resolved.path if resolved else None) == expected


def test_links_on_the_way_are_named_in_order(root: Path) -> None:
    tree = DirectoryImage(root).tree
    assert tree.resolve("/chain0/a.so") == Resolved(
        "/usr/lib/a.so.1", ("/chain0", "/chain1", "/chain2", "/lib", "/usr/lib/a.so")
    )
    assert tree.resolve("/lib/a.so", follow_last=False) == Resolved("/usr/lib/a.so", ("/lib",))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/lib/a.so", "/usr/lib/a.so"),
        ("/lib/not/there", "/usr/lib/not/there"),
        ("/lib", "/lib"),
        ("/.", "/"),
        ("/lib/../x", "/usr/x"),
        ("relative/./x", "/relative/x"),
        ("/loop/x", "/loop/x"),
    ],
)
def test_canonical(root: Path, path: str, expected: str) -> None:
    assert DirectoryImage(root).tree.canonical(path) == expected


def test_directory_stands_right_before_what_it_holds(root: Path) -> None:
    (root / "usr.x").touch()
    (root / "usr-").touch()
    paths = list(DirectoryImage(root).tree)
    index = paths.index("/usr")
    assert paths[index + 1] == "/usr/lib"
    assert paths[0] == "/"


def test_components_and_no_prefixes() -> None:
    assert is_below("/tree/x", "/tree")
    assert is_below("/tree", "/tree")
    assert is_below("/x", "/")
    assert not is_below("/tree2", "/tree")
    assert (parent("/"), parent("/x"), parent("/x/y")) == ("/", "/", "/x")
    assert (join("/", "x"), join("/x", "y")) == ("/x", "/x/y")
    assert list(Tree({})) == []
