"""What tests asked for and a plan removes: resolved as the kernel did, and no false alarm."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from paredown_minimizer.asked import Asked, asked_and_found, asked_in_vain
from paredown_minimizer.phases import STOP
from paredown_schemas.plan import DirectoryLink, ListedPaths, Plan
from paredown_schemas.trace import File, Lookup, Mark, Record, Run, read_trace
from plans import example_plan
from traces import trace_records, use, write_trace

_PLAN = example_plan(
    links=(
        DirectoryLink("/bin", "/usr/bin"),
        DirectoryLink("/opt/now", "/srv/data"),  # a link that goes, its target stays
        DirectoryLink("/var/run", "/run/deep"),
    ),
    kept=(ListedPaths("nginx:amd64", "/srv/data", ("kept",)),),
    removed=(
        ListedPaths("bash:amd64", "/usr/bin", ("bash",)),
        ListedPaths("data:amd64", "/opt", ("now",)),
        ListedPaths("foo:amd64", "/usr/lib", ("foo",)),
        ListedPaths("foo:amd64", "/usr/lib/foo", ("a.so", "dist")),
        ListedPaths("foo:amd64", "/usr/lib/foo/dist", ("RECORD",)),
    ),
    catalogue=(ListedPaths("foo:amd64", "/usr/lib/foo/dist", ("RECORD",)),),
    left_out=(),
)


def _lookup(path: str, call: Any = "stat", error: str | None = "ENOENT", **more: Any) -> Lookup:
    fields: dict[str, Any] = {"session": 1, "exe": "/usr/bin/app", "time": 5, "truncated": False}
    return Lookup(path, call, error, **{**fields, **more})


def _run(space: Path, *records: Record) -> Run:
    files = [record for record in records if isinstance(record, File)]
    others = [record for record in records if not isinstance(record, File)]
    trace = write_trace(space / "a.trace", trace_records(files, records=others))
    return read_trace(trace).runs[0]


def _in_vain(space: Path, *records: Record, plan: Plan = _PLAN) -> Asked:
    return asked_in_vain(plan, _run(space, *records))


@pytest.mark.parametrize(
    ("named", "missed"),
    [
        ("/usr/bin/bash", "/usr/bin/bash"),
        ("/bin/bash", "/usr/bin/bash"),
        ("//bin/./bash", "/usr/bin/bash"),
        ("/opt/../bin/bash", "/usr/bin/bash"),
        ("/var/run/../bash", None),  # up from /run/deep: /run/bash was never there
        ("/bin/../lib/foo/a.so", "/usr/lib/foo/a.so"),
        ("/usr/lib/foo", "/usr/lib/foo"),
        ("/usr/lib/foo/never", None),
        ("/usr/lib/foo/never/there", None),
        ("/usr/lib/foo/../../bin/bash", "/usr/bin/bash"),
        ("/opt/now", "/opt/now"),
        ("/opt/now/kept", "/opt/now"),  # is there still, and not to be reached by this name
        ("/opt/now/never", None),
        ("/usr/lib/foo/../../../srv/data/kept", "/usr/lib/foo"),
        ("/usr/lib/foo/dist/RECORD", None),  # the catalogue is asked for whatever there is
        ("/usr/bin/never", None),
        ("/usr/bin/bash2", None),
        ("/etc/ld.so.preload", None),
    ],
)
def test_paths_lead_where_the_kernel_went(named: str, missed: str | None, tmp_path: Path) -> None:
    asked = _in_vain(tmp_path, _lookup(named), _lookup(named, "exec"))
    assert [each.path for each in asked.missing] == ([missed] if missed else [])
    assert asked.maybe == ()


def test_only_what_was_not_there_counts(tmp_path: Path) -> None:
    """A name that is a file where a directory was asked for is ENOTDIR; EACCES is no miss."""
    told = [_lookup("/usr/bin/bash", error=error) for error in (None, "EACCES", "ELOOP")]
    assert _in_vain(tmp_path, *told) == Asked(())
    asked = _in_vain(tmp_path, _lookup("/usr/lib/foo/a.so", error="ENOTDIR"))
    assert [each.path for each in asked.missing] == ["/usr/lib/foo/a.so"]


def test_a_miss_names_package_programs_and_the_tests_that_ran(tmp_path: Path) -> None:
    asked = _in_vain(
        tmp_path,
        _lookup("/bin/bash", time=1),
        Mark("first", 2),
        _lookup("/usr/bin/bash", "exec", time=3, exe="/usr/bin/sh"),
        Mark("second", 4),
        _lookup("/usr/lib/foo/a.so", time=5, exe=None),
        Mark(STOP, 6),
        _lookup("/usr/lib/foo", time=7),
    )
    assert [dataclasses.astuple(each) for each in asked.missing] == [
        (
            "bash:amd64",
            "/usr/bin/bash",
            ("exec", "stat"),
            ("/usr/bin/app", "/usr/bin/sh"),
            ("first",),
            "traced",
        ),
        ("foo:amd64", "/usr/lib/foo", ("stat",), ("/usr/bin/app",), (), None),
        ("foo:amd64", "/usr/lib/foo/a.so", ("stat",), (), ("second",), None),
    ]


def test_what_may_have_been_made_in_a_directory_that_goes_is_no_miss(tmp_path: Path) -> None:
    asked = _in_vain(tmp_path, _lookup("/usr/lib/foo/new", "open"), _lookup("/usr/lib/foo/x"))
    assert asked.missing == ()
    assert [(each.path, each.asked) for each in asked.maybe] == [("/usr/lib/foo", ("open",))]


def test_what_the_plan_left_out_is_left_out(tmp_path: Path) -> None:
    plan = dataclasses.replace(_PLAN, left_out=example_plan().left_out)
    run = _run(tmp_path, _lookup("/bin/bash", exe="/usr/bin/find", session=9))
    assert asked_in_vain(plan, run).missing  # the entry is of sessions from outside alone
    anywhere = dataclasses.replace(plan.left_out[0], session=None, scenario=None)
    plan = dataclasses.replace(plan, left_out=(anywhere,))
    assert asked_in_vain(plan, run).missing == ()


def test_a_truncated_look_up_counts_where_it_can_mean_one_path_alone(tmp_path: Path) -> None:
    one = _lookup("foo/a.so", truncated=True)
    assert [each.path for each in _in_vain(tmp_path, one).missing] == ["/usr/lib/foo/a.so"]
    two = example_plan(removed=(*_PLAN.removed, ListedPaths(None, "/srv/foo", ("a.so",))))
    assert _in_vain(tmp_path, one, plan=two).missing == ()


def test_on_the_original_uses_and_finds_are_told_apart(tmp_path: Path) -> None:
    run = _run(
        tmp_path,
        use("/usr/lib/foo/a.so", how="library", time=3),
        use("/usr/lib/foo/new", how="write", time=3),
        _lookup("/bin/bash", error=None),
        _lookup("/usr/bin/never"),
        Mark("a", 2),
    )
    found = asked_and_found(_PLAN, run)
    assert [(each.path, each.asked, each.tests, each.held_by) for each in found] == [
        ("/usr/bin/bash", ("stat",), ("a",), None),
        ("/usr/lib/foo", ("write",), ("a",), "traced"),
        ("/usr/lib/foo/a.so", ("library",), ("a",), "traced"),
    ]
