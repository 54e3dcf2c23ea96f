"""Outputs appear whole or not at all, whenever their writer is killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paredown_minimizer.image import staging

_WRITER = """
import sys
from pathlib import Path
from paredown_minimizer.image import staging

with getattr(staging, sys.argv[1])(sys.argv[2], force=True) as new:
    (new / "half").mkdir() if isinstance(new, Path) else new.write(b"half")
    print("here", flush=True)
    sys.stdin.readline()
"""


@contextlib.contextmanager
def _directory(path: Path) -> Iterator[None]:
    with staging.staged_directory(str(path), force=True) as new:
        (new / "whole").mkdir()
        yield


@contextlib.contextmanager
def _file(path: Path) -> Iterator[None]:
    with staging.staged_file(str(path), force=True) as file:
        file.write(b"whole")
        yield


WAYS = [("staged_directory", _directory), ("staged_file", _file)]


def _writing(way: str, path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _WRITER, way, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.communicate(b"\n", timeout=10)


@pytest.mark.parametrize(("way", "write"), WAYS)
def test_what_a_killed_writer_left_goes_with_the_next(
    way: str, write: Callable[[Path], contextlib.AbstractContextManager[None]], tmp_path: Path
) -> None:
    final = tmp_path / "out"
    process = _writing(way, final)
    process.kill()
    _end(process)
    assert not final.exists()
    assert len(list(tmp_path.iterdir())) == 1
    with write(final):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == [final]


@pytest.mark.parametrize(("way", "write"), WAYS)
def test_who_still_writes_is_left_alone(
    way: str, write: Callable[[Path], contextlib.AbstractContextManager[None]], tmp_path: Path
) -> None:
    final = tmp_path / "out"
    process = _writing(way, final)
    with write(final):
        assert len(list(tmp_path.iterdir())) == 2
    _end(process)
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == [final]


def test_what_stood_there_comes_back_from_between_the_two_renames(tmp_path: Path) -> None:
    stage = tmp_path / ".out.paredown-abc"
    (stage / "old" / "original").mkdir(parents=True)
    (stage / "new").mkdir()
    with (
        pytest.raises(KeyboardInterrupt),
        staging.staged_directory(str(tmp_path / "out"), force=True),
    ):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(tmp_path / "out") == ["original"]
