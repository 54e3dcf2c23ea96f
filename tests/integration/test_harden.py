"""The whole pipeline, killed in each of its steps and resumed; and its ends that are none."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import engines
import scans
from apk_tree import COMMAND
from container_tools import Docker, processes, wait_for
from paredown_minimizer import report
from paredown_minimizer.image.source import open_image
from paredown_minimizer.pipeline.images import identify
from paredown_minimizer.pipeline.state import read_state
from paredown_schemas.plan import read_plan
from paredown_schemas.verification import read_verification

pytestmark = pytest.mark.usefixtures("recording", "serve")

# In a network of its own, so that ports are free.
_ALONE = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
_PAREDOWN = [*_ALONE, sys.executable, "-m", "paredown_minimizer"]
_FETCH = "curl -fs http://127.0.0.1:8080/"
_STEPS = ("record one", "record two", "plan", "apply", "verify", "report")


def _project(space: Path, source: str, **more: Any) -> Path:
    image = {
        "name": "web",
        "source": source,
        "output": "dir:slim",
        "run": f"{COMMAND} {space}",  # to be told from others
        "ready": _FETCH,
        "scenarios": [{"name": "one", "command": _FETCH}, {"name": "two", "command": _FETCH}],
        "policy": "policy.yaml",
        **more,
    }
    space.mkdir()
    (space / "paredown.yaml").write_text(json.dumps({"version": 1, "images": [image]}))
    (space / "policy.yaml").write_text("version: 1\ngates: {forbid: [package-manager]}\n")
    return space


def _harden(space: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_PAREDOWN, "harden", *arguments],
        cwd=space,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _done(said: str) -> dict[str, str]:
    """Return what was said of each step in the end."""
    lines = (line.removeprefix("web: ").partition(": ") for line in said.splitlines())
    return {step: told for step, _, told in lines if told}


def _kill_in(step: str, space: Path) -> None:
    process = subprocess.Popen(
        [*_PAREDOWN, "harden"], cwd=space, stderr=subprocess.PIPE, stdout=-3, text=True
    )
    assert process.stderr is not None
    with process, process.stderr:
        for line in process.stderr:
            assert not line.startswith("error"), line
            if line.startswith(f"web: {step}") and line.endswith("…\n"):
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def hardened(apk_rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was hardened, and that nobody killed."""
    space = _project(tmp_path_factory.mktemp("harden") / "space", f"dir:{apk_rootfs}")
    end = _harden(space)
    assert end.returncode == 0, end.stderr
    return space


def test_killed_in_each_step_it_goes_on_to_the_same_end(
    apk_rootfs: Path, hardened: Path, tmp_path: Path
) -> None:
    space = _project(tmp_path / "space", f"dir:{apk_rootfs}")
    evidence = space / "evidence" / "web"
    traces: dict[str, bytes] = {}
    for number, step in enumerate(_STEPS):
        _kill_in(step, space)
        wait_for(lambda: not processes(str(space)))
        assert [each.name for each in read_state(evidence).steps] == list(_STEPS[:number])
        for trace in (evidence / "traces").glob("*.trace"):
            assert traces.setdefault(trace.name, trace.read_bytes()) == trace.read_bytes()
    end = _harden(space)
    assert end.returncode == 0, end.stderr
    told = _done(end.stderr)
    assert [step for step in _STEPS if not told[step].startswith("as before")] == ["report"]
    assert identify(f"dir:{space / 'slim'}") == identify(f"dir:{hardened / 'slim'}")
    assert _names(space) == _names(hardened)


def _names(space: Path) -> set[Path]:
    """Return all that lies there, but what is in the slim image."""
    slim = space / "slim"
    return {path.relative_to(space) for path in space.rglob("*") if slim not in path.parents}


