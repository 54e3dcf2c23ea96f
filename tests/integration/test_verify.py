"""Verification with real images: what tests missed on the slim one, and what on the original."""

from __future__ import annotations

import dataclasses
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

import strace_lookups
from applications import AGENT, PAREDOWN, run
from container_tools import IMAGE, Docker
from fixture_types import Require
from paredown_minimizer.cli import main
from paredown_schemas.identity import host_platform
from paredown_schemas.plan import read_plan
from paredown_schemas.verification import Missing, read_verification

pytestmark = pytest.mark.usefixtures("recording")
_ARCHITECTURE = host_platform().rpartition("/")[2]


@dataclasses.dataclass(frozen=True)
class Slimmed:
    """An original, trained on next to nothing, its plan and its slim tree."""

    original: Path
    plan: Path
    tree: Path


@pytest.fixture(scope="module")
def slimmed(
    recording: None, nginx_rootfs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Slimmed:
    del recording
    space = tmp_path_factory.mktemp("verify")
    trace, plan, tree = space / "a.trace", space / "plan.json", space / "slim"
    program = ["sh", "-c", "perl -e 1; true"]
    run(AGENT, "record", "-o", trace, "--rootfs", nginx_rootfs, "--", *program)
    source = f"dir:{nginx_rootfs}"
    run(PAREDOWN, "plan", source, "--trace", trace, "--granularity", "file", "-o", plan)
    run(PAREDOWN, "apply", plan, source, "-o", f"dir:{tree}")
    return Slimmed(nginx_rootfs, plan, tree)


@dataclasses.dataclass(frozen=True)
class Verified:
    """What ``paredown verify`` ended with."""

    returncode: int
    stdout: str
    stderr: str


class Verify(Protocol):
    """Runs ``paredown verify``."""

    def __call__(self, plan: Path, *arguments: object, tests: str | None = None) -> Verified: ...


@pytest.fixture
def verify(capfd: pytest.CaptureFixture[str]) -> Verify:
    """In this process: to start Python and import all takes as long as most trials here."""

    def verify(plan: Path, *arguments: object, tests: str | None = None) -> Verified:
        words = ["verify", plan, *arguments, *(["--", tests] if tests else [])]
        code = main(list(map(str, words)))
        return Verified(code, *capfd.readouterr())

    return verify


def _found(file: Path) -> dict[str, Missing]:
    return {missing.path: missing for missing in read_verification(file).missing}


_NEVER = [f"never-{number}" for number in range(40)]
_SEARCHES = f"""
PATH=$PATH:/opt/never:/bin/../sbin
for name in {" ".join(_NEVER)} sed tar nginx; do command -v "$name"; done
test -e /bin/../lib/../bin/tar; test -e /var/run/never; test -e /usr/share/nginx/never
cat /etc/nginx/nginx.conf /etc/nginx/never.conf 2>&1
perl -e 'for (qw(Never::A Never::B CPAN Never/C)) {{ eval {{ require "$_.pm" }} }}'
exit 0
"""


def _kernel_says(tree: Path, script: str, paths: list[str]) -> list[str]:
    """Run a loop over ``$p`` in a tree; return what it prints."""
    command = ["chroot", str(tree), "sh", "-c", f"while read -r p; do {script}; done"]
    text = "".join(f"{path}\n" for path in paths)
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return result.stdout.splitlines()


def test_told_is_what_fails_here_and_not_on_the_original(
    slimmed: Slimmed, tmp_path: Path, require: Require, verify: Verify
) -> None:
    """strace sees the look-ups that fail, and the kernel says which do not on the original."""
    log = tmp_path / "strace"
    command = [*strace_lookups.arguments(log), "chroot", str(slimmed.tree), "sh", "-c", _SEARCHES]
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    traced = subprocess.run(command, capture_output=True, check=False, env=environment)
    require(traced.returncode == 0, "strace cannot trace here")
    lookups = strace_lookups.read_log(log, slimmed.tree, volumes=(), binds={})
    failed = sorted({path for _, path, error in lookups if error == "ENOENT"})
    there = _kernel_says(slimmed.original, 'test -e "$p" && echo "$p"; true', failed)
    expected = _kernel_says(
        slimmed.original, 'echo "$(readlink -f "${p%/*}")/${p##*/}"', sorted(there)
    )
    assert len(failed) > 250
    assert 3 < len(set(expected)) < 20

    output = tmp_path / "verification.json"
    passes = ["--rootfs", slimmed.tree, "--run", f"sh -c {shlex.quote(_SEARCHES)}", "-o", output]
    verified = verify(slimmed.plan, *passes)
    assert verified.returncode == 0, verified.stderr
    assert set(_found(output)) == set(expected)
    assert "that go were asked for" in verified.stderr


def test_a_failure_that_no_missing_file_explains_is_told_as_such(
    slimmed: Slimmed, tmp_path: Path, verify: Verify
) -> None:
    output = tmp_path / "verification.json"
    here = ["--rootfs", slimmed.tree, "--run", "sh -c 'echo at odds >&2; exit 3'", "-o", output]
    there = verify(slimmed.plan, *here, "--original", slimmed.original)
    assert there.returncode == 3
    assert there.stdout.split()[:-2] == ["TEST", "OUTCOME", "TIME", "run", "failed", "(3)"]
    assert "failed with status 3: at odds; nothing that the plan removes was" in there.stderr
    assert "on the original, too, the container failed with status 3" in there.stderr
    verification = read_verification(output)
    assert (verification.outcome, verification.original) == ("failed", "failed")
    assert len(verification.traces) == 2
    assert (tmp_path / "verification.json.runs" / "original.trace").exists()


def test_a_container_that_does_not_start_is_explained(
    slimmed: Slimmed, tmp_path: Path, verify: Verify
) -> None:
    """The script is there, and execve(2) says it is not: its interpreter is what goes."""
    output = tmp_path / "verification.json"
    here = ["--rootfs", slimmed.tree, "-o", output, "--force"]
    (slimmed.tree / "opt/script").write_text("#!/usr/bin/sed -f\np\n")
    (slimmed.tree / "opt/script").chmod(0o755)
    for command in ("/opt/script", "sh -c /opt/script"):
        failed = verify(slimmed.plan, *here, "--run", command)
        assert failed.returncode == 3
        assert failed.stderr.count("not found") + failed.stderr.count("no such file") == 1
        assert set(_found(output)) == {"/usr/bin/sed"}


def test_soft_finds_all_at_once(slimmed: Slimmed, tmp_path: Path, verify: Verify) -> None:
    """On the slim image the first miss hides the second."""
    output = tmp_path / "verification.json"
    tests = [
        "--run",
        "sh -ec 'sed --version; tar --version; test -e /usr/sbin/nginx'",
        "-o",
        output,
    ]
    strict = verify(slimmed.plan, "--rootfs", slimmed.tree, *tests)
    assert strict.returncode == 3
    assert set(_found(output)) == {"/usr/bin/sed"}
    original = ["--rootfs", slimmed.original]
    soft = verify(slimmed.plan, *original, "--soft", *tests, "--force", "--format", "json")
    assert soft.returncode == 3
    assert soft.stdout == output.read_text()
    assert json.loads(soft.stdout)["original"] == "passed"
    found = _found(output)
    assert found["/usr/bin/sed"].package == f"sed:{_ARCHITECTURE}"
    assert {path for path in found if found[path].held_by} >= {"/usr/bin/sed", "/usr/bin/tar"}
    assert found["/usr/sbin/nginx"].asked == ("stat",)
    looked = ["--run", "sh -c 'test -e /usr/sbin/nginx'"]
    assert verify(slimmed.plan, *original, "--soft", *looked).returncode == 0


def test_another_image_is_refused(slimmed: Slimmed, tmp_path: Path, verify: Verify) -> None:
    trial = ["--run", "sh -c :"]
    original = verify(slimmed.plan, "--rootfs", slimmed.original, *trial)
    assert original.returncode == 4
    assert "which the plan removes" in original.stderr
    slim = verify(slimmed.plan, "--rootfs", slimmed.tree, "--soft", *trial)
    assert slim.returncode == 4
    there = tmp_path / "there.json"
    there.touch()
    kept = verify(slimmed.plan, "--rootfs", slimmed.tree, *trial, "-o", there)
    assert kept.returncode == 1
    assert "it exists already" in kept.stderr


def test_in_docker_by_phases(
    slimmed: Slimmed,
    docker_daemon: Docker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verify: Verify,
) -> None:
    for name, value in docker_daemon.env.items():
        monkeypatch.setenv(name, value)
    plan = read_plan(slimmed.plan)
    label = ("--change", f"LABEL dev.paredown.plan={plan.id}")
    with subprocess.Popen(["tar", "-C", slimmed.tree, "-c", "."], stdout=subprocess.PIPE) as tar:
        digest = docker_daemon.run("import", *label, "-", "slim:1", stdin=tar.stdout).stdout.strip()
    (tmp_path / "tests.py").write_text(_TESTS)
    output = tmp_path / "verification.json"
    start = (
        "docker run -d --net=none {image} sh -c 'trap \"exit 0\" TERM; while :; do perl -e 1; done'"
    )
    ready = ["--ready", "docker exec $PAREDOWN_CONTAINER sh -c true"]
    words = [sys.executable, "-m", "pytest", "-p", "paredown_agent.pytest_marks"]
    tests = shlex.join([*words, "-p", "no:cacheprovider", str(tmp_path / "tests.py")])
    trial = ["--run", start, *ready, "-o", output]
    before = docker_daemon.run("ps", "--all", "--quiet").stdout
    failed = verify(slimmed.plan, "--image", "slim:1", *trial, tests=tests)
    assert failed.returncode == 3, failed.stderr
    verification = read_verification(output)
    assert (verification.digest, verification.plan) == (digest, plan.id)
    phases = [case for case in verification.tests if case.command is None]
    outcomes = [(case.name.rpartition("::")[2], case.outcome) for case in phases]
    assert outcomes == [("test_shell", "passed"), ("test_sed", "failed")]
    (missing,) = verification.missing
    assert (missing.path, missing.package) == ("/usr/bin/sed", f"sed:{_ARCHITECTURE}")
    assert [name.rpartition("::")[2] for name in missing.tests] == ["test_sed"]
    assert f"test_sed failed, and missed /usr/bin/sed of sed:{_ARCHITECTURE}\n" in failed.stderr
    assert docker_daemon.run("ps", "--all", "--quiet").stdout == before
    refused = verify(slimmed.plan, "--image", IMAGE, "--run", start)
    assert refused.returncode == 4
    assert "it is no slim image" in refused.stderr


_TESTS = """
import os
import subprocess

def execute(*command):
    subprocess.run(["docker", "exec", os.environ["PAREDOWN_CONTAINER"], *command], check=True)

def test_shell():
    execute("sh", "-c", "never || test -e /never || true")

def test_sed():
    execute("sh", "-c", "sed --version")
"""
