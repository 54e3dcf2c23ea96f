"""What the runs needed, and what of it a plan says."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from decisions import decided, make_tree
from paredown_minimizer.contents import Contents
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.needed import find_needs, find_unrecorded
from paredown_schemas.plan import Exposed, Need, SurfaceCount, Unrecorded, dump_plan, load_plan
from paredown_schemas.trace import (
    Capability,
    Coverage,
    File,
    Port,
    Process,
    Record,
    Session,
    Syscall,
    read_trace,
)
from traces import trace_records, use, write_trace

APP = "/usr/bin/app"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    make_tree(tree, {APP: "#!/bin/true\n", "/var/log/app/old": "x", "/srv/data": "x", "/run": None})
    return tree


def needs_of(
    root: Path,
    files: Iterable[str | File] = (),
    records: Iterable[Record] = (),
    config: Mapping[str, Any] | None = None,
) -> dict[str, list[Need]]:
    """Return the needs of one run, by kind."""
    trace = write_trace(root.with_suffix(".trace"), trace_records(files, records=records))
    with contextlib.closing(open_directory(str(root))) as image:
        image.config = {"config": config or {}}
        found: dict[str, list[Need]] = {}
        for need in find_needs(read_trace(trace).runs, Contents(image)):
            found.setdefault(need.kind, []).append(need)
        return found


def values(needs: Mapping[str, list[Need]], kind: str) -> list[str]:
    return [need.value for need in needs.get(kind, [])]


def written(path: str, **fields: Any) -> File:
    return use(path, how="write", **fields)


def test_needs_are_told_with_who_had_them(root: Path) -> None:
    records: list[Record] = [
        Process(1, 100, APP, 33, 34, 1),
        Process(1, 100, APP, None, None, 1),
        Session(2, "injected", 200, 1),
        Process(2, 200, "/bin/sh", 0, 0, 1),
        Port("tcp", "::", 80, 1, APP, 1, held=False),
        Capability("CAP_CHOWN", granted=True, session=1, exe=APP, time=1),
        Capability("CAP_CHOWN", granted=True, session=1, exe=None, time=1),
        Capability("CAP_NET_RAW", granted=False, session=1, exe=APP, time=1),
        Syscall("openat", 257, "x86_64", 1, APP, 1),
        Syscall(None, 999, "x86_64", 1, APP, 1),
    ]
    needs = needs_of(root, records=records)
    assert needs == {
        # Whoever came in from outside chose a user for themselves.
        "user": [Need("user", "33:34", (APP,))],
        "port": [Need("port", "tcp [::]:80", (APP,))],
        "capability": [Need("capability", "CAP_CHOWN", (APP,))],
        "refused-capability": [Need("refused-capability", "CAP_NET_RAW", (APP,))],
        "syscall": [Need("syscall", f"x86_64 {name}", (APP,)) for name in ("999", "openat")],
    }


def test_the_further_groups_of_a_user_are_those_of_the_image(root: Path) -> None:
    passwd = "app:x:33:34::/:\nroot:x:0:0::/:\nodd\n:x\n"
    group = "app:x:34:app\nkeys:x:7:x,app\nkvm:x:100:app\nodd:x:٣:app\nnone:x:8:\nx:\n"
    make_tree(root, {"/etc/passwd": passwd, "/etc/group": group})
    needs = needs_of(root, records=[Process(1, 100, APP, 33, 34, 1)])
    assert needs["user"] == [Need("user", "33:34", (APP,), "7,100")]


def test_where_nothing_of_the_image_is_used_memory_will_do(root: Path) -> None:
    os.chown(root / "run", 5, 6)
    (root / "run").chmod(0o750)
    needs = needs_of(root, [written("/run/app.pid"), written("/run/made/by/run/x"), "/srv/data"])
    assert needs["tmpfs"] == [Need("tmpfs", "/run", (APP,), "mode=0750,uid=5,gid=6")]
    assert needs["written"] == [Need("written", "/run", (APP,), "5:6 drwxr-x---")]
    assert "volume" not in needs


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ([written("/srv/new"), "/srv/data"], "holds /srv/data, which is used"),
        ([written("/srv/data")], "holds /srv/data, which is used"),
    ],
)
def test_what_holds_something_used_takes_a_volume(
    root: Path, files: list[str | File], why: str
) -> None:
    needs = needs_of(root, files)
    assert needs["volume"] == [Need("volume", "/srv", (APP,), why)]
    assert "tmpfs" not in needs


def test_a_directory_that_another_one_lies_in_is_no_tmpfs(root: Path) -> None:
    make_tree(root, {"/var/lib/app/spool": None})
    needs = needs_of(root, [written("/var/lib/app/x"), written("/var/lib/app/spool/x")])
    assert values(needs, "volume") == ["/var/lib/app"]
    assert "tmpfs" not in needs


def test_a_log_that_is_there_already_is_nothing_that_is_used(root: Path) -> None:
    assert values(needs_of(root, [written("/var/log/app/old")]), "tmpfs") == ["/var/log/app"]


def test_what_runs_code_that_it_made_says_so(root: Path) -> None:
    needs = needs_of(root, [written("/run/x.so"), use("/run/x.so", how="library")])
    assert needs["tmpfs"][0].detail == "mode=0755,exec"


def test_a_declared_volume_is_one_whatever_was_written(root: Path) -> None:
    config: dict[str, Any] = {"Volumes": {"/srv": {}, "/nowhere": {}}}
    needs = needs_of(root, [written("/srv/new")], config=config)
    declared = "declared by the image"
    assert needs["volume"] == [Need("volume", v, (), declared) for v in ("/nowhere", "/srv")]
    assert "tmpfs" not in needs


def test_what_root_used_and_not_everybody_can_is_told_with_its_owner(root: Path) -> None:
    make_tree(root, {"/etc/key": "x", "/root/x": "x"})
    (root / "etc/key").chmod(0o640)
    (root / "root").chmod(0o700)
    files: list[str | File] = ["/etc/key", "/root/x", "/srv/data"]
    as_root = needs_of(root, files, [Process(1, 100, APP, 0, 0, 1)])
    assert as_root["restricted"] == [
        Need("restricted", "/etc/key", (APP,), "0:0 -rw-r-----"),
        Need("restricted", "/root", (APP,), "0:0 drwx------"),
    ]
    assert "restricted" not in needs_of(root, files, [Process(1, 100, APP, 33, 33, 1)])


def test_a_program_with_privileges_of_its_own_is_told_where_it_was_started(root: Path) -> None:
    make_tree(root, {"/bin/su": "#!/bin/true\n", "/bin/mount": "#!/bin/true\n"})
    for name in ("su", "mount"):
        (root / "bin" / name).chmod(0o4755)
    needs = needs_of(root, [use("/bin/su", how="exec"), use("/bin/mount")])
    assert needs["privileged-exec"] == [Need("privileged-exec", "/bin/su", (APP,), "setuid to 0")]


def test_what_is_left_out_needed_nothing(root: Path) -> None:
    records: list[Record] = [
        Session(2, "injected", 200, 1),
        Capability("CAP_SYS_PTRACE", granted=True, session=2, exe="/bin/sh", time=1),
        Syscall("ptrace", 101, "x86_64", 2, "/bin/sh", 1),
        Syscall("read", 0, "x86_64", 1, APP, 1),
        Syscall("mount", 165, "x86_64", 1, "/bin/odd", 1),
    ]
    policy = (
        "version: 1\nleave_out:\n- {session: injected, reason: a look around}\n"
        "- {exe: /bin/odd, reason: no use}\n"
    )
    plan = decided(root, [use(APP, how="exec")], records=records, policy=policy).plan
    assert [need.value for need in plan.needs] == ["x86_64 read"]
    plan = decided(root, [use(APP, how="exec")], records=records).plan
    assert len(plan.needs) == 4


def test_what_one_run_did_not_record_is_unrecorded(tmp_path: Path) -> None:
    facets = ("ids", "ports", "directories", "capabilities", "exists", "missing")
    known = [Coverage(facet, recorded=True, why="") for facet in facets]  # type: ignore[arg-type]
    trace = write_trace(
        tmp_path / "t",
        trace_records(records=[*known, Coverage("syscalls", recorded=True, why="")]),
        trace_records(
            run="f" * 16, records=[*known, Coverage("syscalls", recorded=False, why="not asked")]
        ),
    )
    assert find_unrecorded(read_trace(trace).runs) == (Unrecorded("syscalls", "not asked"),)


def test_a_plan_tells_the_surface_before_and_after(root: Path) -> None:
    make_tree(root, {"/bin/bash": "#!/bin/true\n", "/bin/sh": "-> bash", "/lib/x.so": "x"})
    (root / "run").chmod(0o1777)
    packages = {"bash": ["/bin/bash", "/bin/sh", "/lib/x.so"], "app": [APP]}
    plan = decided(root, [use(APP, how="exec")], packages).plan
    counts = {count.kind: count for count in plan.surface}
    assert counts["shell"] == SurfaceCount("shell", 2, 0)
    assert counts["executable"] == SurfaceCount("executable", 2, 1)
    assert counts["library"] == SurfaceCount("library", 1, 0)
    assert Exposed("shell", "/bin/sh", False, "bash:all") in plan.exposed
    assert Exposed("writable", "/run", True, None, "by everybody, sticky") in plan.exposed
    assert not [e for e in plan.exposed if e.kind in ("executable", "library")]
    assert load_plan(dump_plan(plan), "plan") == plan


def test_what_the_workloads_user_could_write_is_told_but_for_where_it_did(root: Path) -> None:
    make_tree(root, {"/app/code": "x", "/app/cache/x": "x", "/app/group": "x"})
    for path in ("app/code", "app/cache", "app/cache/x"):
        os.chown(root / path, 33, 0)
    os.chown(root / "app/group", 0, 33)
    (root / "app/group").chmod(0o664)
    plan = decided(root, [written("/app/cache/y")]).plan
    assert not [e for e in plan.exposed if e.kind == "writable"]  # as whom was not recorded
    plan = decided(root, [written("/app/cache/y")], records=[Process(1, 100, APP, 33, 33, 1)]).plan
    assert [(e.name, e.detail) for e in plan.exposed if e.kind == "writable"] == [
        ("/app/code", "by 33:33"),
        ("/app/group", "by 33:33"),
    ]
