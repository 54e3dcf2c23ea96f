"""Plans of a real Debian system: they fit together, and come out the same every time."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from decisions import runs_of
from fixture_types import MakeTrace
from paredown_minimizer.decide import Decision, decide
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.image.model import Image, Tree, parent
from paredown_minimizer.keep import kept_paths
from paredown_minimizer.packages.registry import find_manager
from paredown_minimizer.policy import Policy
from paredown_minimizer.policyfile import parse_policy
from paredown_schemas.errors import DamagedInputError
from paredown_schemas.plan import dump_plan, load_plan
from paredown_schemas.trace import File
from traces import use

USED: list[str | File] = [
    use("/usr/sbin/nginx", how="exec"),
    "/etc/nginx/nginx.conf",
    "/etc/nginx/sites-available/default",
    "/usr/share/nginx/html/index.html",
]


@pytest.fixture(scope="module")
def image(nginx_rootfs: Path) -> Iterator[Image]:
    opened = open_directory(str(nginx_rootfs))
    yield opened
    opened.close()


@pytest.fixture(params=["package", "trim", "file"])
def decision(image: Image, tmp_path: Path, request: pytest.FixtureRequest) -> Decision:
    runs = runs_of(tmp_path / "x", USED)
    return decide(image, find_manager(image), runs, Policy(), request.param)


def test_plan_alone_gives_what_was_decided(decision: Decision, image: Image) -> None:
    manager = find_manager(image)
    assert manager is not None
    plan = load_plan(dump_plan(decision.plan), "plan")
    assert plan == decision.plan
    assert kept_paths(plan, image, manager.read(image)) == decision.kept
    assert 0 < len(decision.kept) < len(image.tree) / 2


def test_a_policy_removes_the_shells_that_nothing_used(image: Image, tmp_path: Path) -> None:
    manager = find_manager(image)
    assert manager is not None
    policy = parse_policy("version: 1\nremove_unless_used: [{what: shell, reason: r}]")
    awk = use("/usr/bin/mawk", how="exec")  # calls system(3)
    decision = decide(image, manager, runs_of(tmp_path / "x", [*USED, awk]), policy, "package")
    plan = decision.plan
    (proof,) = plan.unless_used
    assert {"/usr/bin/bash", "/usr/bin/dash", "/usr/bin/sh"} <= set(proof.gone)
    assert (proof.execs, proof.used, proof.stays) == (2, 0, ())
    assert {(e.path, e.rule, e.by) for e in plan.gave_way} >= {
        ("/usr/bin/sh", "shell/system", "/usr/bin/mawk")
    }
    left = {each.kind: each.after for each in plan.surface}
    assert left["shell"] == 0
    assert kept_paths(plan, image, manager.read(image)) == decision.kept


def test_what_stays_fits_together(decision: Decision, image: Image) -> None:
    left = Tree({path: image.tree[path] for path in decision.kept})
    links = 0
    for path in left:
        assert path == "/" or parent(path) in left
        resolved = image.tree.resolve(path)
        if left[path].type == "symlink" and resolved is not None:
            assert left.resolve(path) == resolved
            links += 1
    assert links > 20


def test_every_chain_ends_at_primary_evidence(decision: Decision) -> None:
    evidence = {record.path: record for record in decision.plan.evidence}
    packages = {record.package for record in decision.plan.evidence}
    for start in decision.plan.evidence:
        record, seen = start, []
        while record.kind not in ("traced", "root", "pinned", "owned") and record.by:
            assert record.path not in seen
            seen.append(record.path)
            record = evidence[record.by]
        if record.kind == "owned" and record.by:
            assert record.by in packages
        assert record.kind in ("traced", "owned") or record.detail


def test_libraries_of_a_used_program_are_evidence(decision: Decision) -> None:
    kinds = {record.path: record.kind for record in decision.plan.evidence}
    lib = "/usr/lib/x86_64-linux-gnu"
    assert kinds[f"{lib}/libc.so.6"] == kinds[f"{lib}/libssl.so.3"] == "linked"
    assert kinds[f"{lib}/ld-linux-x86-64.so.2"] in ("linked", "symlink")
    assert kinds["/usr/lib/os-release"] == "rule"


def test_what_scanners_tell_the_distribution_by_stays(decision: Decision) -> None:
    assert {"/etc/os-release", "/usr/lib/os-release", "/etc/debian_version"} <= decision.kept
    assert {"/var/lib/dpkg/status", "/var/lib/dpkg/info/nginx.md5sums"} <= decision.kept


def test_edited_plan_is_refused(decision: Decision, image: Image) -> None:
    manager = find_manager(image)
    assert manager is not None
    inventory = manager.read(image)
    text = dump_plan(decision.plan)
    for old, new in (
        ('"directory": "/usr/bin", "names": ["apt"', '"directory": "/usr/bin", "names": ["APT"'),
        ('"action": "remove", "files": ', '"action": "remove", "kept_files": 1, "files": '),
    ):
        assert old in text
        try:
            plan = load_plan(text.replace(old, new, 1), "plan")
        except DamagedInputError:
            continue  # a key twice is no plan at all
        with pytest.raises(DamagedInputError, match="cannot follow the plan"):
            kept_paths(plan, image, inventory)


def test_same_plan_whatever_the_hash_seed(
    nginx_rootfs: Path, image: Image, make_trace: MakeTrace, tmp_path: Path
) -> None:
    trace = make_trace(USED, identity=image.identity)
    texts = set()
    for seed in ("1", "2", "3"):
        output = tmp_path / f"{seed}.json"
        command: list[Any] = [sys.executable, "-m", "paredown_minimizer", "plan"]
        command += [f"dir:{nginx_rootfs}", "--trace", trace, "-o", output]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        texts.add(output.read_text())
    assert len(texts) == 1


def test_order_of_traces_changes_nothing_but_time(image: Image, tmp_path: Path) -> None:
    runs = runs_of(tmp_path / "x", USED), runs_of(tmp_path / "y", list(reversed(USED)))
    plans = [decide(image, find_manager(image), run, Policy(), "package").plan for run in runs]
    assert plans[0] == plans[1]


@pytest.mark.parametrize(("language", "kept"), [("C.UTF-8", set()), ("de_DE.UTF-8", {"de"})])
def test_trimmed_of_catalogues_but_those_that_the_image_asks_for(
    postgres_rootfs: Path, tmp_path: Path, language: str, kept: set[str]
) -> None:
    with contextlib.closing(open_directory(str(postgres_rootfs))) as image:
        image.config = {"config": {"Env": [f"LANG={language}"]}}
        runs = runs_of(tmp_path / "x", [use("/usr/lib/postgresql/15/bin/postgres", how="exec")])
        decision = decide(image, find_manager(image), runs, Policy(), "trim")
    catalogues = re.compile(r"/usr/share/locale/([^/]+)/LC_MESSAGES/postgres-15\.mo")
    before, after = (
        {match[1] for path in paths if (match := catalogues.fullmatch(path))}
        for paths in (image.tree, decision.kept)
    )
    assert after == kept < before
