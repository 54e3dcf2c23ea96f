"""Opening beneath a directory, with openat2 and without; strace is the witness."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixture_types import Require
from paredown_minimizer.image import beneath
from paredown_minimizer.image.beneath import open_beneath

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@pytest.fixture(params=[True, False], ids=["openat2", "openat"])
def directory(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    require: Require,
) -> Iterator[int]:
    if request.param:
        require(beneath._has_openat2(), "this kernel has no openat2")
    monkeypatch.setattr(beneath, "_has_openat2", lambda: request.param)
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/secret").touch()
    descriptor = os.open(tmp_path / "in", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_what_lies_there_is_opened(directory: int, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        new = open_beneath(directory, b"f\xff", NEW, 0o640)
    finally:
        os.umask(before)
    assert not os.get_inheritable(new)
    os.write(new, b"text")
    os.close(new)
    (found,) = os.listdir(os.fsencode(tmp_path / "in"))
    assert found == b"f\xff"
    assert os.stat(found, dir_fd=directory).st_mode & 0o777 == 0o640
    with pytest.raises(FileExistsError):
        open_beneath(directory, b"f\xff", NEW, 0o640)


@pytest.mark.parametrize("target", ["../out", "../out/none", "/", "."])
def test_links_are_not_followed(directory: int, tmp_path: Path, target: str) -> None:
    (tmp_path / "in/link").symlink_to(target)
    for flags in (os.O_RDONLY | os.O_DIRECTORY, NEW, os.O_WRONLY | os.O_CREAT):
        with pytest.raises(OSError, match=r"symbolic links|Not a directory|File exists"):
            open_beneath(directory, b"link", flags, 0o600 if flags & os.O_CREAT else 0)
    assert os.listdir(tmp_path / "out") == ["secret"]


def test_nothing_above_is_opened_though_a_name_says_so(tmp_path: Path, require: Require) -> None:
    require(beneath._has_openat2(), "this kernel has no openat2")
    (tmp_path / "in").mkdir()
    directory = os.open(tmp_path / "in", os.O_RDONLY)
    for name in (b"..", b"../f", b"/etc", str(tmp_path).encode()):
        with pytest.raises(OSError, match="cross-device"):
            open_beneath(directory, name, os.O_RDONLY)
    os.close(directory)


def test_a_tree_is_written_by_openat2(tmp_path: Path, require: Require) -> None:
    require(shutil.which("strace") is not None, "strace is not installed")
    require(beneath._has_openat2(), "this kernel has no openat2")
    (tmp_path / "in/d").mkdir(parents=True)
    (tmp_path / "in/d/file-of-the-image").write_text("x")
    program = (
        "import sys; from paredown_minimizer.image.source import open_image, write_image;"
        "from paredown_minimizer.image.slim import Provenance;"
        "write_image(open_image(sys.argv[1]), sys.argv[2], Provenance('', '', ''), force=False)"
    )
    command = ["strace", "-f", "-o", str(tmp_path / "log"), "-e", "trace=open,openat,openat2,creat"]
    arguments = [sys.executable, "-c", program, f"dir:{tmp_path}/in", f"dir:{tmp_path}/out"]
    subprocess.run([*command, *arguments], check=True, capture_output=True)
    lines = [line for line in (tmp_path / "log").read_text().splitlines() if "O_CREAT" in line]
    (line,) = (line for line in lines if "file-of-the-image" in line)
    assert "openat2(" in line
    assert "RESOLVE_BENEATH" in line
    assert (tmp_path / "out/d/file-of-the-image").read_text() == "x"
