"""A directory that somebody else changes while it is written: nothing lands outside of it.

Whoever races wins each time here: what was just made is replaced by a link that leads out before
the writer's next call.
"""

from __future__ import annotations

import contextlib
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from archives import archive, layer, link
from fixture_types import Require
from paredown_minimizer.image.directory_write import _TreeWriter
from paredown_minimizer.image.docker_archive import open_archive
from paredown_schemas.errors import ParedownError

CONTENT = layer(
    "a/",
    ("a/f", {"data": b"text", "mode": 0o4755, "uid": 7}),
    "b/",
    link("b/h", "a/f", hard=True),
    ("b/p", {"type": tarfile.FIFOTYPE, "mode": 0o666, "uid": 7}),
    ("b/x/f", {"data": b"text", "mode": 0o4755, "uid": 7}),
)


def state(directory: Path) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for path in (directory, *sorted(directory.iterdir())):
        status = os.lstat(path)
        times = (status.st_mtime_ns, status.st_ctime_ns)
        found.append((path.name, status.st_mode, status.st_uid, status.st_nlink, *times))
    return found


@pytest.mark.parametrize(
    ("call", "victim", "refused"),
    [
        ("mkdir", "a", True),
        ("mkdir", "x", True),
        ("mknod", "p", True),
        ("link", "h", False),  # nothing is done to it any more
    ],
)
def test_what_takes_a_names_place_is_not_followed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    require: Require,
    call: str,
    victim: str,
    refused: bool,
) -> None:
    require(os.geteuid() == 0, "to write owners takes root")
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "f").write_text("kept")
    target = outside if call == "mkdir" else outside / "f"
    before = state(outside)
    real = getattr(os, call)
    raced = []

    def racing(name: bytes, *arguments: Any, **options: Any) -> None:
        real(name, *arguments, **options)
        made = arguments[0] if call == "link" else name
        if made == victim.encode():
            directory = options.get("dir_fd", options.get("dst_dir_fd"))
            os.rename(made, made + b".away", src_dir_fd=directory, dst_dir_fd=directory)
            os.symlink(target, os.fsdecode(made), dir_fd=directory)
            raced.append(made)

    path = archive(tmp_path / "a.tar", [CONTENT])
    (tmp_path / "new").mkdir()
    with contextlib.closing(open_archive(str(path))) as image, monkeypatch.context() as patch:
        patch.setattr(os, call, racing)
        expected = pytest.raises(ParedownError, match="^cannot write ")
        with expected if refused else contextlib.nullcontext():
            _TreeWriter(image, tmp_path / "new", tmp_path / "tree").write()
    assert raced
    assert state(outside) == before
