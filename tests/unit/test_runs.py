"""Which run, scenario and session saw what, from traces to plan and back."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisions import Manager, make_tree
from many_runs import make_traces
from paredown_minimizer.decide import decide
from paredown_minimizer.explain import explain
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.packages.combined import NO_PACKAGES
from paredown_minimizer.policy import Policy
from paredown_minimizer.profile import profile
from paredown_minimizer.runs import PlanRuns, SeenIn
from paredown_minimizer.sessions import Sessions
from paredown_minimizer.traced import traced_evidence
from paredown_minimizer.traces import read_runs
from paredown_schemas.plan import Evidence, Plan, TraceSession, dump_plan, load_plan
from paredown_schemas.ranges import fold, unfold
from paredown_schemas.trace import File, Process, Record, Run, Session
from plans import example_plan
from traces import trace_records, use, write_trace

PACKAGES = {"always": ["/a"], "late": ["/b"], "probe": ["/c"], "never": ["/d"]}


def _process(session: int, exe: str | None, time: int = 0) -> Process:
    return Process(session, 1, exe, 0, 0, time)


def _runs(directory: Path) -> list[Run]:
    """Three runs: each uses /a, the last /b too, and a check from outside in the first two /c."""
    paths = []
    for number, scenario in enumerate(("one", "two", None)):
        files = [use("/a"), *([use("/b")] if number == 2 else [])]
        records: list[Record] = [_process(1, "/app", 5)]
        for probe in (2, 3) if number < 2 else ():
            records += [Session(probe, "injected", 9, 7), _process(probe, "/bin/sh", 8)]
            records += [_process(probe, "/bin/curl", 9)]
            files.append(use("/c", session=probe))
        path = directory / f"{number}.trace"
        run, start = f"run{9 - number}", (10 + number) * 10**9
        records = trace_records(files, records=records, run=run, start=start, scenario=scenario)
        paths.append(str(write_trace(path, records)))
    return read_runs(paths, accept_partial=False)


def _plan(directory: Path, runs: list[Run]) -> Plan:
    root = directory / "tree"
    if not root.exists():
        make_tree(root, {path: "x" for paths in PACKAGES.values() for path in paths})
    image = open_directory(str(root))
    try:
        plan = decide(image, Manager(PACKAGES), runs, Policy(), "package").plan
    finally:
        image.close()
    return load_plan(dump_plan(plan), "plan")  # what is asked is what was written and read again


def test_runs_are_told_by_start_and_sessions_by_kind_and_program(tmp_path: Path) -> None:
    plan = _plan(tmp_path, _runs(tmp_path))
    assert [trace.run for trace in plan.traces] == ["run9", "run8", "run7"]
    assert plan.sessions == (
        TraceSession(0, "container", "/app", 1),
        TraceSession(0, "injected", "/bin/sh", 2),
        TraceSession(1, "container", "/app", 1),
        TraceSession(1, "injected", "/bin/sh", 2),
        TraceSession(2, "container", "/app", 1),
    )
    seen = {evidence.path: evidence.seen for evidence in plan.evidence}
    assert seen == {"/a": "0,2,4", "/b": "4", "/c": "1,3"}


def test_who_saw_what_is_found_again(tmp_path: Path) -> None:
    plan = _plan(tmp_path, _runs(tmp_path))
    runs = PlanRuns(plan)
    evidence = {record.path: record for record in plan.evidence}
    assert runs.scenarios(evidence["/a"]) == ("one", "two")  # the third run has no name
    assert runs.scenarios(evidence["/b"]) == ()
    assert {session.kind for session in runs.sessions(evidence["/c"])} == {"injected"}
    assert {key: seen.phrase for key, seen in runs.packages.items()} == {
        "always:all": "seen in 3 of 3 runs",
        "late:all": "seen in 1 of 3 runs, new in the last run",
        "probe:all": "seen in 2 of 3 runs",
    }
    assert "  seen in 2 of 3 runs" in explain(plan, "probe")
    assert explain(plan, "/c")[1] == "  /c: traced in one, two"


def test_the_order_of_reading_changes_nothing(tmp_path: Path) -> None:
    texts = {
        dump_plan(_plan(tmp_path, list(order))) for order in itertools.permutations(_runs(tmp_path))
    }
    assert len(texts) == 1


def test_a_single_run_says_nothing_of_others() -> None:
    assert SeenIn(frozenset({0}), 1).phrase == ""
    assert not SeenIn(frozenset({0}), 1).new
    assert SeenIn(frozenset(), 3).phrase == ""
    assert SeenIn(frozenset({2}), 3).new
    assert not SeenIn(frozenset({1}), 3).new


def test_sessions_beyond_a_bound_are_told_by_kind(tmp_path: Path) -> None:
    records: list[Record] = []
    for number in range(2, 100):
        records += [Session(number, "injected", 9, number), _process(number, f"/{number:03}")]
    trace = write_trace(tmp_path / "t", trace_records([use("/a", session=99)], records=records))
    runs = read_runs([str(trace)], accept_partial=False)
    sessions = Sessions(runs)
    assert len(sessions.all) <= 17
    assert sum(session.count for session in sessions.all) == 99
    told = sessions.all[sessions.numbers(0)[99]]
    assert (told.kind, told.exe) == ("injected", None)


def test_a_session_that_the_trace_does_not_tell_of(tmp_path: Path) -> None:
    stray: list[str | File] = [use("/a", session=7)]
    runs = read_runs([str(write_trace(tmp_path / "t", trace_records(stray)))], accept_partial=False)
    plan = _plan(tmp_path, runs)
    (session,) = PlanRuns(plan).sessions(plan.evidence[0])
    assert session == TraceSession(0, "container", None, 2)


@given(st.sets(st.integers(0, 300)))
def test_folded_numbers_are_unfolded(numbers: set[int]) -> None:
    assert unfold(fold(numbers), 301) == numbers


def test_numbers_are_few_whatever_a_plan_claims() -> None:
    assert fold([7, 1, 0, 2, 1]) == "0-2,7"
    assert unfold("1-999999999,5", 4) == {1, 2, 3}
    plan = example_plan()
    odd = Evidence("/x", "traced", seen="0-999999999")
    assert PlanRuns(plan).sessions(odd) == plan.sessions
    astray = example_plan(sessions=(TraceSession(5, "container"),))
    assert PlanRuns(astray).scenarios(odd) == ()
    with pytest.raises(ValueError, match="invalid literal"):
        unfold("x", 4)


def test_many_runs_take_a_time_that_grows_with_their_files(tmp_path: Path) -> None:
    """Loose: of what fifty traces of 10,000 files may cost more than one, ten times as much."""
    tree = tmp_path / "tree"
    make_tree(tree, {f"/usr/lib/{number}": "x" for number in range(1_200)})
    traces = make_traces(tree, tmp_path, runs=30, files=1_000, pool=1_200)
    image = open_directory(str(tree))
    start = time.process_time()
    runs = read_runs(list(map(str, traces)), accept_partial=False)
    sessions = Sessions(runs)
    seen = traced_evidence(runs, image, sessions)
    assert profile(runs, sessions, seen, image.tree, NO_PACKAGES) is not None
    taken = time.process_time() - start
    image.close()
    assert taken < 30 * 1_000 * 10 * 3 / (50 * 10_000)
