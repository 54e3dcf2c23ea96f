"""Traces of an image that was rebuilt since, on the new image."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from decisions import Manager, make_tree
from paredown_minimizer.cli import main
from paredown_minimizer.decide import Decision, decide
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.policy import Policy
from paredown_minimizer.rebase import sentence
from paredown_minimizer.traces import read_runs
from paredown_schemas.errors import DamagedInputError
from paredown_schemas.plan import Moved, Plan, dump_plan, load_plan
from paredown_schemas.trace import File, Process
from traces import trace_records, use, write_trace

LIB = "/usr/lib/x86_64-linux-gnu"
OLD = {
    "app": ["/usr/bin/app", "/usr/share/app/page", "/usr/share/app/lost"],
    "libfoo1": [f"{LIB}/libfoo.so.1.2.3", f"{LIB}/libfoo.so.1"],
    "python3.11": ["/usr/lib/python3.11/json.py", "/usr/lib/python3.11/wave.py"],
    "odd": ["/usr/lib/odd/8859-1.so", "/usr/lib/odd/8859-15.so"],
    "gone": ["/usr/bin/gone"],
}
UNOWNED = "/usr/lib/python3.11/__pycache__/wave.cpython-311.pyc"
NEW = {
    "app": ["/usr/bin/app", "/usr/libexec/app/page", "/usr/share/app/fresh"],
    "libfoo1t64": [f"{LIB}/libfoo.so.1.2.4", f"{LIB}/libfoo.so.1"],
    "python3.12": ["/usr/lib/python3.12/json.py", "/usr/lib/python3.12/wave.py"],
    "odd": ["/usr/lib/odd/8859-15.so"],
    "extra": ["/usr/bin/extra"],
}
USED = [
    "/usr/bin/app",
    "/usr/share/app/page",
    "/usr/share/app/lost",
    f"{LIB}/libfoo.so.1.2.3",
    "/usr/lib/python3.11/json.py",
    UNOWNED,
    "/usr/lib/odd/8859-1.so",
    "/usr/bin/gone",
    "/run/made.pid",
]


class _Versioned(Manager):
    """Packages of a version."""

    def __init__(self, owned: Mapping[str, Iterable[str]], version: str) -> None:
        super().__init__(owned)
        self._version = version

    def read(self, image: Any) -> Inventory:
        inventory = super().read(image)
        packages = {
            key: dataclasses.replace(package, version=self._version)
            for key, package in inventory.packages.items()
        }
        return dataclasses.replace(inventory, packages=packages)


def _tree(root: Path, packages: Mapping[str, Iterable[str]], version: str) -> Path:
    files = {path: version for paths in packages.values() for path in paths}
    real = next(path for path in files if "libfoo.so.1." in path)
    make_tree(root, {**files, f"{LIB}/libfoo.so.1": f"-> {Path(real).name}"})
    return root


def _decide(
    root: Path, manager: Manager, trace: Path, old: Plan | None, granularity: Any
) -> Decision:
    image = open_directory(str(root))
    try:
        runs = read_runs([str(trace)], accept_partial=False)
        return decide(image, manager, runs, Policy(), granularity, old)
    finally:
        image.close()


def _trace(root: Path, *files: File) -> Path:
    image = open_directory(str(root))
    image.close()
    records = trace_records(
        [*USED, *files],
        identity=image.identity,
        records=[Process(1, 7, f"{LIB}/libfoo.so.1.2.3", 0, 0, 1)],
    )
    return write_trace(root.parent / "trace", records)


@pytest.fixture
def old(tmp_path: Path) -> tuple[Plan, Path]:
    root = _tree(tmp_path / "old", OLD, "1")
    make_tree(root, {UNOWNED: "1"})
    trace = _trace(root, use("/usr/share/app", how="directory", kind="directory"))
    plan = _decide(root, _Versioned(OLD, "1"), trace, None, "package").plan
    return load_plan(dump_plan(plan), "old"), trace


def _rebased(tmp_path: Path, old: tuple[Plan, Path], granularity: Any = "package") -> Decision:
    root = _tree(tmp_path / "new", NEW, "2")
    return _decide(root, _Versioned(NEW, "2"), old[1], old[0], granularity)


def test_what_moved_is_told_with_versions(tmp_path: Path, old: tuple[Plan, Path]) -> None:
    plan = _rebased(tmp_path, old).plan
    assert plan.moved == (
        Moved("/usr/bin/gone", None, "gone:all", "1", None),
        # 8859-15 was there before, and nobody used it: it is not what 8859-1 became.
        Moved("/usr/lib/odd/8859-1.so", None, "odd:all", "1", "2"),
        # Not compiled yet; nobody's file, but wave.py's package has what it came from.
        Moved(UNOWNED, "/usr/lib/python3.12/wave.py"),
        Moved(
            *("/usr/lib/python3.11/json.py", "/usr/lib/python3.12/json.py"),
            *("python3.11:all", "1", "2"),
        ),
        Moved(f"{LIB}/libfoo.so.1.2.3", f"{LIB}/libfoo.so.1.2.4", "libfoo1:all", "1", "2"),
        Moved("/usr/share/app/lost", None, "app:all", "1", "2"),
        Moved("/usr/share/app/page", "/usr/libexec/app/page", "app:all", "1", "2"),
    )
    assert plan.rebase is not None
    assert (plan.rebase.same, plan.rebase.moved, plan.rebase.vanished) == (1, 4, 3)
    assert plan.rebase.new_packages == ("extra:all",)
    assert (plan.rebase.plan, plan.rebase.image) == (old[0].id, old[0].image)
    assert [trace.image for trace in plan.traces] == [old[0].image]
    assert plan.sessions[0].exe == f"{LIB}/libfoo.so.1.2.4"
    assert "1 of 8 paths are the same, 4 moved, 3 vanished; 1 package" in sentence(plan.rebase)
    assert load_plan(dump_plan(plan), "new") == plan


def test_of_many_numbered_files_none_is_meant(tmp_path: Path, old: tuple[Plan, Path]) -> None:
    """Nor may a hostile image have each old path stand for thousands of new ones."""
    more = [f"/usr/lib/odd/8859-{number}.so" for number in range(20, 60)]
    packages = {**NEW, "odd": [*NEW["odd"], *more]}
    root = _tree(tmp_path / "new", packages, "2")
    plan = _decide(root, _Versioned(packages, "2"), old[1], old[0], "file").plan
    assert Moved("/usr/lib/odd/8859-1.so", None, "odd:all", "1", "2") in plan.moved
    assert {package.name: package.action for package in plan.packages}["odd"] == "keep"


def test_packages_stay_as_they_did(tmp_path: Path, old: tuple[Plan, Path]) -> None:
    plan = _rebased(tmp_path, old).plan
    assert {package.name: package.action for package in plan.packages} == {
        **dict.fromkeys(("app", "libfoo1t64", "python3.12", "odd"), "keep"),
        "extra": "remove",
    }


def test_at_file_what_was_lost_and_what_is_new_stays(
    tmp_path: Path, old: tuple[Plan, Path]
) -> None:
    kept = _rebased(tmp_path, old, "file").kept
    assert {"/usr/lib/python3.12/json.py", "/usr/lib/python3.12/wave.py"} <= kept
    assert "/usr/share/app/fresh" in kept  # new in a used package
    assert "/usr/lib/odd/8859-15.so" in kept  # all of what something vanished from
    assert "/usr/bin/extra" not in kept


def test_a_run_of_the_new_image_is_taken_as_it_is(tmp_path: Path, old: tuple[Plan, Path]) -> None:
    root = _tree(tmp_path / "new", NEW, "2")
    image = open_directory(str(root))
    image.close()
    records = trace_records(["/usr/bin/extra"], run="new", start=9, identity=image.identity)
    trace = write_trace(tmp_path / "second", records)
    runs = read_runs([str(old[1]), str(trace)], accept_partial=False)
    image = open_directory(str(root))
    plan = decide(image, _Versioned(NEW, "2"), runs, Policy(), "package", old[0]).plan
    image.close()
    assert {package.name for package in plan.packages if package.action == "keep"} >= {"extra"}
    assert sorted(trace.image or "" for trace in plan.traces) == ["", old[0].image]


def test_only_the_plan_of_the_recorded_image_helps(
    tmp_path: Path, old: tuple[Plan, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new"
    plan = _rebased(tmp_path, old).plan
    (tmp_path / "rebased.json").write_text(dump_plan(plan))
    command = ["plan", f"dir:{new}", "--trace", str(old[1])]
    assert main(command) == 4
    assert "--rebase the plan of then" in capsys.readouterr().err
    assert main([*command, "--rebase", str(tmp_path / "rebased.json")]) == 4
    with pytest.raises(DamagedInputError, match="not of the image that was recorded"):
        _decide(
            new,
            _Versioned(NEW, "2"),
            old[1],
            dataclasses.replace(plan, image=old[0].image),
            "package",
        )
    (tmp_path / "old.json").write_text(dump_plan(old[0]))
    rebase = [*command, "--rebase", str(tmp_path / "old.json"), "-o", str(tmp_path / "p.json")]
    assert main(rebase) == 0
    error = capsys.readouterr().err
    assert "warning: the profile was recorded on another image" in error
    assert "vanished: /usr/bin/gone" in error
