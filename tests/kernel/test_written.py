"""Directories that a container writes to, by whatever call, are told when it ends."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from paredown_agent.mountinfo import Mount
from paredown_agent.recorder import upper
from paredown_agent.recorder.base import Recorder
from paredown_schemas.trace import Coverage, Record, Session
from recording import files, run, settle, shell, start, watch

# Calls that no recorder of opens sees; the last ones change nothing that a directory lists.
WRITES = """
mkdir /srv/new; mkdir -p /var/lib/deep/er
rm /etc/issue; mv /etc/default/useradd /usr/local/moved; ln -s x /opt/link
mkfifo /home/fifo; rmdir /media
chmod 700 /var/spool; chown 1 /var/opt; test -e /var/mail; ls /usr/share >/dev/null; touch -a /boot
"""


def written(records: Sequence[Record]) -> set[str]:
    return {f.path for f in files(records) if f.kind == "directory" and f.how == "write"}


def coverage(records: Sequence[Record]) -> list[Coverage]:
    return [r for r in records if isinstance(r, Coverage) and r.what == "directories"]


def test_whatever_was_made_changed_or_removed(watching: Recorder, root: Path) -> None:
    time.sleep(0.1)  # the session begins a clock's tick after its layer was made
    records = run(watching, shell(root, WRITES))
    settled = [*records, *settle(watching, 0.1)]
    assert written(settled) == {
        *("/", "/etc", "/etc/default", "/home", "/opt", "/srv", "/srv/new", "/usr/local"),
        *("/var/lib", "/var/lib/deep", "/var/lib/deep/er"),
    }
    (session,) = [r for r in settled if isinstance(r, Session)]
    (told,) = coverage(settled)
    assert (told.recorded, told.session) == (True, session.id)
    assert written(watching.finish()) == set()  # once


def test_of_what_still_runs_when_the_recording_ends(watching: Recorder, root: Path) -> None:
    time.sleep(0.1)  # the session begins a clock's tick after its layer was made
    process = start(shell(root, "mkdir /srv/new; read line"))
    before = settle(watching)
    records = [*before, *watching.finish()]
    process.communicate(b"\n")
    assert not written(before)
    assert written(records) == {"/srv", "/srv/new"}


def test_without_a_layer_it_is_not_recorded(recorder: Recorder) -> None:
    process = start(["sleep", "0.1"])
    recorder.adopt(process.pid, "command")
    (told,) = coverage([*settle(recorder), *recorder.finish()])
    process.communicate()
    assert not told.recorded


def test_of_what_runs_already(recorder: Recorder, root: Path) -> None:
    process = start(shell(root, "mkdir /srv/early; read line; mkdir /opt/late"))
    time.sleep(0.5)
    watch(recorder, root)
    (child,) = psutil.Process(process.pid).children()
    recorder.adopt(child.pid, "container")
    process.communicate(b"\n")
    records = [*settle(recorder), *recorder.finish()]
    assert {"/srv", "/srv/early", "/opt", "/opt/late"} <= written(records)


@pytest.mark.parametrize("limit", ["_MAX_ENTRIES", "_MAX_DEPTH", "_MAX_WRITTEN"])
def test_too_much_is_not_recorded(
    watching: Recorder, root: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(upper, limit, 3)
    script = "mkdir -p /srv/1/2/3/4/5"
    (told,) = coverage([*run(watching, shell(root, script)), *watching.finish()])
    assert not told.recorded
    assert "3" in told.why


def test_links_and_pipes_in_a_layer_lead_nowhere(tmp_path: Path) -> None:
    layer = tmp_path / "layer,with\\odd"
    layer.mkdir()
    (layer / "link").symlink_to("/etc")
    subprocess.run(["mkfifo", layer / "pipe"], check=True)
    (layer / "sub").mkdir()
    (layer / "sub" / "\udcff").mkdir()
    escaped = str(layer).replace("\\", "\\\\").replace(",", "\\,")
    mount = Mount(1, 1, 1, "/", "/", "overlay", "o", f"rw,upperdir={escaped},workdir=/x")
    fd = upper.open_upper(mount)
    assert fd is not None
    found = {each.path for each in upper.written_directories(fd, 0, ended=False)}
    assert found == {"/", "/sub", "/sub/\udcff"}


def test_a_layer_that_is_being_removed_is_not_recorded(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    assert upper.written_directories(fd, 0, ended=True)
    # As what a removal has done between the walk's start and here.
    os.utime(tmp_path / "one", ns=(0, time.time_ns() + 10**9))
    with pytest.raises(FileNotFoundError):
        upper.written_directories(fd, 0, ended=True)
    assert upper.written_directories(fd, 0, ended=False)
    (tmp_path / "one").rmdir()
    tmp_path.rmdir()
    with pytest.raises(FileNotFoundError):
        upper.written_directories(fd, 0, ended=False)
    os.close(fd)
