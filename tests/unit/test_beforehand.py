"""What a slimmer base or a multi-stage build would have left out of a tree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decisions import decided, make_tree
from paredown_minimizer.packages.base import Package
from paredown_schemas.plan import Beforehand, Way

FILES = {
    "/usr/bin/app": "#!/usr/bin/app",
    "/usr/share/doc/app/README": "0123456789",
    "/usr/share/doc/app/copyright": "mine",
    "/usr/share/locale/de/LC_MESSAGES/app.mo": "1234",
    "/usr/share/locale/locale.alias": "12",
    "/usr/bin/x86_64-linux-gnu-gcc-12": "#!gcc",
    "/usr/share/man/man1/gcc.1.gz": "12345678",
    "/usr/lib/libisl.so.23": "123456",
    "/usr/include/app.h": "123",
    "/usr/bin/tar": "#!tar",
}
PACKAGES = {
    "app": [path for path in FILES if "app" in path and "include" not in path],
    "locales": ["/usr/share/locale/locale.alias"],
    "gcc-12": ["/usr/bin/x86_64-linux-gnu-gcc-12", "/usr/share/man/man1/gcc.1.gz"],
    "libisl23": ["/usr/lib/libisl.so.23"],
    "libapp-dev": ["/usr/include/app.h"],
    "tar": ["/usr/bin/tar"],
}
DEPENDS = {"gcc-12:all": ("libisl23", "tar"), "libapp-dev:all": ("app",)}


def _found(
    root: Path, manager: str = "dpkg", traced: str = "/usr/bin/app", **more: Any
) -> Mapping[Way, Beforehand]:
    make_tree(root, FILES)
    inventory = {
        "packages": {f"{n}:all": Package(n, "all", "1", manager, n) for n in PACKAGES},
        "depends": {
            key: tuple(frozenset({f"{name}:all"}) for name in names)
            for key, names in DEPENDS.items()
        },
        **more,
    }
    decision = decided(root, [traced], PACKAGES, inventory=inventory)
    return {each.way: each for each in decision.plan.beforehand}


def test_a_slim_base_leaves_out_what_debians_does(tmp_path: Path) -> None:
    """README, messages and the manual page, but no copyright; of the used package they stay."""
    slim = _found(tmp_path)["slim-base"]
    assert slim == Beforehand("slim-base", 0, 3, 10 + 4 + 8, 1, 8)


def test_a_multi_stage_build_leaves_behind_what_builds(tmp_path: Path) -> None:
    """By name, by program, and the library that only those need; tar may have been wanted."""
    found = _found(tmp_path)
    assert found["multi-stage"] == Beforehand("multi-stage", 3, 4, 5 + 8 + 6 + 3, 4, 22)
    assert found["both"] == Beforehand("both", 3, 6, 22 + 10 + 4, 4, 22)


def test_what_is_used_is_not_left_behind(tmp_path: Path) -> None:
    found = _found(tmp_path, traced="/usr/bin/x86_64-linux-gnu-gcc-12")
    assert found["multi-stage"].packages == 1  # libapp-dev


def test_what_somebody_else_needs_came_not_for_the_build(tmp_path: Path) -> None:
    depends = {**DEPENDS, "tar:all": ("libisl23",)}
    relations = {key: tuple(frozenset({f"{n}:all"}) for n in v) for key, v in depends.items()}
    assert _found(tmp_path, depends=relations)["multi-stage"].packages == 2


def test_where_no_slim_base_is_known_none_is_told_of(tmp_path: Path) -> None:
    assert _found(tmp_path, manager="apk").keys() == {"multi-stage"}
