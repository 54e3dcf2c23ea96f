"""The trace file while it is written: always readable, also on a full disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from paredown_agent.output import Output
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import File, Header, Loss, Record, read_trace

HEADER = Header("run", "0", "6", "fanotify", "linux/amd64", "rootfs", (), None, None, 0)


def _file(path: str, *, truncated: bool = False) -> File:
    return File(path, "read", "file", 1, "/bin/x", 1, 1, 1, 1, 1, truncated, held=False)


def test_what_exists_is_kept_without_force(tmp_path: Path) -> None:
    trace = tmp_path / "app\n.trace"
    trace.write_bytes(b"old")
    with pytest.raises(
        ParedownError, match=r"cannot write .*app\\x0a.trace: File exists"
    ) as failed:
        Output(str(trace), force=False)
    assert "--force" in failed.value.hint
    assert trace.read_bytes() == b"old"


def test_force_keeps_the_old_trace_until_there_is_a_new_one(tmp_path: Path) -> None:
    trace = tmp_path / "app.trace"
    trace.write_bytes(b"old" * 1000)
    Output(str(trace), force=True).discard()
    assert trace.read_bytes() == b"old" * 1000
    output = Output(str(trace), force=True)
    output.write([HEADER, _file("/a")])
    assert output.finish([], 5) == []
    assert read_trace(trace).verdict == "complete"


def test_a_directory_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ParedownError, match="cannot write .*: No such file"):
        Output(str(tmp_path / "missing/app.trace"), force=False)


def test_discard_removes_what_it_made(tmp_path: Path) -> None:
    trace = tmp_path / "app.trace"
    Output(str(trace), force=False).discard()
    assert not trace.exists()


@pytest.mark.parametrize(
    ("records", "given", "reasons"),
    [
        ([_file("/a")], [], []),
        ([], [], ["nothing was recorded"]),
        (
            [_file("/a"), Loss("queue", 7, 1), Loss("ring", 2, 1)],
            [],
            ["lost 9 events (queue, ring)"],
        ),
        ([_file("/a"), Loss("queue", None, 1)], [], ["lost uncounted events (queue)"]),
        ([_file("/a", truncated=True)], ["late attach"], ["late attach", "truncated paths"]),
    ],
)
def test_the_verdict_is_what_a_reader_finds(
    tmp_path: Path, records: list[Record], given: list[str], reasons: list[str]
) -> None:
    trace = tmp_path / "app.trace"
    output = Output(str(trace), force=False)
    output.write([HEADER, *records])
    assert output.finish(given, 5) == reasons
    read = read_trace(trace)
    assert list(read.reasons) == reasons
    assert read.verdict == ("partial" if reasons else "complete")


def test_a_full_disk_is_told_once_and_raises_nothing() -> None:
    output = Output("/dev/full", force=True)
    output.write([HEADER])
    assert output.failure == "cannot write /dev/full: No space left on device"
    output.write([_file("/a")])
    output.finish([], 5)
    output.close()


def test_records_reach_the_disk_at_once(tmp_path: Path) -> None:
    trace = tmp_path / "app.trace"
    output = Output(str(trace), force=False)
    output.write([HEADER])
    output.write([_file("/a")])
    assert [file.path for file in read_trace(trace).runs[0].files()] == ["/a"]
    output.close()
