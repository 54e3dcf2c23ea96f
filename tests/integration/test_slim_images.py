"""Images of real applications, slimmed: under docker and podman they do all that the original did.

They do so with no more than ``paredown runtime`` says that they need.

A run takes those of SELECTION, which have each suite, engine, package manager and language but
Python (test_main_job.py), with two at granularity trim; PAREDOWN_IMAGES=all takes all.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import less
import slim_images
import tree_witness
from container_tools import Engine
from fixture_types import Require
from paredown_minimizer.runtime.formats import PROFILE
from paredown_schemas.plan import read_plan
from served import SERVED
from slim_images import Served, Slimmed

SELECTION = {
    "nginx-trixie-docker",
    "PostgreSQL-bookworm-docker",
    "Node-bookworm-podman",
    "Java-bookworm-podman",
    "PHP-trixie-docker",
    "Ruby-bullseye-docker",
    "rpm-nginx-sqlite-docker",
    "apk-server-alpine-podman",
}
TRIMMED = {"PostgreSQL-bookworm-docker", "Node-bookworm-podman"}
CASES = [
    pytest.param(served, suite, engine, "trim" if name in TRIMMED else "package", id=name)
    for served in SERVED
    for suite in served.suites
    for engine in ("docker", "podman")
    if (name := f"{served.name}-{suite}-{engine}") in SELECTION
    or os.environ.get("PAREDOWN_IMAGES") == "all"
]


@pytest.fixture(scope="module")
def slim(
    recording: None,
    docker_daemon: Engine,
    require: Require,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """Return ``slim(…)``: the image recorded and planned, once for both engines."""
    del recording
    made: dict[tuple[str, str, str], Slimmed] = {}

    def get(served: Served, suite: str, granularity: str) -> Slimmed:
        key = (served.name, suite, granularity)
        if key not in made:
            try:
                assert served.application(suite).source.is_dir()
            except (OSError, subprocess.SubprocessError) as error:
                require(False, f"no root filesystem can be made: {error}")
            made.clear()
            made[key] = slim_images.slim(
                served, suite, docker_daemon, tmp_path_factory.mktemp("image"), granularity
            )
        return made[key]

    return get


# First, as nginx is then made already for the test after it.
@pytest.mark.parametrize(
    ("taken", "message"),
    [
        ("--cap-add=CAP_CHOWN", "Operation not permitted"),
        ("--tmpfs=/run:", "Read-only file system"),
        ("bind", "bind() to 0.0.0.0:80 failed"),
    ],
)
def test_with_less_than_it_needs_nothing_starts(
    slim: Any, docker_daemon: Engine, taken: str, message: str
) -> None:
    (nginx,) = (served for served in SERVED if served.name == "nginx")
    slimmed = slim(nginx, "trixie", "package")
    options = less.options(slimmed.plan)
    left = [option for option in options if not option.startswith(taken)]
    profile = slimmed.plan.with_name(PROFILE)
    text = profile.read_text()
    profile.write_text(text.replace(f'"{taken}",', ""))
    assert (len(left), profile.read_text()) != (len(options), text)
    command = ["run", "--rm", slim_images.NETWORK, *left, slimmed.reference]
    result = docker_daemon.run(*command, check=False)
    assert result.returncode != 0
    assert message in result.stderr


@pytest.mark.parametrize(("served", "suite", "engine", "granularity"), CASES)
def test_slim_image_does_all_that_the_original_did(
    slim: Any,
    docker_daemon: Engine,
    request: pytest.FixtureRequest,
    served: Served,
    suite: str,
    engine: str,
    granularity: str,
    tmp_path: Path,
) -> None:
    under = {"docker": "docker_daemon", "podman": "podman_engine"}[engine]
    there: Engine = request.getfixturevalue(under)
    slimmed = slim(served, suite, granularity)
    reference = slim_images.apply(slimmed, docker_daemon, there)
    options = less.options(slimmed.plan)
    assert {"--cap-drop=ALL", "--read-only"} <= set(options)
    with slim_images.container(there, reference, slimmed.application, (), options) as running:
        assert slim_images.ask(served, slimmed.application, running) == slimmed.answers
        assert slim_images.healthy(there, running)
    tree = slim_images.export(there, reference, tmp_path / "tree")
    plan = read_plan(slimmed.plan)
    assert 0 < len(served.listed(tree)) == plan.after.packages < plan.before.packages
    assert tree_witness.regular_bytes(tree) < plan.before.bytes
    # Where it finds nothing at all, what it finds in the original need not be known.
    assert not (found := served.verify(tree)) or found <= served.verify(slimmed.tree)
    # The negative control: it says so where a package's file is missing.
    owned = (tree / f"{k.directory}/{name}".lstrip("/") for k in plan.kept for name in k.names)
    next(p for p in owned if p.is_file() and not p.is_symlink() and "usr" in p.parts).unlink()
    assert served.verify(tree) - found
