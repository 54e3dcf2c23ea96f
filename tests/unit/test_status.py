"""Status: what changed since an image was hardened, and whether that is too much."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from decisions import make_tree
from paredown_minimizer.image import model
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.pipeline.changes import Change, Now, Then, changes
from paredown_minimizer.policyfile import parse_policy
from paredown_schemas import plan as planned
from paredown_schemas.cves import Cves, Finding
from paredown_schemas.plan import Layer, PackageDecision, dump_plan
from paredown_schemas.verification import dump_verification
from plans import example_plan
from results import example_verification

STATUS = "var/lib/dpkg/status"
TODAY = dt.date(2026, 2, 10)


def _tree(root: Path, versions: Mapping[str, str]) -> Path:
    """Make a tree with dpkg's packages."""
    stanzas = [
        f"Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: {version}\n"
        for name, version in versions.items()
    ]
    lists = {f"var/lib/dpkg/info/{name}.list": f"/opt/{name}\n" for name in versions}
    files = {f"opt/{name}": name for name in versions}
    make_tree(root, {STATUS: "\n".join(stanzas), **lists, **files})
    return root


def _plan(root: Path, versions: Mapping[str, str]) -> planned.Plan:
    packages = tuple(
        PackageDecision(name, "all", version, "dpkg", "keep", 1, 1, 1, 1)
        for name, version in sorted(versions.items())
    )
    return example_plan(image=open_directory(str(root)).identity, packages=packages, layers=())


def _found(*names: str, fate: str = "stays", severity: str = "high") -> Cves:
    findings = tuple(
        Finding(f"CVE-2026-{name}", "tool", "1", severity, fate)  # type: ignore[arg-type]
        for name in names
    )
    return Cves("0.1.0", "plan", False, (), (), findings)


def _changes(then: Then, now: Now, policy: str) -> dict[str, Change]:
    return {each.what: each for each in changes(then, now, parse_policy(policy))}


OLD = {"added-to": "1", "gone": "1", "same": "1", "upgraded": "1"}
NEW = {"added": "1", "added-to": "1", "same": "1", "upgraded": "2"}


@pytest.mark.parametrize(("most", "over"), [(2, True), (3, False)])
def test_packages_are_counted_however_they_changed(most: int, over: bool, tmp_path: Path) -> None:
    plan = _plan(_tree(tmp_path / "old", OLD), OLD)
    image = open_directory(str(_tree(tmp_path / "new", NEW)))
    found = _changes(
        Then(plan, None, None),
        Now(image.identity, image, None, TODAY),
        f"version: 1\nrenew: {{max_changed_packages: {most}}}",
    )
    assert found["packages"].now == (
        "4; 1 added (added:all); 1 removed (gone:all); 1 of another version (upgraded:all)"
    )
    assert (found["packages"].count, found["packages"].over) == (3, over)
    # Another image alone is past no bound where the policy has others.
    assert (found["image"].count, found["image"].over) == (1, False)


def test_without_bounds_another_image_is_enough(tmp_path: Path) -> None:
    plan = _plan(_tree(tmp_path / "old", OLD), OLD)
    then = Then(plan, None, None)
    same = _changes(then, Now(plan.image, None, None, TODAY), "version: 1")
    assert not any(change.over for change in same.values())
    other = _changes(then, Now("dir-sha256:" + "0" * 64, None, None, TODAY), "version: 1")
    assert [change.what for change in other.values() if change.over] == ["image"]


@pytest.mark.parametrize(
    ("layers", "told", "over"),
    [
        ("aab", "2 first ones the same of 3", False),
        ("aac", "the same", False),
        ("baa", "0 first ones the same of 3", True),
        ("", "0 first ones the same of 0", True),
    ],
)
def test_the_base_is_another_where_the_first_layer_is(
    layers: str, told: str, over: bool, tmp_path: Path
) -> None:
    plan = example_plan(layers=tuple(Layer(f"sha256:{name}") for name in "aac"), packages=())
    image = open_directory(str(_tree(tmp_path / "now", {})))
    image.layers = tuple(model.Layer(f"sha256:{name}", None) for name in layers)
    found = _changes(
        Then(plan, None, None),
        Now("other", image, None, TODAY),
        "version: 1\nrenew: {changed_base: forbid}",
    )
    assert (found["base"].now, found["base"].over) == (told, over)


