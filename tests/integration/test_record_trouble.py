"""Bad surroundings: one clear line, exit code 125, and no half-made trace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_tools import RunAgent, only_run, paths
from fixture_types import Require


@pytest.fixture
def small_disk(require: Require, tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 16 kB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", place], check=False
    )
    require(mounted.returncode == 0, "a tmpfs cannot be mounted")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize(
    ("place", "cause"),
    [("missing", "No such file or directory"), ("file", "Not a directory"), ("/", "own root")],
)
def test_a_directory_that_is_none(agent: RunAgent, tmp_path: Path, place: str, cause: str) -> None:
    (tmp_path / "file").write_text("")
    trace = tmp_path / "app.trace"
    done = agent("record", "-o", trace, "--rootfs", tmp_path / place, "--", "true")
    assert done.returncode == 125
    assert done.stderr.startswith("error: cannot run a container in ")
    assert cause in done.stderr
    assert not trace.exists()


def test_an_output_that_exists_or_cannot_be_made(
    agent: RunAgent, nginx_rootfs: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "app.trace"
    trace.write_text("old")
    marker = tmp_path / "ran"
    for output in (trace, tmp_path / "missing/app.trace"):
        for target in (["--rootfs", str(nginx_rootfs)], []):
            done = agent("record", "-o", output, *target, "--", "touch", marker)
            assert done.returncode == 125
            assert done.stderr.startswith(f"error: cannot write {output}: ")
    assert trace.read_text() == "old"
    assert not marker.exists()


def test_a_full_disk_stops_the_recording_and_not_the_workload(
    agent: RunAgent, nginx_rootfs: Path, small_disk: Path
) -> None:
    trace = small_disk / "app.trace"
    script = "find /usr -type f -exec grep -l paredown {} + >/dev/null; sleep 1; echo done; exit {}"
    for own, status in ((0, 125), (9, 9)):
        done = agent(
            *("record", "--force", "-o", trace, "--rootfs", nginx_rootfs, "--"),
            *("sh", "-c", script.replace("exit {}", f"exit {own}")),
        )
        assert done.stdout == "done\n"
        assert done.returncode == status
        assert f"cannot write {trace}: No space left on device" in done.stderr
        run = only_run(trace)
        assert run.verdict == "partial"
        assert "/usr/bin/find" in paths(run)


def test_without_capabilities(recording: None, tmp_path: Path) -> None:
    del recording
    script = "import sys; sys.path[:] = %r; from paredown_agent.cli import main; sys.exit(main())"
    done = subprocess.run(
        [
            *("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--reuid", "0"),
            *(sys.executable, "-c", script % sys.path),
            *("record", "-o", str(tmp_path / "app.trace"), "--", "true"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 125
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: cannot record on this host: ")
    assert "CAP_" in "".join(lines[1:])
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "app.trace").exists()


def test_an_unknown_recorder(agent: RunAgent, tmp_path: Path) -> None:
    done = agent("record", "-o", tmp_path / "a", "--recorder", "magic", "--", "true")
    assert done.returncode == 125
    assert "cannot use recorder 'magic'" in done.stderr
    assert os.listdir(tmp_path) == []
