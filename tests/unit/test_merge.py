"""``paredown merge`` is the union of runs, and loses nothing of who saw what."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from fixture_types import MakeTrace
from paredown_minimizer.cli import main
from paredown_schemas.trace import read_trace, read_trace_file

A = "dir-sha256:" + "a" * 64
B = "dir-sha256:" + "b" * 64


def _merge(output: Path, *traces: Path) -> int:
    return main(["merge", *map(str, traces), "-o", str(output), "--force"])


def test_runs_are_ordered_and_each_once(make_trace: MakeTrace, tmp_path: Path) -> None:
    late = make_trace(["/b"], name="late", run="1", start=20, scenario="two", identity=A)
    early = make_trace(["/a"], name="early", run="2", start=10, scenario="one", identity=A)
    one, two = tmp_path / "one", tmp_path / "two"
    assert _merge(one, late, early, late) == 0
    assert _merge(two, early, late) == 0
    assert one.read_bytes() == two.read_bytes()
    trace = read_trace(one)
    assert trace.verdict == "complete"
    assert [run.header.scenario for run in trace.runs] == ["one", "two"]
    assert [[file.path for file in run.files()] for run in trace.runs] == [["/a"], ["/b"]]
    assert _merge(two, one, late) == 0
    assert one.read_bytes() == two.read_bytes()


def test_a_run_that_was_cut_stays_partial_and_hides_no_other(
    make_trace: MakeTrace, tmp_path: Path
) -> None:
    cut = make_trace(["/a", "/b"], name="cut", run="1", trailer=False, start=1)
    whole = make_trace(["/c"], name="whole", run="2", start=2)
    assert _merge(tmp_path / "all", cut, whole) == 0
    trace = read_trace(tmp_path / "all")
    assert [run.verdict for run in trace.runs] == ["partial", "complete"]
    assert trace.runs[0].reasons == ("the recorder ended without a trailer",)
    assert trace.runs[0].trailer is not None
    assert trace.runs[0].trailer.files == 2


def test_of_two_copies_of_a_run_the_whole_one_counts(make_trace: MakeTrace, tmp_path: Path) -> None:
    whole = make_trace(["/a", "/b"], name="whole")
    cut = tmp_path / "cut"
    cut.write_bytes(whole.read_bytes()[:-10])
    for order in ((cut, whole), (whole, cut)):
        assert _merge(tmp_path / "all", *order) == 0
        assert read_trace(tmp_path / "all") == read_trace(whole)


def test_damage_behind_the_end_is_not_washed_away(make_trace: MakeTrace, tmp_path: Path) -> None:
    trace = make_trace(["/a"])
    trace.write_bytes(trace.read_bytes() + b"more")
    assert _merge(tmp_path / "all", trace) == 0
    assert read_trace(tmp_path / "all").verdict == "partial"


@pytest.mark.parametrize(
    ("first", "second"),
    [({"identity": A}, {"identity": B}), ({}, {"platform": "linux/s390x"})],
)
def test_other_images_are_refused(
    make_trace: MakeTrace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    first: dict[str, str],
    second: dict[str, str],
) -> None:
    traces = [
        make_trace(["/a"], name="a", run="1", **first),
        make_trace(["/a"], name="b", run="2", **second),
    ]
    assert _merge(tmp_path / "all", *traces) == 4
    assert capsys.readouterr().err.startswith(f"error: cannot merge {traces[0]} and {traces[1]}: ")
    assert not (tmp_path / "all").exists()


def test_a_run_from_inside_a_container_is_taken(make_trace: MakeTrace, tmp_path: Path) -> None:
    inside = make_trace(["/a"], name="a", run="1", identity=None)
    known = make_trace(["/b"], name="b", run="2", identity=A)
    assert _merge(tmp_path / "all", inside, known) == 0


def test_to_standard_output(
    make_trace: MakeTrace, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    trace = make_trace(["/a"])
    assert main(["merge", str(trace), "-o", "-"]) == 0
    merged = capfdbinary.readouterr().out
    assert read_trace_file(io.BytesIO(merged), "stdout") == read_trace(trace)


def test_nothing_is_overwritten(make_trace: MakeTrace) -> None:
    trace = make_trace(["/a"])
    before = trace.read_bytes()
    assert main(["merge", str(trace), "-o", str(trace)]) == 1
    assert trace.read_bytes() == before
