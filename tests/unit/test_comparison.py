"""``paredown diff OLD NEW``: what changed between two plans."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from output_schemas import validator
from paredown_minimizer.cli import main
from paredown_minimizer.comparison import Comparison, compare
from paredown_minimizer.formats import FORMATS
from paredown_minimizer.review import review_plan
from paredown_schemas.plan import (
    Evidence,
    ListedPaths,
    PackageDecision,
    Plan,
    Risk,
    SurfaceCount,
    Totals,
    TraceInput,
    dump_plan,
)
from plans import example_plan, package

NGINX = package("nginx", "keep", 2, 2, 2_000)
HELD = Evidence("/usr/sbin/nginx", "traced", how=("exec",), package=NGINX.key)


def _plan(*packages: PackageDecision, **changes: Any) -> Plan:
    empty = dict.fromkeys(("paths", "unowned", "risks", "kept", "removed", "evidence", "pins"), ())
    return example_plan(packages=packages, **{**empty, **changes})


def _compare(old: Plan, new: Plan) -> Comparison:
    return compare(review_plan(old), review_plan(new))


def _changes(old: Plan, new: Plan) -> dict[str, str]:
    return {each.shown.decision.name: each.change for each in _compare(old, new).packages}


def test_what_became_of_each_package() -> None:
    whole, part, none = (package("x", a, k, 10, 10) for a, k in _ACTIONS)
    newer = dataclasses.replace(whole, version="2")
    for old, new, change in (
        (whole, none, "goes"),
        (part, none, "goes"),
        (none, whole, "returns"),
        (none, part, "returns"),
        (whole, part, "less"),
        (part, whole, "more"),
        (part, dataclasses.replace(part, kept_files=3), "less"),
        (part, dataclasses.replace(part, kept_files=5), "more"),
        (whole, newer, "version"),
        (whole, dataclasses.replace(newer, files=12, kept_files=12), "version"),
        (newer, none, "goes"),
    ):
        assert _changes(_plan(NGINX, old), _plan(NGINX, new)) == {"x": change}, (old, new)
    assert _changes(_plan(NGINX), _plan(NGINX, whole)) == {"x": "added"}
    assert _changes(_plan(NGINX, whole), _plan(NGINX)) == {"x": "dropped"}
    assert _changes(_plan(NGINX, whole), _plan(NGINX, whole)) == {}


_ACTIONS = (("keep", 10), ("trim", 4), ("remove", 0))


def test_what_holds_it_now() -> None:
    linked = dataclasses.replace(HELD, kind="linked", how=(), by="/usr/bin/new")
    old, new = _plan(NGINX, evidence=(HELD,)), _plan(NGINX, evidence=(linked,))
    assert _changes(old, new) == {"nginx": "evidence"}
    seen = dataclasses.replace(HELD, seen="0")
    assert _changes(old, _plan(NGINX, evidence=(seen,))) == {}


def test_a_package_whose_place_has_its_version_is_the_same() -> None:
    """A gem lies in gems/rack-3.0: an upgrade is no removal. Two of one name are not guessed at."""
    old, new = (
        dataclasses.replace(
            package("rack", "keep", 1, 1, 10),
            manager="gem",
            version=version,
            location=f"/usr/lib/gems/rack-{version}",
        )
        for version in ("3.0", "3.1")
    )
    assert _changes(_plan(old), _plan(new)) == {"rack": "version"}
    third = dataclasses.replace(new, version="3.2", location="/usr/lib/gems/rack-3.2")
    assert sorted(each.change for each in _compare(_plan(old), _plan(new, third)).packages) == [
        "added",
        "added",
        "dropped",
    ]


def test_risks_settings_traces_and_paths() -> None:
    bash = package("bash", "remove", 0, 1, 10)
    listed = ListedPaths(bash.key, "/usr/bin", ("bash",))
    risk = Risk(bash.key, "/usr/bin/bash", "/app/run")
    old = _plan(bash, kept=(listed,), risks=(risk,))
    again = dataclasses.replace(risk, named_by="/app/other")
    new = _plan(
        bash,
        image="dir-sha256:" + "b" * 64,
        granularity="package",
        removed=(listed, ListedPaths(None, "/opt", ("tool",))),
        risks=(again, dataclasses.replace(risk, level="high", reason="command")),
        traces=(TraceInput("f" * 16, "more", "complete", (), 9),),
    )
    found = _compare(old, new)
    assert [what for what, *_ in found.settings] == ["image", "granularity"]
    assert [(each.level, each.reason) for each in found.risks.new] == [("high", "command")]
    assert found.risks.gone == []  # another file names it for the same reason
    assert (len(found.traces.new), len(found.traces.gone)) == (1, 1)
    assert found.goes == ["/opt/tool", "/usr/bin/bash"]
    assert _compare(new, old).returns == ["/opt/tool", "/usr/bin/bash"]


@pytest.fixture
def plans(tmp_path: Path) -> tuple[str, str]:
    old = example_plan(surface=(SurfaceCount("shell", 2, 1),))
    bash, libc6, nginx, *others = old.packages
    new = dataclasses.replace(
        old,
        image="dir-sha256:" + "b" * 64,
        after=Totals(3, 20, 28_000_000),
        packages=(
            dataclasses.replace(bash, action="keep", kept_files=2, kept_bytes=bash.bytes),
            dataclasses.replace(libc6, version="2.41\x1b"),
            dataclasses.replace(nginx, action="remove", kept_files=0, kept_bytes=0),
            *others,
        ),
        risks=(Risk("nginx:amd64", "/usr/sbin/nginx", "/app/<b>", "high", "command"),),
        surface=(SurfaceCount("shell", 2, 0),),
        removed=(*old.removed, ListedPaths("nginx:amd64", "/usr/sbin", ("nginx",))),
    )
    paths = tmp_path / "old.json", tmp_path / "new.json"
    for path, plan in zip(paths, (old, new), strict=True):
        path.write_text(dump_plan(plan))
    return str(paths[0]), str(paths[1])


def test_table(plans: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *plans]) == 0
    shown = capsys.readouterr().out
    for text in (
        f"image     dir-sha256:{'a' * 64} → dir-sha256:{'b' * 64}",
        "size, left        28.3 MB   28.0 MB  -300.0 kB",
        "Newly removed: 1 package\n- nginx  1:1300000-1  2/2 → 0/2  1.3 MB  nothing used it, but ",
        "Back again: 1 package\n+ bash  1:7163904-1  0/2 → 2/2  7.2 MB",
        "Another version: 1 package\n+ libc6  1:12900000-1 → 2.41\\x1b  12/12",
        "New: risks: 1 high\n! high  nginx:amd64  /usr/sbin/nginx  is a command in /app/<b>",
        "Gone: risks: 1 low",
        "Attack surface that is left\n        was  is\nshells    1   0",
        "Paths that newly go: 1\n- /usr/sbin/nginx\n",
    ):
        assert text in shown


def test_what_runs_comes_before_what_goes_anyway(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From one release to the next nearly every version changes."""
    old = [package(name, "remove", 0, 1, 10) for name in "abc"] + [NGINX]
    risky = dataclasses.replace(old[1], risk="high")
    new = [dataclasses.replace(each, version="2") for each in (old[0], risky, *old[2:])]
    for name, packages in (("old", old), ("new", new)):
        (tmp_path / name).write_text(dump_plan(_plan(*packages)))
    assert main(["diff", str(tmp_path / "old"), str(tmp_path / "new")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines if " → 2 " in line] == [
        ["+", "nginx"],
        ["-", "b"],
        ["-", "a"],
        ["-", "c"],
    ]


def test_list(plans: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """One change a line; from one plan to itself nothing is told."""
    assert main(["diff", *plans, "--format", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines] == [
        ["~", "setting", "image", "dir-sha256:" + "a" * 64],
        ["+", "pkg", "bash:amd64", "returns"],
        ["+", "pkg", "libc6:amd64", "version"],
        ["-", "pkg", "nginx:amd64", "goes"],
        ["-", "path", "/usr/sbin/nginx"],
        ["!", "new", "risk", "high"],
        ["!", "gone", "risk", "low"],
    ]
    assert main(["diff", plans[0], plans[0], "--format", "list"]) == 0
    assert capsys.readouterr().out == ""


def test_json(plans: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *plans, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    check = validator("comparison-1.schema.json")
    check.validate(document)
    assert not check.is_valid({**document, "extra": 1})
    assert [each["change"] for each in document["packages"]] == ["returns", "version", "goes"]
    assert document["risks"]["new"][0]["named_by"] == ["/app/<b>"]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_takes_plans_that_are_the_same(
    plans: tuple[str, str], form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", plans[0], plans[0], "--format", form]) == 0
    assert main(["diff", *plans, "--format", form]) == 0
    assert "\x1b" not in capsys.readouterr().out