def test_cves_count_where_they_are_new_in_the_slim_image() -> None:
    policy = "version: 1\nrenew: {max_new_cves: {critical: 0, high: 1}}"
    plan = example_plan()
    before = Then(plan, _found("1", "2"), None)

    def now(cves: Cves | None) -> dict[str, Change]:
        return _changes(before, Now(plan.image, None, cves, TODAY), policy)

    two = now(_found("2", "3"))
    assert (two["CVEs high"].then, two["CVEs high"].now) == ("2", "2; 1 new (CVE-2026-3 tool)")
    assert (two["CVEs high"].over, two["CVEs critical"].over) == (False, False)
    assert now(_found("1", "3", "4"))["CVEs high"].over
    assert now(_found("1", severity="critical"))["CVEs critical"].count == 0  # by another measure
    assert now(_found("3", severity="critical"))["CVEs critical"].over
    assert not now(_found("3", "4", "5", fate="gone"))["CVEs high"].over
    # What nobody scanned is not known, and not fine.
    assert now(None)["CVEs high"].over
    unknown = _changes(Then(plan, None, None), Now(plan.image, None, None, TODAY), "version: 1")
    assert not any(what.startswith("CVEs") for what in unknown)


def test_age_and_pins() -> None:
    pins = tuple(planned.Pin("keep", f"/{day}", "why", 1, f"2026-02-{day}") for day in ("09", "10"))
    plan = example_plan(pins=pins)
    policy = "version: 1\nrenew: {max_age: 30d, expired_pins: forbid}"
    found = _changes(
        Then(plan, None, "2026-01-11T12:00:00Z"), Now(plan.image, None, None, TODAY), policy
    )
    assert (found["tested"].now, found["tested"].over) == ("30 days ago", False)
    assert (found["pins"].now, found["pins"].over) == ("1 expired (/09 (2026-02-09))", True)
    old = Then(plan, None, "2026-01-10T23:59:59Z")
    assert _changes(old, Now(plan.image, None, None, TODAY), policy)["tested"].over
    undated = Then(plan, None, None)
    assert _changes(undated, Now(plan.image, None, None, TODAY), policy)["tested"].over


def _paredown(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "paredown_minimizer", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


def _project(space: Path, plan: planned.Plan) -> Path:
    image = {
        "name": "app",
        "source": "dir:tree",
        "output": "dir:slim",
        "run": "server",
        "scenarios": [{"name": "load", "command": "true"}],
        "policy": "policy.yaml",
    }
    (space / "paredown.yaml").write_text(json.dumps({"version": 1, "images": [image]}))
    (space / "policy.yaml").write_text("version: 1")
    evidence = space / "evidence" / "app"
    evidence.mkdir(parents=True)
    (evidence / "plan.json").write_text(dump_plan(plan))
    verification = example_verification(plan, started="2026-01-31T12:00:00Z")
    (evidence / "verification.json").write_text(dump_verification(verification))
    return evidence


def test_the_command_of_a_project(tmp_path: Path) -> None:
    tree = _tree(tmp_path / "tree", OLD)
    evidence = _project(tmp_path, _plan(tree, OLD))
    fine = _paredown("status", cwd=tmp_path)
    assert (fine.returncode, fine.stderr) == (0, "")
    lines = [line.split() for line in fine.stdout.splitlines()]
    assert lines[:3] == [
        ["app:"],
        ["what", "then", "now", "bound"],
        ["fine", "image", lines[2][2], "the", "same", "at", "most", "0"],
    ]
    (tree / "new").write_text("x")
    again = _paredown("status", tmp_path / "paredown.yaml", "--image", "app", cwd=Path("/"))
    assert (again.returncode, again.stderr) == (3, "Harden again: app\n")
    assert "AGAIN  image" in again.stdout
    (evidence / "verification.json").unlink()
    assert _paredown("status", cwd=tmp_path).stdout == "app: not verified yet\n"
    (evidence / "plan.json").unlink()
    never = _paredown("status", cwd=tmp_path)
    assert (never.returncode, never.stdout) == (3, "app: not hardened yet\n")
    assert _paredown("status", "--image", "no", cwd=tmp_path).returncode == 2


def test_the_command_of_a_plan(tmp_path: Path) -> None:
    tree = _tree(tmp_path / "tree", OLD)
    (tmp_path / "plan.json").write_text(dump_plan(_plan(tree, OLD)))
    arguments = ("status", "--plan", "plan.json", "--source", "dir:tree")
    assert _paredown(*arguments, cwd=tmp_path).returncode == 0
    (tmp_path / "policy.yaml").write_text("version: 1\nrenew: {max_new_cves: {critical: 0}}")
    unknown = _paredown(*arguments, "--policy", "policy.yaml", cwd=tmp_path)
    assert unknown.returncode == 3
    assert "not known" in unknown.stdout
    for wrong in (("--plan", "plan.json"), ("--source", "dir:tree"), ("x", *arguments[1:])):
        assert _paredown("status", *wrong, cwd=tmp_path).returncode == 2
