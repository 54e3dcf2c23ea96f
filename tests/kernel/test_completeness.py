"""Nothing that strace sees is missing from what a recorder tells."""

from __future__ import annotations

import platform
import stat
from pathlib import Path

import pytest

import strace_witness
from fixture_types import Require
from paredown_agent.recorder.base import Recorder
from paredown_schemas.trace import Loss, Session
from recording import files, paths, run, shell

# Run as a container's first program; the sleeps stand where a recorder in user space is allowed to
# be late: fanotify shows the name that a file has when its event is read.
SCRIPT = r"""
cd /tmp
ls /etc/apt >/dev/null
cat /etc/debian_version >copy
mkdir directory
ln -s /etc/issue link; cat link
echo one >first; ln first second; cat first; cat second
perl -e 1; perl5.36.0 -e 1
cat /etc/profile; sleep 0.3; mv /etc/profile /etc/renamed; cat /etc/renamed
mkdir /mnt/bind; mount --bind /etc/default /mnt/bind; cat /mnt/bind/useradd
mkdir jail; mount --bind / jail; chroot jail cat /etc/bash.bashrc
perl -e 'chroot "/etc" or die; open F, "/host.conf" or die'
unshare --mount cat /etc/shells
echo gone >open; exec 3<open; rm open; cat <&3; exec 3<&-
odd="$(printf 'new\nline \033\\"\377')"; echo odd >"$odd"; cat "$odd"
echo real >'really (deleted)'; cat 'really (deleted)'
printf '#!/bin/sh\ncat /etc/issue.net\n' >script; chmod +x script; ./script
printf '#!/tmp/script\n' >nested; chmod +x nested; ./nested
perl -e '$n = "/etc/pam.conf"; $h = pack "Q3"; syscall(437, -100, $n, $h, 24) >= 0 or die'
env true
(exec id)
"""
CREAT = """
perl -e '$n = "/tmp/created"; syscall(85, $n, 0600) >= 0 or die'
"""
# What strace names by where it was mounted lies elsewhere in the superblock.
BINDS = {"/mnt/bind": "/etc/default", "/tmp/jail": ""}


def new_names(recorder: Recorder) -> set[str]:
    """fanotify looks at an image's inode no more once it has a name: a later one is lost.

    No image has such a name.
    """
    return {"/etc/renamed"} if recorder.name == "fanotify" else set()


def script() -> str:
    # Newer architectures have no creat.
    return SCRIPT + (CREAT if platform.machine() == "x86_64" else "")


def witnessed(uses: strace_witness.Uses, root: Path) -> set[str]:
    """Regular files and directories of the overlay, by their path inside it."""
    found = set()
    for path in uses.opened | uses.executed:
        point = next((p for p in BINDS if path == p or path.startswith(p + "/")), None)
        inside = path if point is None else (BINDS[point] + path[len(point) :]) or "/"
        if not _is_special(root / inside.lstrip("/")):
            found.add(inside)
    return found


def _is_special(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False  # renamed or removed since
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@pytest.fixture
def strace(require: Require, tmp_path: Path) -> Path:
    """Where strace may write, if it may trace."""
    log = tmp_path / "strace"
    try:
        strace_witness.run(["true"], tmp_path / "probe")
    except OSError as error:
        require(False, f"strace cannot trace here: {error}")
    return log


def test_records_what_strace_sees(watching: Recorder, root: Path, strace: Path) -> None:
    records = run(watching, [*strace_witness.arguments(strace), *shell(root, script())])
    records += watching.finish()
    expected = witnessed(strace_witness.read_log(strace, root), root)
    assert len(expected) > 40
    assert '/tmp/new\nline \x1b\\"\udcff' in expected
    assert expected - paths(records) <= new_names(watching)
    assert not [record for record in records if isinstance(record, Loss)]


def test_records_the_same_at_full_speed(watching: Recorder, root: Path) -> None:
    records = [*run(watching, shell(root, script())), *watching.finish()]
    found = paths(records)
    assert {
        "/etc/apt", "/etc/debian_version", "/etc/issue", "/tmp/first", "/tmp/second",
        "/usr/bin/perl", "/usr/bin/perl5.36.0", "/etc/profile", "/etc/renamed",
        "/etc/default/useradd", "/etc/bash.bashrc", "/etc/host.conf", "/etc/shells", "/tmp/open",
        '/tmp/new\nline \x1b\\"\udcff', "/tmp/really (deleted)", "/tmp/script", "/tmp/nested",
        "/etc/issue.net", "/etc/pam.conf", "/usr/bin/env", "/usr/bin/true", "/usr/bin/id",
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
    } - found <= new_names(watching)  # fmt: skip
    assert not any(path.startswith(("/mnt/bind/", "/tmp/jail/")) for path in found)
    assert not any(record.truncated for record in files(records))
    assert not [record for record in records if isinstance(record, Loss)]
    assert [r.kind for r in records if isinstance(r, Session)] == ["container"]


def test_says_how_each_was_used(watching: Recorder, root: Path) -> None:
    program = "printf '#!/bin/sh\\ncat /etc/issue\\n' >/tmp/s; chmod +x /tmp/s; /tmp/s; ls /etc"
    records = [*run(watching, shell(root, program)), *watching.finish()]
    how: dict[str, set[str]] = {}
    for record in files(records):
        how.setdefault(record.path, set()).add(record.how)
    assert "exec" in how["/usr/bin/dash"]
    assert "exec" in how["/usr/bin/cat"]
    assert "write" in how["/tmp/s"]
    assert how["/etc/issue"] == {"read"}
    assert how["/etc"] == {"directory"}
    assert how["/usr/lib/x86_64-linux-gnu/libc.so.6"] == {"library"}
    if watching.name != "bcc":
        assert how["/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"] == {"loader"}
    if watching.name != "fanotify":  # which knows a file's first user only
        assert "interpreter" in how["/usr/bin/dash"]


def test_says_how_exec_used_each(watching: Recorder, root: Path) -> None:
    """Scripts of scripts, and what is opened and not runnable; only tracepoints miss these."""
    program = r"""
    printf '#!/bin/sh\ncat /etc/issue\n' >/tmp/s; chmod +x /tmp/s
    printf '#!/tmp/s\n' >/tmp/nested; chmod +x /tmp/nested; /tmp/nested
    echo : >/tmp/text; chmod +x /tmp/text; /tmp/text # the shell reads it itself
    """
    records = [*run(watching, shell(root, program)), *watching.finish()]
    how = {
        name: {r.how for r in files(records) if r.path == f"/tmp/{name}"} - {"read"}
        for name in ("s", "nested", "text")
    }
    seen = {"s": {"write"}, "nested": {"write"}, "text": {"write"}}
    if watching.name not in ("ebpf-tracepoints", "bcc"):
        seen["s"].add("interpreter")
        seen["nested"].add("script")
        seen["text"].add("script")
    assert how == seen


def test_names_the_program_for_certain(watching: Recorder, root: Path) -> None:
    records = run(watching, shell(root, "cat /etc/issue; perl -e 'open F, \"/etc/fstab\" or die'"))
    users = {record.path: record.exe for record in files(records)}
    assert users["/etc/issue"] in ("/usr/bin/cat", None)
    assert users["/etc/fstab"] in ("/usr/bin/perl", None)
    assert "/usr/bin/cat" in users.values()
