"""What stays beside the evidence: directories, and links to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from decisions import decided, kept_files, make_tree
from paredown_schemas.plan import Evidence
from traces import use

BASE = {"/state/lock", "/state/db", "/var/state", "/var/guard", "/usr/lib/base"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    make_tree(
        tree,
        {
            "/app/run": "x",
            "/state/lock": None,
            "/state/db": None,
            "/var/state": "-> ../state",
            "/var/guard": "-> /state/lock",
            "/var/lib/web/sessions": None,
            "/var/lib/web/cache": None,
            "/usr/lib/base": "x",
        },
    )
    return tree


def test_the_directory_in_which_a_file_was_made_stays(root: Path) -> None:
    made = "/var/lib/web/sessions/1/2"
    packages = {"web": ["/var/lib/web/sessions", "/var/lib/web/cache"]}
    decision = decided(root, ["/app/run", use(made, how="write")], packages)
    assert "/var/lib/web/sessions" in decision.kept
    assert "/var/lib/web/cache" not in decision.kept
    assert [package.action for package in decision.plan.packages] == ["remove"]
    assert (
        Evidence(
            "/var/lib/web/sessions",
            "traced",
            detail="a file was made in it",
            how=("write",),
            exes=("/usr/bin/app",),
            seen="0",
            package="web:all",
        )
        in decision.plan.evidence
    )


def test_a_directory_that_was_written_to_stays(root: Path) -> None:
    """The agent tells of directories in which something was made that is not there any more."""
    packages = {"web": ["/var/lib/web/sessions", "/var/lib/web/cache"]}
    written = use("/var/lib/web/cache", how="write", kind="directory", exe=None)
    decision = decided(root, ["/app/run", written], packages)
    assert "/var/lib/web/cache" in decision.kept
    assert "/var/lib/web/sessions" not in decision.kept
    assert [package.action for package in decision.plan.packages] == ["remove"]
    # One that the run made stands for the one that it was made in.
    made = use("/var/lib/web/cache/a/b", how="write", kind="directory", exe=None)
    assert "/var/lib/web/cache" in decided(root, ["/app/run", made], packages).kept


def test_links_to_directories_stay_with_a_package_that_stays(root: Path) -> None:
    decision = decided(root, ["/usr/lib/base"], {"base": BASE}, granularity="file")
    assert {"/var/state", "/var/guard", "/state/lock"} <= decision.kept
    assert "/var/state" not in decided(root, ["/app/run"], {"base": BASE}).kept


def test_a_link_to_a_used_directory_stays(root: Path) -> None:
    used = [use("/state/db", kind="directory")]
    links = {"links": ["/var/state", "/var/guard", "/var/db"]}
    (root / "var" / "db").symlink_to("/state/db")
    decision = decided(root, used, links)
    assert kept_files(decision, root) == {"/app/run", "/usr/lib/base", "/var/db", "/var/state"}
