"""The command's habits: exit codes, where output goes, what stands on stderr."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fixture_types import MakeTrace, Require
from paredown_minimizer import cli, output
from paredown_schemas import __version__
from paredown_schemas.errors import DamagedInputError, ParedownError

PAREDOWN = [sys.executable, "-m", "paredown_minimizer"]


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PAREDOWN, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = _run(command, "--help")
    assert result.returncode == 0, result.stderr
    assert f"usage: paredown {command}" in result.stdout
    assert command in _run("--help").stdout


def test_help_is_quick() -> None:
    """The median of five: under 0.15 s of CPU beyond what the interpreter itself takes."""

    def median(*command: str) -> float:
        times = []
        for _ in range(5):
            before = _children_took()
            subprocess.run(command, capture_output=True, check=True)
            times.append(_children_took() - before)
        return sorted(times)[2]

    assert median(*PAREDOWN, "--help") - median(sys.executable, "-c", "") < 0.15


def _children_took() -> float:
    taken = resource.getrusage(resource.RUSAGE_CHILDREN)
    return taken.ru_utime + taken.ru_stime


def test_version() -> None:
    assert _run("--version").stdout == f"paredown {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["frobnicate"], ["inspect"], ["merge", "x"], ["check", "x"]]
)
def test_usage_is_2(arguments: list[str]) -> None:
    result = _run(*arguments)
    assert result.returncode == 2
    assert "usage: paredown" in result.stderr
    assert result.stdout == ""


def test_errors_are_one_line_and_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error, expected in (
        (ParedownError("cannot do x: y"), ("error: cannot do x: y\n", 1)),
        (DamagedInputError("cannot z: w", hint="try"), ("error: cannot z: w\nhint: try\n", 4)),
        (KeyboardInterrupt(), ("", 130)),
    ):

        def fail(_: object, error: BaseException = error) -> int:
            raise error

        monkeypatch.setattr(cli, "_run", fail)
        assert (cli.main([]), capsys.readouterr().err) == (expected[1], expected[0])


def test_a_closed_pipe_is_quiet(make_trace: MakeTrace) -> None:
    trace = make_trace([f"/{number}" for number in range(20_000)])
    process = subprocess.Popen(
        [*PAREDOWN, "inspect", "--files", str(trace)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(10)


def test_an_interrupt_is_quiet(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    process = subprocess.Popen(
        [*PAREDOWN, "inspect", str(tmp_path / "fifo")], stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    # Once it has the other end open it waits for data.
    with (tmp_path / "fifo").open("wb"):
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_full_disk_behind_stdout_is_told(make_trace: MakeTrace, require: Require) -> None:
    require(Path("/dev/full").exists(), "there is no /dev/full")
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [*PAREDOWN, "inspect", str(make_trace(["/x"]))],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.stderr == "error: cannot write standard output: No space left on device\n"
    assert result.returncode == 1


def test_output_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "out"
    output.write_output(str(path), "one", force=False)
    with pytest.raises(ParedownError, match="exists already") as caught:
        output.write_output(str(path), "two", force=False)
    assert "--force" in caught.value.hint
    assert path.read_text() == "one"
    output.write_output(str(path), "two", force=True)
    assert path.read_text() == "two"
    assert list(tmp_path.iterdir()) == [path]


def test_output_follows_a_link_and_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    output.write_output(str(tmp_path / "link"), "new", force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_full_disk_leaves_nothing(tmp_path: Path, require: Require) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=False
    )
    require(mounted.returncode == 0, "no tmpfs can be mounted")
    try:
        (tmp_path / "old").write_text("old")
        for name in ("new", "old"):
            with pytest.raises(ParedownError, match=f"cannot write .*{name}: No space left"):
                output.write_output(str(tmp_path / name), b"x" * 200_000, force=True)
        assert [path.name for path in tmp_path.iterdir()] == ["old"]
        assert (tmp_path / "old").read_text() == "old"
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_output_honours_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        output.write_output(str(tmp_path / "out"), "x", force=False)
    finally:
        os.umask(old)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (183_100_000, "183.1 MB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (10**21, "1000.0 EB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert output.human_size(size) == text
