"""Repairs of a small image: what fails on it, comes back, and nothing else does."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import apk_tree
from fixture_types import Require
from paredown_schemas.verification import Verification, read_verification

AGENT = [sys.executable, "-m", "paredown_agent"]
PAREDOWN = [sys.executable, "-m", "paredown_minimizer"]
POLICY = "version: 1\n# ours\npins:\n  - keep: /etc/issue\n    reason: people read it\n"
TOOLS = "cat /etc/motd /etc/hello.conf; getent passwd root; curl --version"
# A shell's pattern asks for no name: nothing is looked up that is missing.
LISTED = "for f in /usr/bin/*; do [ $f = /usr/bin/hello ] && exit 0; done; exit 1"


class Slim:
    """A server's image, trained on a shell that starts, and its plan; a repair slims it."""

    def __init__(self, space: Path, granularity: str) -> None:
        self.source = apk_tree.server_tree()
        self.space = space
        trace = space / "short.trace"
        record = [*AGENT, "record", "--rootfs", str(self.source), "-o", str(trace), "--"]
        subprocess.run([*record, "/bin/sh", "-c", ":"], check=True, capture_output=True, timeout=60)
        self.policy, self.plan, self.tree = (space / n for n in ("policy.yaml", "plan", "slim"))
        self.policy.write_text(POLICY)
        self.given = ["--policy", self.policy, "--trace", trace]
        how = ["--granularity", granularity, "-o", self.plan]
        self._paredown("plan", f"dir:{self.source}", *self.given, *how)

    def repair(self, script: str, *options: str) -> list[str]:
        """Return the command line that repairs what a script of the container misses."""
        line = [*PAREDOWN, "verify", self.plan, "--rootfs", self.tree, "--repair", *options]
        line += ["--run", f"sh -ec '{script}'", "--source", f"dir:{self.source}", *self.given]
        return [*map(str, line), "-o", str(self.space / "result")]

    def result(self) -> Verification:
        return read_verification(self.space / "result")

    def whole(self) -> bool:
        """Say whether plan, policy and image are of each other."""
        made = self.space / "made"
        how = ["--granularity", json.loads(self.plan.read_text())["granularity"], "-o", made]
        self._paredown("plan", f"dir:{self.source}", *self.given, *how, "--force")
        gone = [
            f"{record['directory'].rstrip('/')}/{name}"
            for record in json.loads(self.plan.read_text())["removed"]
            for name in record["names"]
        ]
        there = any((self.tree / path.lstrip("/")).exists() for path in gone)
        return made.read_bytes() == self.plan.read_bytes() and not there

    @staticmethod
    def _paredown(*arguments: object) -> None:
        subprocess.run(
            [*PAREDOWN, *map(str, arguments)], check=True, capture_output=True, timeout=60
        )


@pytest.fixture
def space(tmp_path: Path, require: Require, recording: None) -> Path:
    del recording
    require(shutil.which("debugfs") is not None, "e2fsprogs is not installed")
    return tmp_path


def test_each_round_brings_back_what_the_one_before_uncovered(space: Path) -> None:
    """Killed in the second round, and begun again."""
    slim = Slim(space, "file")
    before = slim.plan.read_bytes()
    # The first process of a container has no SIGTERM that it does not handle.
    endless = slim.repair('trap "exit 1" TERM; cat /etc/motd; sleep 60 & wait')
    with subprocess.Popen(endless, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Round 1: failed")
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert process.returncode not in (0, 3)
    assert slim.plan.read_bytes() == before
    assert slim.policy.read_text() == POLICY
    assert slim.whole()
    assert not list((space / "result.runs").glob("repair-*"))

    done = subprocess.run(slim.repair(TOOLS), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [{pin.target for pin in turn.pins} for turn in slim.result().rounds] == [
        {"/etc/motd", "/etc/hello.conf"},
        # From the second on the original shows what is left; libraries come by themselves.
        {"/usr/bin/getent", "/usr/bin/curl", "/etc/ssl/openssl.cnf"},
        set(),
    ]
    text = slim.policy.read_text()
    assert text.startswith(POLICY)
    assert f"missed in the run on {time.strftime('%Y-%m', time.gmtime())}" in text
    assert slim.whole()
    assert (slim.tree / "usr/lib/libcurl.so.4").exists()
    assert not (slim.tree / "usr/bin/scanelf").exists()


def test_what_no_look_up_tells_is_found_by_trying(space: Path) -> None:
    slim = Slim(space, "package")
    done = subprocess.run(slim.repair(LISTED), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, last = slim.result().rounds
    assert first.method == "bisection"
    assert [pin.target for pin in first.pins] == ["package:hello-server"]
    assert first.runs < 10
    assert last.outcome == "passed"
    assert (slim.tree / "usr/bin/hello").is_symlink()
