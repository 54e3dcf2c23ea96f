"""Everything that strace sees used of an image, from the first exec on, is in the trace."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from applications import APPLICATIONS, REDIS, Application
from completeness import SCRIPT, missing
from fixture_types import Require


@pytest.mark.parametrize("recorder", ["fanotify", "ebpf-tracepoints"])
@pytest.mark.parametrize("application", [*APPLICATIONS, REDIS, SCRIPT], ids=lambda a: a.name)
@pytest.mark.usefixtures("recording", "serve", "nginx_rootfs", "flask_rootfs")
def test_nothing_that_strace_sees_is_missing(
    application: Application, recorder: str, tmp_path: Path, require: Require
) -> None:
    require(shutil.which("strace") is not None, "strace is not installed")
    seen, lacking = missing(application, recorder, tmp_path)
    assert len(seen) > 15
    assert lacking == set()
