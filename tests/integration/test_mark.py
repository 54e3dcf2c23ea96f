"""``paredown-agent mark``: phases of the load, put into a recording that runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from container_tools import RunAgent, only_run, wait_for
from paredown_agent.marks import MAX_NAME, MarkListener, name_fault
from paredown_agent.target.namespaces import set_namespace
from paredown_schemas.trace import Mark, Run

CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
STEPS = "read line; cat /etc/debian_version; read line; cat /etc/issue; read line"


@pytest.fixture
def agent(agent: RunAgent, monkeypatch: pytest.MonkeyPatch) -> RunAgent:
    """The agent in a network namespace of the test's own: others may be recording, too."""
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE) as holder:
        own = os.stat("/proc/self/ns/net").st_ino
        wait_for(lambda: os.stat(f"/proc/{holder.pid}/ns/net").st_ino != own)
        namespace = os.open(f"/proc/{holder.pid}/ns/net", os.O_RDONLY)
        holder.communicate()
    start = agent.start

    def start_there(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        def enter() -> None:
            set_namespace(namespace, CLONE_NEWNET)

        return start(*arguments, **options, preexec_fn=enter)

    monkeypatch.setattr(agent, "start", start_there)
    return agent


class Recorded:
    """A recording of a shell that reads a file more for each line it gets."""

    def __init__(self, agent: RunAgent, directory: Path, root: Path) -> None:
        self.trace = directory / "app.trace"
        ready = directory / "ready"
        self.process = agent.start(
            *("record", "-o", self.trace, "--ready-file", ready),
            *("--rootfs", root, "--", "sh", "-c", STEPS),
        )
        wait_for(ready.exists)

    def step(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self) -> Run:
        _, stderr = self.process.communicate("\n\n\n", timeout=30)
        assert self.process.returncode == 0, stderr
        return only_run(self.trace)


@pytest.fixture
def recorded(agent: RunAgent, tmp_path: Path, nginx_rootfs: Path) -> Recorded:
    return Recorded(agent, tmp_path, nginx_rootfs)


def marks(run: Run) -> list[str]:
    return [record.name for record in run.records if isinstance(record, Mark)]


def test_what_was_used_before_stands_before(recorded: Recorded, agent: RunAgent) -> None:
    recorded.step()
    assert recorded.said().startswith("12.")
    done = agent("mark", "second \udcff")
    assert done.returncode == 0, done.stderr
    # The answer comes when the mark is in the file: also an agent killed now has it.
    assert marks(only_run(recorded.trace)) == ["second \udcff"]
    recorded.step()
    assert recorded.said().startswith("Debian")
    run = recorded.end()
    assert run.verdict == "complete", run.reasons
    (mark,) = (record for record in run.records if isinstance(record, Mark))
    times = {file.path: file.time for file in run.files()}
    assert times["/etc/debian_version"] < mark.time < times["/etc/issue"]
    order = [getattr(record, "path", record.TYPE) for record in run.records]
    assert order.index("/etc/debian_version") < order.index("mark") < order.index("/etc/issue")


def test_of_several_recordings_one_is_chosen(
    agent: RunAgent, tmp_path: Path, nginx_rootfs: Path
) -> None:
    directories = [tmp_path / name for name in ("a", "b")]
    for directory in directories:
        directory.mkdir()
    one, two = (Recorded(agent, directory, nginx_rootfs) for directory in directories)
    unclear = agent("mark", "x")
    assert unclear.returncode == 125
    for each in (one, two):
        assert f"recording: {each.trace}\n" in unclear.stderr
    assert "choose one by --trace FILE" in unclear.stderr
    (tmp_path / "link").symlink_to(one.trace)
    assert agent("mark", "x", "--trace", tmp_path / "link").returncode == 0
    assert agent("mark", "x", "--trace", tmp_path / "other").returncode == 125
    assert (marks(one.end()), marks(two.end())) == (["x"], [])


def test_a_dead_recording_is_no_obstacle(
    agent: RunAgent, recorded: Recorded, tmp_path: Path, nginx_rootfs: Path
) -> None:
    os.kill(recorded.process.pid, signal.SIGKILL)
    recorded.process.wait()
    gone = agent("mark", "x")
    assert gone.returncode == 125
    assert gone.stderr.startswith("error: cannot mark the recording: no recording runs\n")
    (tmp_path / "next").mkdir()
    following = Recorded(agent, tmp_path / "next", nginx_rootfs)
    assert agent("mark", "x").returncode == 0
    assert marks(following.end()) == ["x"]


MARK_AS_NOBODY = """
import os
from paredown_agent.marks import running_recordings
os.setuid(65534)
running, failures = running_recordings()
print(len(running), *failures)
"""


@pytest.mark.parametrize("stranger", ["another user", "another pid namespace"])
def test_strangers_may_not_mark(recorded: Recorded, stranger: str) -> None:
    """As a container with the host's network would be, root in it or not."""
    command = [sys.executable, "-c", MARK_AS_NOBODY]
    if stranger == "another pid namespace":
        command[2] = MARK_AS_NOBODY.replace("os.setuid(65534)", "")
        command = ["unshare", "--pid", "--fork", "--mount-proc", *command]
    namespace = ["nsenter", "--net", "--target", str(recorded.process.pid)]
    asked = subprocess.run([*namespace, *command], stdout=subprocess.PIPE, text=True, check=True)
    assert asked.stdout.startswith("0 cannot mark the recording: it takes marks from root and")
    assert marks(recorded.end()) == []


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[MarkListener]:
    listener = MarkListener(str(tmp_path / "x"))
    yield listener
    listener.close()


def test_who_connects_and_says_nothing_is_in_nobodys_way(listener: MarkListener) -> None:
    (number,) = listener.polled()
    with socket.socket(fileno=os.dup(number)) as same:
        address = same.getsockname()
    clients = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(20)]
    for client in clients:
        client.connect(address)
        assert not listener.requests(listener.polled())
    last = clients[-1]
    for packet, answer in [
        (b"mark\0", b"-its name is empty"),
        (b"mark\0a\0b", b"-its name has a NUL"),
        (b"mark\0" + b"x" * 300, b"-its name has 300 bytes, more than 255"),
    ]:
        last.send(packet)
        assert not listener.requests(listener.polled())
        assert last.recv(100) == answer
    last.send(b"mark\0\xff")
    (request,) = listener.requests(listener.polled())
    request.answer("")
    assert (request.name, last.recv(100)) == ("\udcff", b"+")
    last.send(b"anything else")
    assert not listener.requests(listener.polled())
    assert last.recv(100) == b""
    for client in clients:
        client.close()


def test_a_name_has_255_bytes_at_most() -> None:
    assert not name_fault("é" * (MAX_NAME // 2))
    assert name_fault("é" * (MAX_NAME // 2 + 1))
