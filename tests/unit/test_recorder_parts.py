"""The parts of the recorders that need no kernel: names, first bytes, choice."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import cast

import pytest

from paredown_agent import statx
from paredown_agent.mountinfo import Mount
from paredown_agent.recorder import programs, registry
from paredown_agent.recorder.also import Also
from paredown_agent.recorder.attribution import Attribution, Caller
from paredown_agent.recorder.base import Clock, Probe, Recorder
from paredown_agent.recorder.classify import exec_use, open_use, read_head
from paredown_agent.recorder.paths import FoundPath, Paths, _place, _readings
from paredown_agent.recorder.programs import TaskState
from paredown_agent.recorder.seen import Seen
from paredown_agent.recorder.sessions import Known, Sessions
from paredown_schemas.errors import ParedownError, UsageError

BIND = Mount(7, 1, 1, "/opt/part", "/mnt", "overlay", "overlay", "")
WHOLE = Mount(8, 1, 1, "/", "/", "overlay", "overlay", "")


@pytest.mark.parametrize(
    ("mount", "root", "name", "found"),
    [
        (WHOLE, None, "/etc/passwd", FoundPath("/etc/passwd")),
        (BIND, None, "/mnt/x", FoundPath("/opt/part/x")),
        (BIND, None, "/mnt", FoundPath("/opt/part")),
        (BIND, None, "/x", FoundPath("/opt/part/x")),  # detached
        (None, "/", "/etc/passwd", FoundPath("/etc/passwd")),
        (None, "/opt", "/x", FoundPath("/opt/x")),
        (None, None, "/mnt/deep/x", FoundPath("/x", truncated=True)),
    ],
)
def test_places_a_name_in_its_superblock(
    mount: Mount | None, root: str | None, name: str, found: FoundPath
) -> None:
    assert _place(mount, root, name) == found


def test_a_name_may_end_as_deleted_ones_do() -> None:
    assert _readings("/a (deleted)", 0) == ("/a",)
    assert _readings("/a (deleted) (deleted)", 0) == ("/a (deleted)",)
    assert _readings("/a (deleted)", 1) == ("/a", "/a (deleted)")


def test_finds_an_open_file(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"odd\n\xff")
    file.write_bytes(b"12345")
    fd = os.open(file, os.O_RDONLY)
    try:
        status = statx.status(fd)
        assert (status.size, status.inode, status.links) == (5, file.stat().st_ino, 1)
        assert status.mtime == file.stat().st_mtime_ns
        (found,) = Paths().find(fd, status, (os.getpid(),))
    finally:
        os.close(fd)
    assert found.path.endswith("/odd\n\udcff")
    assert not found.truncated


def elf(kind: int, *segments: int) -> bytes:
    head = bytearray(64 + 56 * len(segments))
    head[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<H", head, 16, kind)
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<HH", head, 54, 56, len(segments))
    for index, segment in enumerate(segments):
        struct.pack_into("<I", head, 64 + 56 * index, segment)
    return bytes(head)


PROGRAM, LOADER, STATIC = elf(3, 6, 3), elf(3, 1), elf(2, 1)


def uses(*heads: bytes) -> list[str]:
    after = ""
    found: list[str] = []
    for head in heads:
        how, after = exec_use(head, after)
        found.append(how)
    return found


def test_tells_how_an_exec_uses_files() -> None:
    assert uses(PROGRAM, LOADER) == ["exec", "loader"]
    assert uses(b"#!/bin/sh\n", PROGRAM, LOADER) == ["script", "interpreter", "loader"]
    assert uses(b"#!/a\n", b"#!/b\n", STATIC) == ["script", "interpreter", "interpreter"]
    assert uses(STATIC, PROGRAM) == ["exec", "exec"]
    assert uses(PROGRAM, PROGRAM) == ["exec", "exec"]
    assert uses(b"MZ", PROGRAM, LOADER) == ["script", "interpreter", "loader"]


def test_an_exec_may_end_between_its_events() -> None:
    clock = Clock()
    attribution = Attribution(cast("Sessions", None))
    attribution.empty = clock.start

    def use(head: bytes, since: int, previous: int) -> str:
        state = TaskState(since=since, previous_since=previous)
        known = Known(1, "container", 7)
        caller = Caller(state, known, steady=False, exe=None)
        return attribution.exec_use(7, caller, head, ())

    assert use(PROGRAM, 0, 0) == "exec"
    assert use(LOADER, clock.start + 1, 0) == "loader"
    assert use(PROGRAM, clock.start + 1, 0) == "exec"
    attribution.empty = clock.start + 3
    # All of that exec has been read: this is another one, of the loader by its name.
    assert use(LOADER, clock.start + 2, clock.start + 1) == "exec"


def test_tells_libraries_from_data() -> None:
    assert open_use(LOADER) == "library"
    assert open_use(STATIC) == "read"
    assert open_use(b"\x7fELF") == "read"
    assert open_use(b"") == "read"


def test_agrees_with_this_machines_programs() -> None:
    with Path("/proc/self/exe").open("rb") as program:
        head = read_head(program.fileno())
    assert exec_use(head, "") == ("exec", "program")


@pytest.mark.parametrize("cut", range(0, 120, 7))
def test_a_cut_elf_file_is_just_a_file(cut: int) -> None:
    exec_use(PROGRAM[:cut], "program")
    open_use(PROGRAM[:cut])


class _Broken:
    def __init__(self, why: str) -> None:
        self.why = why

    def probe(self) -> Probe:
        return Probe(works=False, why=self.why, hint="get it")

    def open_recorder(self, clock: Clock, also: Also | None = None) -> Recorder:
        del clock, also
        raise ParedownError(self.why, hint="get it")


def test_auto_says_why_nothing_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "RECORDERS", {"a": _Broken("no a"), "b": _Broken("no b")})
    with pytest.raises(ParedownError, match="a: no a; b: no b") as caught:
        registry.choose("auto", Clock())
    assert caught.value.hint == "get it"
    assert not any(probe.works for probe in registry.probe_all().values())


def test_refuses_an_unknown_recorder() -> None:
    with pytest.raises(UsageError, match="known are auto, ebpf, ebpf-trampolines, fanotify"):
        registry.choose("ptrace", Clock())


@pytest.mark.parametrize("name", ["BTF", "OBJECT"])
def test_says_what_the_host_lacks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, name, Path("/nonexistent"))
    probe = registry.RECORDERS["fanotify"].probe()
    assert not probe.works
    assert "cannot load BPF programs" in probe.why
    assert probe.hint


def test_what_was_seen_is_not_new() -> None:
    seen = Seen(1 << 10)
    keys = [(1, f"/usr/lib/{n}", "read", None) for n in range(100)]
    assert all(seen.add(key) for key in keys)
    assert not any(seen.add(key) for key in keys)
    assert not seen.forgot


def test_what_is_new_is_told_however_much_was_seen() -> None:
    """Forgetting tells something twice; nothing is ever hidden."""
    seen = Seen(1 << 10)
    assert all(seen.add(n) for n in range(100_000))
    assert seen.forgot
    assert not seen.add(99_999)