def test_what_fails_ends_with_3_and_what_cannot_be_done_with_1(hardened: Path) -> None:
    path = hardened / "paredown.yaml"
    first, policy = path.read_text(), (hardened / "policy.yaml").read_text()
    project = json.loads(first)
    (image,) = project["images"]

    def ends(change: Mapping[str, Any], code: int, *steps: str) -> subprocess.CompletedProcess[str]:
        path.write_text(json.dumps({"version": 1, "images": [{**image, **change}]}))
        end = _harden(hardened)
        assert end.returncode == code, end.stderr
        told = _done(end.stderr)
        assert [step for step in _STEPS if not told.get(step, "as be").startswith("as be")] == [
            *steps
        ]
        return end

    unchanged = ends({}, 0)
    assert unchanged.stdout.splitlines()[1].split()[0] == "web"
    tests = [{"name": "good", "command": "true"}, {"name": "bad", "command": "echo no; exit 4"}]
    failed = ends({"tests": tests}, 3, "verify", "report")
    assert "verify: FAILED: 1 of 2 tests passed; test bad failed with status 4: no" in failed.stderr
    assert "web: tests failed: test bad failed with status 4: no" in failed.stdout
    report = (hardened / "evidence" / "web" / "report" / "report.md").read_text()
    assert "failed" in report
    (hardened / "policy.yaml").write_text("version: 1\ngates: {max_packages: 1}")
    refused = ends({}, 3, "plan")
    assert "web: gate max_packages failed: 5, at most 1" in refused.stdout
    assert not (hardened / "evidence" / "web" / "report" / "report.md").exists()
    (hardened / "policy.yaml").write_text(policy)
    broken = [{"name": "one", "command": "echo why; exit 9"}, *image["scenarios"][1:]]
    other = {**image, "name": "other", "source": "dir:nowhere", "output": "dir:slim2"}
    path.write_text(json.dumps({"version": 1, "images": [other, {**image, "scenarios": broken}]}))
    end = _harden(hardened)
    assert end.returncode == 1
    assert "error: other: cannot harden other: there is no dir:nowhere" in end.stderr
    assert "error: web: cannot record one: failed: test one failed with status 9: why" in end.stderr
    log = hardened / "evidence" / "web" / "traces" / "one.trace.tests.log"
    assert f"what it said is in {log.relative_to(hardened)}" in end.stderr
    assert log.read_text() == "why\n"
    path.write_text(first)


_CONNECT = 'import socket; socket.create_connection(("127.0.0.1", 8080))'


def test_what_repair_made_is_as_before(apk_rootfs: Path, tmp_path: Path) -> None:
    """The load asks for no page, so that it goes, and the slim image serves none."""
    load = [{"name": "idle", "command": "true"}]
    space = _project(
        tmp_path / "space",
        f"dir:{apk_rootfs}",
        ready=f"{sys.executable} -c '{_CONNECT}'",
        granularity="file",
        scenarios=load,
        tests=[{"name": "page", "command": _FETCH}],
        repair=3,
    )
    end = _harden(space)
    assert end.returncode == 0, end.stderr
    assert "/usr/share/hello/index.html" in (space / "policy.yaml").read_text()
    verification = read_verification(space / "evidence" / "web" / "verification.json")
    assert [turn.outcome for turn in verification.rounds] == ["failed", "passed"]
    again = _harden(space)
    assert again.returncode == 0, again.stderr
    assert all(
        told.startswith("as before") for s, told in _done(again.stderr).items() if s in _STEPS
    )


_INSIDE = (
    "nsenter --net=/proc/$(docker inspect --format '{{.State.Pid}}' $PAREDOWN_CONTAINER)/ns/net "
    + _FETCH
)
_SLIM = "paredown-harden:slim"


def test_a_container_image_with_scans_of_both_sides(
    apk_rootfs: Path, docker_daemon: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = "paredown-harden:1"
    engines.import_tree(docker_daemon, apk_rootfs, original)
    monkeypatch.setenv("DOCKER_HOST", docker_daemon.env["DOCKER_HOST"])
    space = _project(
        tmp_path / "space",
        f"docker:{original}",
        output=f"docker:{_SLIM}",
        run=f"docker run --rm --net=none {{image}} {COMMAND}",
        ready=_INSIDE,
        scenarios=[
            {"name": "home", "command": _INSIDE},
            {"name": "other", "command": f"{_INSIDE}other"},
        ],
        scan="cat scans/{image}.json",
    )
    (space / "policy.yaml").write_text(
        "version: 1\ngates: {max_cves: {high: 1}}\nrenew: {max_new_cves: {high: 0}}\n"
    )
    (space / "scans").mkdir()
    matches = [scans.grype_match(f"CVE-{n}", n, "1", "apk") for n in ("apk-tools", "hello-server")]
    scans.write(space / "scans" / f"{original}.json", scans.grype(matches))
    scans.write(space / "scans" / f"{_SLIM}.json", scans.grype(matches[1:]))
    end = _harden(space)
    assert end.returncode == 0, end.stderr
    assert "  2 → 1  passed  2 of 2  " in end.stdout
    digest = docker_daemon.run("image", "inspect", "--format", "{{.Id}}", _SLIM).stdout.strip()
    assert f"docker:{_SLIM} ({digest})" in end.stdout
    plan = read_plan(space / "evidence" / "web" / "plan.json")
    assert plan.image == identify(f"docker:{original}")
    with contextlib.closing(open_image(f"docker:{original}")) as image:
        assert plan.image == image.identity
    assert {trace.scenario for trace in plan.traces} == {"home", "other"}
    written = {path.name for path in (space / "evidence" / "web" / "report").iterdir()}
    assert written == set(report.FILES)
    assert _status(space).returncode == 0
    scans.write(space / "scans" / f"{_SLIM}.json", scans.grype(matches))
    again = _status(space)
    assert again.returncode == 3
    assert "1 new (CVE-apk-tools apk-tools)" in again.stdout


def _status(space: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "paredown_minimizer", "status"]
    return subprocess.run(command, cwd=space, capture_output=True, text=True, check=False)
