"""What the policy leaves out of the traces is no evidence, where the trace can bear it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from decisions import kept_files, make_tree
from paredown_minimizer.decide import Decision, decide
from paredown_minimizer.globs import names
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.policyfile import parse_policy
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import LeftOut
from paredown_schemas.trace import File, Lookup, Record, Run, Session, read_trace
from traces import trace_records, use, write_trace

FILES = ["/usr/bin/app", "/usr/bin/find", "/usr/bin/sh", "/etc/both", "/etc/found", "/etc/odd"]
UNUSED = {"/usr/bin/find", "/etc/found"}
FIND = "/usr/bin/find"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_tree(tmp_path / "tree", {"/bin": "-> usr/bin", **dict.fromkeys(FILES, "x")})
    return tmp_path / "tree"


def _scan(session: int) -> list[File]:
    """The application's uses, in session 1, and a scan's."""
    app = [use("/usr/bin/app", how="exec", exe="/usr/bin/sh"), use("/usr/bin/sh", how="exec")]
    scan = [use(FIND, how="exec", exe="/usr/bin/sh", session=session)]
    scan += [use(path, exe=FIND, session=session) for path in ("/etc/both", "/etc/found")]
    odd = [use("/etc/odd", exe=None, session=session)]
    return [*app, use("/etc/both"), *scan, *odd]


def _decided(root: Path, entries: str, *runs: tuple[Sequence[Record], str, str]) -> Decision:
    """Each run: what it used, its recorder, its scenario; session 2 is from outside."""
    outside = [Session(2, "injected", 200, 0)]
    traces: list[Run] = []
    for number, (files, recorder, scenario) in enumerate(runs):
        header: dict[str, Any] = {"recorder": recorder, "scenario": scenario}
        records = trace_records(records=[*outside, *files], run=f"{number:016x}", **header)
        trace = read_trace(write_trace(root.parent / f"{number}.trace", records))
        traces += trace.runs
    image = open_directory(str(root))
    policy = parse_policy(f"version: 1\nleave_out: [{entries}]\nunowned: [{{path: /, reason: r}}]")
    try:
        return decide(image, None, traces, policy, "package")
    finally:
        image.close()


INJECTED = "{session: injected, reason: no load}"


@pytest.mark.parametrize("recorder", ["fanotify", "ebpf-trampolines", "ebpf-tracepoints", "bcc"])
def test_a_session_from_outside_is_left_out_by_any_recorder(root: Path, recorder: str) -> None:
    decision = _decided(root, INJECTED, (_scan(2), recorder, "load"))
    assert kept_files(decision, root) == {*FILES, "/bin"} - UNUSED - {"/etc/odd"}
    assert decision.plan.left_out == (LeftOut("injected", None, "no load", 3),)


def test_a_program_of_it_alone_is_left_out_where_it_is_known_for_certain(root: Path) -> None:
    entry = f"{{session: injected, exe: {FIND}, reason: r}}"
    decision = _decided(root, entry, (_scan(2), "fanotify", "load"))
    assert kept_files(decision, root) == {*FILES, "/bin"} - UNUSED
    assert decision.plan.left_out == (LeftOut("injected", FIND, "r", 2),)


def test_what_is_left_out_is_no_look_up_either(root: Path) -> None:
    asked = Lookup("/etc/found", "stat", None, 2, FIND, 1, truncated=False)
    records: list[Record] = [use("/usr/bin/app"), asked]
    for entries, looked_up in (("", ["/etc/found"]), (INJECTED, [])):
        plan = _decided(root, entries, (records, "fanotify", "load")).plan
        assert [risk.path for risk in plan.risks if risk.reason == "looked-up"] == looked_up


@pytest.mark.parametrize("pattern", [FIND, "/bin/find", "/**/find", "/usr/bin/f*", "/bin/[f]ind"])
def test_a_program_of_the_containers_own_is_left_out_where_every_user_is_told(
    root: Path, pattern: str
) -> None:
    entry = f"{{exe: '{pattern}', reason: r}}"
    decision = _decided(root, entry, (_scan(1), "ebpf-tracepoints", "load"))
    assert kept_files(decision, root) == {*FILES, "/bin"} - UNUSED
    with pytest.raises(ParedownError, match=r"leave out exe .* fanotify, tells .* first user only"):
        _decided(root, entry, (_scan(1), "fanotify", "load"))


def test_a_recorder_that_nobody_knows_bears_nothing(root: Path) -> None:
    with pytest.raises(ParedownError, match="its recorder, new,"):
        _decided(root, INJECTED, (_scan(2), "new", "load"))


def test_other_runs_and_scenarios_count(root: Path) -> None:
    runs = ((_scan(2), "fanotify", "scan"), (_scan(2), "fanotify", "load"))
    entry = "{session: injected, scenario: scan, reason: r}"
    decision = _decided(root, entry, *runs)
    assert kept_files(decision, root) == {*FILES, "/bin"}
    assert decision.plan.left_out == (LeftOut("injected", None, "r", 0, "scan"),)
    (evidence,) = (each for each in decision.plan.evidence if each.path == "/etc/found")
    assert {decision.plan.sessions[int(n)].run for n in (evidence.seen or "").split(",")} == {1}
    assert kept_files(_decided(root, INJECTED, *runs), root) == {*FILES, "/bin"} - UNUSED - {
        "/etc/odd"
    }


def test_an_exe_that_matches_only_in_a_run_that_bears_it_is_left_out(root: Path) -> None:
    runs = ((_scan(1), "ebpf-tracepoints", "scan"), ([use("/usr/bin/app")], "fanotify", "load"))
    assert FIND not in _decided(root, f"{{exe: {FIND}, reason: r}}", *runs).kept


def test_the_first_entry_that_names_a_use_counts(root: Path) -> None:
    entries = f"{{session: injected, exe: {FIND}, reason: r}}, {INJECTED}"
    left_out = _decided(root, entries, (_scan(2), "fanotify", "load")).plan.left_out
    assert {(each.reason, each.files) for each in left_out} == {("r", 2), ("no load", 1)}


def test_what_matches_nothing_is_warned_of(root: Path) -> None:
    decision = _decided(root, "{exe: /usr/bin/fnid, reason: r}", (_scan(2), "fanotify", "load"))
    assert decision.warnings[0] == (
        "the policy leaves out exe /usr/bin/fnid (line 2, $.leave_out[0]), which no run has"
    )
    assert decision.plan.left_out == (LeftOut(None, "/usr/bin/fnid", "r", 0),)


def test_truncated_and_made_files_are_left_out_too(root: Path) -> None:
    uses = [
        use("etc/found", truncated=True, exe=FIND, session=2),
        use("/etc/new", how="write", exe=FIND, session=2),
        use("/usr/bin/app"),
    ]
    decision = _decided(root, INJECTED, (uses, "fanotify", "load"))
    assert {path for path in decision.kept if path.startswith("/etc")} == set()


def test_an_entry_needs_a_session_or_a_program() -> None:
    with pytest.raises(ParedownError, match=r"line 2: \$\.leave_out\[0\]"):
        parse_policy("version: 1\nleave_out: [{reason: r, scenario: load}]")
    with pytest.raises(ParedownError, match=r"line 2: \$\.leave_out\[0\]\.session"):
        parse_policy("version: 1\nleave_out: [{reason: r, session: container}]")


@pytest.mark.parametrize(
    ("pattern", "path", "named"),
    [
        ("/usr/bin/find", "/usr/bin/find", True),
        ("/usr/bin/find", "/usr/bin/find2", False),
        ("/usr/*", "/usr/bin/find", False),
        ("/*/bin/?ind", "/usr/bin/find", True),
        ("/**", "/usr/bin/find", True),
        ("/**/bin/**/find", "/usr/bin/find", True),
        ("/**/bin/**/find", "/usr/bin/a/b/find", True),
        ("/**/bin/**/find", "/usr/sbin/find", False),
        ("/opt/{a}/[[]x]", "/opt/{a}/[x]", True),
        ("/opt/{a}", "/opt/b", False),
        ("/" + "**/a*/" * 20 + "b", "/" + "a/" * 500 + "c", False),  # in no time
    ],
)
def test_patterns_name_programs_that_the_image_lacks(pattern: str, path: str, named: bool) -> None:
    assert names(pattern, path) is named
