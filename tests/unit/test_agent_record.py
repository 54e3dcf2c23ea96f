"""The parts of the loop that need no kernel: whose a session is, signals, the command line."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import jsonschema
import pytest

from paredown_agent.commands.doctor import render
from paredown_agent.doctor import Check, recorder_works, to_json
from paredown_agent.readyfile import ReadyFile
from paredown_agent.sieve import Sieve
from paredown_agent.target.bundle import write_bundle
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import File, Loss, Record, Session


def _file(path: str, session: int) -> File:
    return File(path, "read", "file", session, None, 1, 1, 1, 1, 1, truncated=False, held=False)


def _passed(sieve: Sieve[str], records: list[Record]) -> list[Record]:
    return [record for _, record in sieve.sort(records)]


def test_sieve_holds_back_until_it_is_known_whose_a_session_is() -> None:
    owners: dict[int, str | Literal[False] | None] = {1: None, 2: False, 3: "a", 4: "b"}
    sieve: Sieve[str] = Sieve(lambda session: owners[session.id])
    sessions = [Session(number, "container", number, 0) for number in owners]
    loss = Loss("queue", 1, 1)
    uses = [_file("/a", 1), _file("/b", 2), _file("/c", 3), _file("/d", 4)]
    assert sieve.sort([*sessions, *uses, loss]) == [
        *(("a", sessions[2]), ("b", sessions[3]), ("a", uses[2]), ("b", uses[3]), (None, loss)),
    ]
    assert sieve.sort([_file("/d", 1), _file("/e", 2)]) == []
    owners[1] = "a"
    assert _passed(sieve, [_file("/f", 1)]) == [
        *(sessions[0], _file("/a", 1), _file("/d", 1), _file("/f", 1)),
    ]
    assert (sieve.sessions("a"), sieve.sessions("b")) == (2, 1)
    sieve.forget("a")
    assert _passed(sieve, [_file("/g", 1), _file("/g", 4)]) == [_file("/g", 4)]


def test_what_nobody_claims_is_never_told() -> None:
    sieve: Sieve[str] = Sieve(lambda _: None)
    assert sieve.sort([Session(1, "container", 1, 0), _file("/a", 1)]) == []
    assert sieve.sessions("a") == 0


def test_what_nobody_claims_does_not_grow_without_end_and_is_a_loss() -> None:
    sieve: Sieve[str] = Sieve(lambda _: None, held=3)
    assert sieve.sort([Session(1, "container", 1, 0), _file("/a", 1), _file("/b", 1)]) == []
    assert _passed(sieve, [_file("/c", 1)]) == [Loss("containers not identified", 4, 1)]
    assert _passed(sieve, [_file("/d", 1)]) == []


_SIGNALS = """
import os, select, signal, sys
from paredown_agent.signaldescriptor import SignalDescriptor
descriptor = SignalDescriptor([signal.SIGINT, signal.SIGUSR1])
print("up", flush=True)
select.select([descriptor], [], [])
for received in descriptor.read():
    print(signal.Signals(received.number).name, received.typed)
"""


def test_a_signal_from_the_terminal_is_told_from_a_sent_one() -> None:
    sent = subprocess.Popen([sys.executable, "-c", _SIGNALS], stdout=subprocess.PIPE, text=True)
    assert sent.stdout is not None
    sent.stdout.readline()
    sent.send_signal(signal.SIGINT)
    assert sent.communicate(timeout=20)[0] == "SIGINT False\n"
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", _SIGNALS])
    read = os.read(terminal, 100)
    while b"up" not in read:
        read += os.read(terminal, 100)
    os.write(terminal, b"\x03")
    while b"True" not in read and b"False" not in read:
        read += os.read(terminal, 100)
    os.waitpid(child, 0)
    os.close(terminal)
    assert b"SIGINT True" in read


def test_ready_file_replaces_an_old_one_at_once(tmp_path: Path) -> None:
    path = tmp_path / "ready"
    path.write_text("old")
    ready = ReadyFile(str(path))
    assert not path.exists()
    ready.appear()
    assert path.read_text() == f"{os.getpid()}\n"
    assert list(tmp_path.iterdir()) == [path]


def test_ready_file_in_a_directory_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ParedownError, match="cannot make .*ready: No such file"):
        ReadyFile(str(tmp_path / "missing/ready"))


@pytest.mark.parametrize(
    ("name", "hostname"),
    [("nginx", "nginx"), ("my app_1\n", "my-app-1"), ("é/..", "paredown"), ("x" * 80, "x" * 63)],
)
def test_the_hostname_is_made_from_the_directory(tmp_path: Path, name: str, hostname: str) -> None:
    write_bundle(tmp_path, tmp_path / "root", ["/bin/sh", "\udcff"], name)
    config = json.loads((tmp_path / "config.json").read_text("utf-8", "surrogateescape"))
    assert config["hostname"] == hostname
    assert (tmp_path / "hostname").read_text() == f"{hostname}\n"
    assert config["process"]["args"] == ["/bin/sh", "\udcff"]
    assert "CAP_MKNOD" not in config["process"]["capabilities"]["bounding"]


CHECKS = [
    Check("kernel", works=True, detail="6.1"),
    Check("recorder ebpf", works=False, detail="no\x1b", hint="get it"),
]


def test_doctor_tells_what_is_missing_and_how_to_get_it() -> None:
    assert render(CHECKS, color=False).splitlines() == [
        "kernel         yes  6.1",
        "recorder ebpf  no   no\\x1b",
        "                    hint: get it",
    ]
    assert "\033[32myes\033[0m" in render(CHECKS, color=True)
    assert not recorder_works(CHECKS)


def _agent(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "paredown_agent", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_doctors_json_follows_its_schema() -> None:
    import paredown_schemas

    directory = Path(paredown_schemas.__file__).parent
    schema = json.loads((directory / "doctor-1.schema.json").read_text())
    told = _agent("doctor", "--json")
    report = json.loads(told.stdout)
    jsonschema.validate(report, schema)
    assert told.returncode == (0 if report["works"] else 1)
    jsonschema.validate(to_json(CHECKS), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**report, "more": 1}, schema)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required"),
        (["record"], "-o/--output"),
        (["record", "-o", "x"], "there is no COMMAND"),
        (["record", "-o", "x", "--container", "a", "--", "true"], "takes no COMMAND"),
        (["record", "-o", "x", "--all-containers", "--", "true"], "takes no COMMAND"),
        (["record", "-o", "x", "--match", "a", "--", "true"], "goes with --all-containers"),
        (["record", "-o", "x", "--container", "a", "--rootfs", "b"], "not allowed with"),
        (["record", "-o", "x", "--duration", "5x", "--", "true"], "5m or 1h"),
        (["record", "-o", "x", "--duration", "0", "--", "true"], "5m or 1h"),
        (["doctor", "--", "true"], "only record takes a COMMAND"),
    ],
)
def test_usage_errors_exit_with_125(arguments: list[str], message: str) -> None:
    done = _agent(*arguments)
    assert done.returncode == 125
    assert message in done.stderr
    assert "Traceback" not in done.stderr
