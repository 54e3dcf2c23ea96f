"""A directory of traces: names, what concerns all, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from paredown_agent.recorder.base import Clock
from paredown_agent.tracedirectory import Subject, TraceDirectory
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import Header, Loss, Mark, Session, read_trace
from traces import use

HEADER = Header("", "0.1.0", "6.1.0", "ebpf", "linux/amd64", "container", (), None, None, 1)
A = "a" * 64


@pytest.fixture
def directory(tmp_path: Path) -> TraceDirectory:
    directory = TraceDirectory(str(tmp_path / "traces"), Clock(), force=False)
    directory.begin(HEADER)
    return directory


@pytest.mark.parametrize(
    ("name", "id_", "title"),
    [
        ("web", A, "web-aaaaaaaaaaaa"),
        ("shop/web-1/nginx", A, "shop_web-1_nginx-aaaaaaaaaaaa"),
        ("../../etc/\x1b[31m\udcff", A, "_.._etc___31m_-aaaaaaaaaaaa"),
        ("", A, "container-aaaaaaaaaaaa"),
        ("x" * 300, A, "x" * 100 + "-aaaaaaaaaaaa"),
        ("job", "job", "job"),
        ("job", "job-of-today-at-noon", "job-job-of-today-at-noon"),
    ],
)
def test_file_names_are_plain(name: str, id_: str, title: str) -> None:
    assert Subject(id=id_, name=name).title == title


def test_what_was_lost_is_told_to_all_that_were_watched(directory: TraceDirectory) -> None:
    early, late = Subject("1", "early"), Subject("2", "late")
    owners = {1: early, 2: late}
    directory.follow(lambda session: owners[session.id])
    directory.take([Loss("queue", 1, 5), Session(1, "container", 10, 6), use("/a", session=1)])
    directory.take([Loss("queue", 2, 7)])
    assert directory.mark(Mark("load", 8)) == ""
    late.since = 6
    directory.take([Session(2, "container", 11, 9), use("/b", session=2)])
    lines = directory.finish([])
    runs = {
        subject: read_trace(Path(directory.path, f"{subject.title}.trace")).runs[0]
        for subject in (early, late)
    }
    losses = {
        subject: [each.count for each in run.records if isinstance(each, Loss)]
        for subject, run in runs.items()
    }
    assert losses == {early: [1, 2], late: [2]}
    assert [file.path for file in runs[late].files()] == ["/b"]
    assert all(any(isinstance(each, Mark) for each in run.records) for run in runs.values())
    assert runs[early].header.run != runs[late].header.run
    assert runs[early].header.container == "1"
    assert [line.split()[0] for line in lines[:2]] == ["early-1.trace", "late-2.trace"]
    assert lines[0].endswith("partial (lost 3 events (queue))")
    assert lines[-1].startswith("Recorded 2 containers in ")


def test_a_container_that_comes_again_gets_a_further_trace(directory: TraceDirectory) -> None:
    subject = Subject("1", "web")
    for _ in range(2):
        directory.write(subject, [use("/a")])
        directory.end(subject)
    names = sorted(path.name for path in Path(directory.path).iterdir())
    assert names == ["web-1-2.trace", "web-1.trace"]


def test_a_trace_that_cannot_be_written_ends_no_other(
    directory: TraceDirectory, tmp_path: Path
) -> None:
    (tmp_path / "traces").rename(tmp_path / "elsewhere")
    directory.write(Subject("1", "a"), [use("/a")])
    (tmp_path / "elsewhere").rename(tmp_path / "traces")
    directory.write(Subject("2", "b"), [use("/b")])
    directory.finish([])
    assert "cannot write" in directory.failure
    assert not directory.broken
    assert [path.name for path in (tmp_path / "traces").iterdir()] == ["b-2.trace"]


def test_only_traces_are_replaced_and_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "a.trace").write_bytes(b"PDTRACE\0...")
    (tmp_path / "b.trace").write_bytes(b"something else")
    with pytest.raises(ParedownError, match="it has 1 trace"):
        TraceDirectory(str(tmp_path), Clock(), force=False)
    directory = TraceDirectory(str(tmp_path), Clock(), force=True)
    assert (tmp_path / "a.trace").exists()  # until there is something to put in its place
    directory.begin(HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["b.trace"]
