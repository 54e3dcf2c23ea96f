"""A security update: the plan of yesterday's load test, on the image that was rebuilt today."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import server
from applications import GUNICORN, PAREDOWN, Answers, record, run
from fixture_types import Require
from paredown_schemas.plan import read_plan
from upgrade import rebuilt, upgrade

UPGRADES = {
    "libsqlite3-0": {"libsqlite3.so.0.8.6": "libsqlite3.so.0.8.7"},
    "python3-gunicorn": {"20.1.0": "20.1.1"},
    "gunicorn": {"20.1.0": "20.1.1"},
}
VIEWS = ("/", "/sqlite", "/zone", "/json")


@pytest.mark.usefixtures("serve", "flask_rootfs")
def test_a_rebased_plan_serves(tmp_path: Path, require: Require) -> None:
    require(os.geteuid() == 0 and shutil.which("dpkg") is not None, "upgrading takes root and dpkg")
    source, trace = GUNICORN.source, tmp_path / "trace"
    before = record(GUNICORN, source, trace, VIEWS)
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    options = ["--trace", str(trace), "--granularity", "file"]
    run(PAREDOWN, "plan", f"dir:{source}", *options, "-o", old)
    with rebuilt(source, tmp_path / "space") as tree:
        for package, renames in UPGRADES.items():
            upgrade(tree, package, renames, tmp_path)
        refused = subprocess.run(
            [PAREDOWN, "plan", f"dir:{tree}", *options], capture_output=True, text=True, check=False
        )
        assert refused.returncode == 4
        assert "another image" in refused.stderr
        run(PAREDOWN, "plan", f"dir:{tree}", *options, "--rebase", old, "-o", new)
        run(PAREDOWN, "apply", new, f"dir:{tree}", "-o", f"dir:{tmp_path / 'slim'}")
    plan = read_plan(new)
    moved = {each.path: each for each in plan.moved}
    library = moved["/usr/lib/x86_64-linux-gnu/libsqlite3.so.0.8.6"]
    assert library.to == "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0.8.7"
    assert library.after == f"{library.before}+later1"
    points = "/usr/lib/python3/dist-packages/gunicorn-20.1.{}.egg-info/entry_points.txt"
    assert moved[points.format(0)].to == points.format(1)
    assert plan.rebase is not None
    assert plan.rebase.vanished == 0
    assert not plan.rebase.new_packages
    assert _answers(tmp_path / "slim", tmp_path / "log") == before


def _answers(tree: Path, log: Path) -> Answers:
    with server.serve(["chroot", str(tree), *GUNICORN.command], GUNICORN.port, log=log) as running:
        answers = {path: running.get(path) for path in VIEWS}
    return {path: (answer.status, answer.body) for path, answer in answers.items()}
