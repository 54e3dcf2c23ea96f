"""The witness must see what it is asked about, or the recorders are held against nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fixture_types import Require, StraceOpens


def test_descriptors_and_exec_are_resolved(strace_opens: StraceOpens, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / 'odd \n"<name>\\').write_text("x\n")
    (tmp_path / "real" / "script").write_text(
        "#!/bin/sh\ncd ..\nread x < 'link/odd \n\"<name>\\'\n"
    )
    (tmp_path / "real" / "script").chmod(0o755)
    opened = strace_opens(["sh", "-c", f"cd {tmp_path}/link; ( cd /; cat missing ); ./script"])
    here = str(tmp_path.resolve())
    assert f"{here}/real/script" in opened
    assert f'{here}/real/odd \n"<name>\\' in opened
    assert not any("missing" in path for path in opened)


def test_chroot_is_taken_off(
    require: Require, nginx_rootfs: Path, strace_opens: StraceOpens
) -> None:
    require(shutil.which("chroot") is not None, "chroot is not installed")
    opened = strace_opens(
        [
            "chroot",
            str(nginx_rootfs),
            "/bin/sh",
            "-c",
            "cd /etc; cat debian_version; ls >/dev/null",
        ],
        nginx_rootfs,
    )
    assert {"/usr/bin/dash", "/usr/bin/cat", "/etc/debian_version", "/etc"} <= opened
    assert "/etc/ld.so.cache" in opened


def test_a_failing_command_is_no_empty_success(strace_opens: StraceOpens) -> None:
    with pytest.raises(Exception, match="false"):
        strace_opens(["false"])
