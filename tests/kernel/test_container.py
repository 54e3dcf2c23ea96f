"""A container as runc makes it, on an overlay: what the kernel opens below is told of once."""

from __future__ import annotations

import collections
import subprocess
import sys
from pathlib import Path

import pytest

from container_tools import only_run
from fixture_types import Require
from recorders import NAMES, opened
from recording import PATIENCE

SCRIPT = (
    "for i in 1 2 3; do cat /etc/issue; done; ls /etc /etc/apt; cat /etc/*.conf;"
    "echo x >>/etc/issue; cat /etc/issue; perl -e 'open F, qq(</etc/issue) or die for 1..3'"
)


@pytest.mark.parametrize("recorder", NAMES)
def test_each_path_is_told_once_by_program_and_use(
    recorder: str, nginx_rootfs: Path, tmp_path: Path, require: Require
) -> None:
    opened(recorder, require).close()
    trace = tmp_path / "app.trace"
    command = [sys.executable, "-m", "paredown_agent", "record", "--recorder", recorder]
    command += ["--rootfs", str(nginx_rootfs), "-o", str(trace), "--", "sh", "-euc", SCRIPT]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=30 * PATIENCE)
    run = only_run(trace)
    assert run.header.recorder == recorder
    uses = collections.Counter(
        (record.session, record.path, record.how, record.kind, record.exe) for record in run.files()
    )
    assert len(uses) > 20
    assert [use for use, times in uses.items() if times > 1] == []
    paths = {use[1] for use in uses}
    assert {"/etc/issue", "/etc/apt", "/etc/host.conf", "/usr/bin/perl"} <= paths
    assert not [path for path in paths if path.startswith((str(nginx_rootfs), "/tmp", "/run"))]
