"""A scan inside a container, as each recorder sees it: what of its trace a policy can leave out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from paredown_agent.recorder.base import Recorder
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.leftout import Rest, leave_out
from paredown_minimizer.policyfile import parse_policy
from paredown_minimizer.sessions import Sessions
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import Header, Record, Run, Session
from recording import begun, follow, paths, run, shell, start, watch
from traces import trace_records

# It reads all there is, before the application has read anything.
SCAN = "grep -r zzz /etc/pam.d /etc/issue /usr/share/doc/grep >/dev/null || true"
SCANNED = "/etc/pam.d/common-auth"
USE = "cat /etc/issue"


@pytest.fixture
def watched(recorder: Recorder, root: Path) -> tuple[Recorder, Path]:
    watch(recorder, root)
    return recorder, root


def _rest(recorder: Recorder, root: Path, records: Sequence[Record], entry: str) -> Rest:
    header: Any = trace_records(recorder=recorder.name)[0]
    assert isinstance(header, Header)
    recorded = Run(header, None, tuple(records), None, "complete", ())
    policy = parse_policy(f"version: 1\nleave_out: [{{{entry}, reason: r}}]")
    image = open_directory(str(root))
    try:
        return leave_out(policy, [recorded], image, Sessions([recorded]))
    finally:
        image.close()


def _files(rest: Rest) -> set[str]:
    (left,) = rest.runs
    return {file.path for file in left.files()}


def test_a_scan_from_outside_can_be_left_out(watched: tuple[Recorder, Path]) -> None:
    recorder, root = watched
    container = start(shell(root, f"read line; {USE}"))
    records = begun(recorder)
    leader = next(record.pid for record in records if isinstance(record, Session))
    enter = ["nsenter", "--target", str(leader), "--mount", "--root", "sh", "-c", SCAN]
    records += run(recorder, enter)
    assert container.stdin is not None
    container.stdin.write(b"\n")
    container.stdin.flush()
    records += follow(recorder, container)
    assert SCANNED in paths(records)
    for entry in ("session: injected", "session: injected, exe: /bin/grep"):
        rest = _rest(recorder, root, records, entry)
        assert {"/etc/issue", "/usr/bin/cat", "/usr/bin/dash"} <= _files(rest)
        assert not {SCANNED, "/usr/bin/grep"} & _files(rest)
        assert rest.left_out[0].files > 5


def test_one_inside_only_where_every_user_is_told(watched: tuple[Recorder, Path]) -> None:
    recorder, root = watched
    records = run(recorder, shell(root, f"{SCAN}; {USE}"))
    entry = "exe: /usr/bin/grep"
    if recorder.name == "fanotify":
        # The scan is the first user of all that it read, and may hide the application's use.
        with pytest.raises(ParedownError, match="fanotify, tells of a file's first user only"):
            _rest(recorder, root, records, entry)
        return
    rest = _rest(recorder, root, records, entry)
    assert {"/etc/issue", "/usr/bin/cat", "/usr/bin/dash"} <= _files(rest)
    assert not {SCANNED, "/usr/bin/grep"} & _files(rest)
