"""What package managers share: whose a path is, and which packages are left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from decisions import make_tree
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.image.model import Tree
from paredown_minimizer.packages.base import Inventory, Package
from paredown_minimizer.packages.ownership import locator, owned_paths, owners_of, packages_left


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    make_tree(
        tmp_path,
        {
            "/usr/lib/moved.so": "x",
            "/lib/stayed.so": "x",
            "/lib64": "-> usr/lib64",
            "/usr/lib64/linked.so": "x",
            "/a": "x",
            "/b": "x",
            "/d": None,
            "/to-d": "-> d",
        },
    )
    image = open_directory(str(tmp_path))
    image.close()
    return image.tree


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ("/lib/moved.so", "/usr/lib/moved.so"),
        ("/usr/lib/stayed.so", "/lib/stayed.so"),
        ("/lib64/linked.so", "/usr/lib64/linked.so"),
        ("/./usr/lib/../lib/moved.so", "/usr/lib/moved.so"),
        ("/lib/nowhere.so", "/lib/nowhere.so"),
        ("/usr/nowhere", "/usr/nowhere"),
        ("/library/moved.so", "/library/moved.so"),
        ("/.", "/"),
        ("/lib64", "/lib64"),
    ],
)
def test_a_listed_path_is_found_where_the_tree_has_it(tree: Tree, listed: str, found: str) -> None:
    assert locator(tree)(listed) == found


def inventory(tree: Tree, packages: Mapping[str, tuple[list[str], list[str]]]) -> Inventory:
    """Return an inventory of packages that list paths and depend on packages."""
    listed = {f"{name}:x": paths for name, (paths, _) in packages.items()}
    owned = owned_paths(tree, listed, frozenset())
    known = {f"{name}:x": Package(name, "x", "1", "test", name) for name in packages}
    depends = {
        f"{name}:x": tuple(frozenset(f"{one}:x" for one in any_of.split("|")) for any_of in wanted)
        for name, (_, wanted) in packages.items()
    }
    unlisted = frozenset({"unknown:x"} & known.keys())
    return Inventory(
        known, owned, owners_of(owned), {}, frozenset(), {}, unlisted=unlisted, depends=depends
    )


def test_left_is_what_a_file_is_left_of_and_what_stands_for_it(tree: Tree) -> None:
    known = inventory(
        tree,
        {
            "a": (["/a", "/d"], ["b"]),
            "b": (["/b", "/d", "/to-d"], []),
            "meta": (["/d"], ["a"]),
            "meta-of-meta": ([], ["meta"]),
            "meta-of-gone": ([], ["a", "b"]),
            "meta-of-none": ([], []),
            "meta-of-either": ([], ["b|a", "unknown"]),
            "directories": (["/", "/d", "/to-d"], ["a"]),
            "more-directories": (["/d", "/lib"], []),
            "round-1": ([], ["round-2"]),
            "round-2": ([], ["round-1"]),
            "unknown": ([], ["b"]),
        },
    )
    left = {key[:-2] for key in packages_left(tree, known, {"/", "/a", "/d", "/to-d"})}
    metapackages = {"meta", "meta-of-meta", "meta-of-none", "meta-of-either"}
    assert left == {"a", "directories", "unknown", *metapackages}


def test_a_chain_of_packages_without_files_is_followed_in_linear_time(tree: Tree) -> None:
    count = 50_000
    chain: dict[str, tuple[list[str], list[str]]] = {
        f"p{number}": ([], [f"p{number + 1}"]) for number in range(count)
    }
    known = inventory(tree, {**chain, f"p{count}": (["/a"], [])})
    assert len(packages_left(tree, known, {"/a"})) == count + 1
    assert packages_left(tree, known, {"/b"}) == set()
