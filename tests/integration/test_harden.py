"""The whole pipeline, killed in each of its steps and resumed; and its ends that are none."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import engines
import scans
from apk_tree import COMMAND
from container_tools import Docker, processes, wait_for
from paredown_minimizer import cli, report
from paredown_minimizer.apply import apply_plan
from paredown_minimizer.image.slim import Provenance
from paredown_minimizer.image.source import open_image, write_image
from paredown_minimizer.pipeline.images import identify
from paredown_minimizer.pipeline.project import read_project
from paredown_minimizer.pipeline.state import read_state
from paredown_minimizer.pipeline.status import status_of_image
from paredown_minimizer.planning import Inputs, make_plan
from paredown_schemas.plan import dump_plan, read_plan
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


def _made(said: str) -> list[str]:
    """Return the steps that were not as before."""
    told = _done(said)
    return [step for step in _STEPS if not told.get(step, "as before").startswith("as before")]


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


def _in_process(space: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run harden here and quickly: nothing is started that would need a network of its own."""
    monkeypatch.chdir(space)
    return cli.main(["harden"])


@pytest.fixture(scope="module")
def resumed(apk_rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of which harden was killed in each step, one after the other, and then was not."""
    space = _project(tmp_path_factory.mktemp("harden") / "space", f"dir:{apk_rootfs}")
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
    assert _made(end.stderr) == ["report"]
    return space


def test_killed_in_each_step_it_comes_to_the_same_end(
    resumed: Path, apk_rootfs: Path, tmp_path: Path
) -> None:
    evidence = resumed / "evidence" / "web"
    traces = [str(evidence / "traces" / f"{name}.trace") for name in ("one", "two")]
    plan = make_plan(Inputs(f"dir:{apk_rootfs}", traces, resumed / "policy.yaml")).plan
    assert dump_plan(plan) == (evidence / "plan.json").read_text()
    slim = f"dir:{tmp_path / 'slim'}"
    with contextlib.closing(open_image(f"dir:{apk_rootfs}")) as image:
        write_image(apply_plan(plan, image), slim, Provenance("", "", ""), force=False)
    assert identify(f"dir:{resumed / 'slim'}") == identify(slim)
    assert read_verification(evidence / "verification.json").plan == plan.id
    found = {path.name for path in (*resumed.iterdir(), *evidence.iterdir())}
    assert found == {
        *("paredown.yaml", "policy.yaml", "slim", "evidence"),
        *("state.json", "traces", "plan.json", "verification.json", "report"),
        *("slim.trace", "slim.trace.log", "slim.trace.tests.log"),
    }


def test_what_fails_ends_with_3_and_what_cannot_be_done_with_1(
    resumed: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path, policy = resumed / "paredown.yaml", (resumed / "policy.yaml").read_text()
    (image,) = json.loads(path.read_text())["images"]
    assert _in_process(resumed, monkeypatch) == 0
    said = capfd.readouterr()
    assert (_made(said.err), said.out.splitlines()[1].split()[0]) == ([], "web")
    # Gates are looked at before anything is written.
    (resumed / "policy.yaml").write_text("version: 1\ngates: {max_packages: 1}")
    assert _in_process(resumed, monkeypatch) == 3
    said = capfd.readouterr()
    assert _made(said.err) == ["plan"]
    assert "web: gate max_packages failed: 5, at most 1" in said.out
    (resumed / "policy.yaml").write_text(policy)
    # Tests fail after all was done, and the report says so.
    tests = [{"name": "good", "command": "true"}, {"name": "bad", "command": "echo no; exit 4"}]
    path.write_text(json.dumps({"version": 1, "images": [{**image, "tests": tests}]}))
    failed = _harden(resumed)
    assert failed.returncode == 3
    assert _made(failed.stderr) == ["plan", "verify", "report"]
    assert "verify: FAILED: 1 of 2 tests passed; test bad failed with status 4: no" in failed.stderr
    assert "web: tests failed: test bad failed with status 4: no" in failed.stdout
    assert "failed" in (resumed / "evidence" / "web" / "report" / "report.md").read_text()
    # What cannot be done for one image is no reason to leave the others.
    broken = [{"name": "one", "command": "echo why; exit 9"}, *image["scenarios"][1:]]
    other = {**image, "name": "other", "source": "dir:nowhere", "output": "dir:slim2"}
    path.write_text(json.dumps({"version": 1, "images": [other, {**image, "scenarios": broken}]}))
    end = _harden(resumed)
    assert end.returncode == 1
    assert "error: other: cannot harden other: there is no dir:nowhere" in end.stderr
    assert "error: web: cannot record one: failed: test one failed with status 9: why" in end.stderr
    log = resumed / "evidence" / "web" / "traces" / "one.trace.tests.log"
    assert f"what it said is in {log.relative_to(resumed)}" in end.stderr
    assert log.read_text() == "why\n"


_CONNECT = 'import socket; socket.create_connection(("127.0.0.1", 8080))'


def test_what_repair_made_is_as_before(
    apk_rootfs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The load asks for no page, so that it goes, and the slim image serves none."""
    space = _project(
        tmp_path / "space",
        f"dir:{apk_rootfs}",
        ready=f"{sys.executable} -c '{_CONNECT}'",
        granularity="file",
        scenarios=[{"name": "one", "command": "true"}],
        tests=[{"name": "page", "command": _FETCH}],
        repair=3,
    )
    end = _harden(space)
    assert end.returncode == 0, end.stderr
    assert "/usr/share/hello/index.html" in (space / "policy.yaml").read_text()
    verification = read_verification(space / "evidence" / "web" / "verification.json")
    assert [turn.outcome for turn in verification.rounds] == ["failed", "passed"]
    assert _in_process(space, monkeypatch) == 0
    assert _made(capfd.readouterr().err) == []


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
    monkeypatch.chdir(space)
    (config,) = read_project(Path("paredown.yaml"))
    assert not status_of_image(config).again
    scans.write(space / "scans" / f"{_SLIM}.json", scans.grype(matches))
    (over,) = (change for change in status_of_image(config).changes if change.over)
    assert over.now == "2; 1 new (CVE-apk-tools apk-tools)"
