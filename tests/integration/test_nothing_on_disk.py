"""Nothing of an image touches the disk on its way: strace sees what is opened for writing."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from archives import archive, layer
from fixture_types import MakeTrace, Require
from layouts import GZIP, PLAIN, ZSTD, Layout
from paredown_minimizer.image.source import open_image
from traces import use

# More than is ever held back in a buffer, and does not compress to nothing.
LAYERS = [layer("app/", ("app/run", os.urandom(3 << 20))), layer(("more", "x" * (5 << 20)))]
_OPENED = re.compile(
    r'open(?:at2?)?\((?:AT_FDCWD[^,]*, |\d+[^,]*, )?"([^"]*)", [^)]*(?:O_WRONLY|O_RDWR)'
)
_OTHER = re.compile(r"\b(creat|mknod|mknodat|truncate|link|linkat|symlinkat)\(")


def _gzip(tmp_path: Path) -> str:
    place = Layout(tmp_path / "in")
    place.index(place.manifest(LAYERS, GZIP))
    command = ["tar", "-C", str(place.path), "-cf", f"{tmp_path}/in.tar", "."]
    subprocess.run(command, check=True)
    return f"oci-archive:{tmp_path}/in.tar"


def _zstd(tmp_path: Path) -> str:
    place = Layout(tmp_path / "in")
    return f"oci-dir:{place.index(place.manifest(LAYERS, ZSTD))}"


def _plain(tmp_path: Path) -> str:
    place = Layout(tmp_path / "in")
    return f"oci-dir:{place.index(place.manifest(LAYERS, PLAIN))}"


def _compressed_archive(tmp_path: Path) -> str:
    data = archive(tmp_path / "in.tar", LAYERS, compress=True).read_bytes()
    (tmp_path / "in.tar.gz").write_bytes(gzip.compress(data, 1))
    return f"docker-archive:{tmp_path}/in.tar.gz"


def _piped(tmp_path: Path) -> str:
    """Stand in for docker: what it says is a pipe, whatever says it."""
    archive(tmp_path / "in.tar", LAYERS)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").write_text(f"#!/bin/sh\nexec cat {tmp_path}/in.tar\n")
    (tmp_path / "bin/docker").chmod(0o755)
    return "docker:any"


def _written(tmp_path: Path, name: str, *arguments: str) -> set[str]:
    """Run the command; return what it and its threads opened for writing or made."""
    log = tmp_path / f"{name}.strace"
    calls = "trace=?open,openat,?openat2,?creat,mknodat,truncate,linkat,symlinkat"
    strace = ["strace", "-f", "-qq", "-s", "4096", "-e", calls, "-o", str(log)]
    subprocess.run(
        [*strace, sys.executable, "-B", "-m", "paredown_minimizer", *arguments],
        check=True,
        capture_output=True,
    )
    lines = [line for line in log.read_text().splitlines() if "= -1" not in line]
    assert any(str(tmp_path) in line for line in lines)
    made = {match[1] for line in lines if (match := _OTHER.search(line))}
    opened = {match[1] for line in lines if (match := _OPENED.search(line))}
    return made | {path for path in opened if not path.startswith("/dev/")}


@pytest.mark.parametrize("source", [_gzip, _zstd, _plain, _compressed_archive, _piped])
def test_plan_and_apply_write_their_output_alone(
    tmp_path: Path,
    require: Require,
    make_trace: MakeTrace,
    monkeypatch: pytest.MonkeyPatch,
    source: Callable[[Path], str],
) -> None:
    require(shutil.which("strace") is not None, "strace is not installed")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", "/proc")  # nothing can be made there
    spec = source(tmp_path)
    with contextlib.closing(open_image(spec)) as image:
        trace = make_trace([use("/app/run")], identity=image.identity, platform=image.platform)
    out = tmp_path / "out"
    out.mkdir()
    plan = ["plan", spec, "--trace", str(trace), "-o", f"{out}/plan.json"]
    written = _written(tmp_path, "plan", *plan)
    assert written
    assert all(path.startswith(f"{out}/") for path in written)
    apply = ["apply", f"{out}/plan.json", spec, "-o", f"docker-archive:{out}/slim.tar"]
    written = _written(tmp_path, "apply", *apply)
    assert sorted(os.listdir(out)) == ["plan.json", "slim.tar"]
    assert len(written) == 1
    assert all(path.startswith(f"{out}/") for path in written)
