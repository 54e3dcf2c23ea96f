"""An image of which nothing goes comes out the same, from every format to every format.

What went in and what came out are read by skopeo, umoci, docker and podman alone.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import odd_image
from container_tools import Engine
from fixture_types import Require
from odd_image import REFERENCE, configuration, copy, tree_of, unpack
from paredown_minimizer.cli import main
from paredown_minimizer.image.source import FORMATS, open_image
from traces import trace_records, write_trace

KEEP = "version: 1\npins:\n  - keep: /**\n    reason: nothing goes\n"
# Each format, and by whom; the first of each format is written to every format.
SOURCES = {
    "dir": ["umoci"],
    "docker": ["docker"],
    "podman": ["podman"],
    "docker-archive": ["docker", "skopeo", "podman"],
    "oci-dir": ["umoci", "skopeo, zstd", "podman"],
    "oci-archive": ["skopeo", "podman"],
}
CASES = [
    pytest.param(scheme, tool, destination, id=f"{scheme} by {tool} to {destination}")
    for scheme, tools in SOURCES.items()
    if scheme in FORMATS
    for number, tool in enumerate(tools)
    for destination in FORMATS
    if number == 0 or destination == "dir"
]


@dataclasses.dataclass(frozen=True)
class Odd:
    """The image, where each tool's form of it is, and what the witnesses say of it."""

    space: Path
    docker: Engine
    podman: Engine
    tree: Mapping[str, object]
    config: Any

    def source(self, scheme: str, tool: str) -> str:
        if scheme in ("docker", "podman"):
            return f"{scheme}:{REFERENCE}"
        return f"{scheme}:{self.space}/{scheme} by {tool}"


@pytest.fixture(scope="module")
def odd(
    docker_daemon: Engine,
    podman_engine: Engine,
    require: Require,
    tmp_path_factory: pytest.TempPathFactory,
) -> Odd:
    for program in ("skopeo", "umoci"):
        require(shutil.which(program) is not None, f"{program} is not installed")
    require(odd_image.BUSYBOX.exists(), "busybox-static is not installed")
    space = tmp_path_factory.mktemp("odd")
    layout = odd_image.make(docker_daemon, space)
    layout.rename(space / "oci-dir by umoci")
    layout = space / "oci-dir by umoci"
    original, zstd = f"oci:{layout}:latest", ["--dest-compress-format", "zstd"]
    copy(original, f"oci:{space}/oci-dir by skopeo, zstd:latest", *zstd)
    copy(original, f"oci-archive:{space}/oci-archive by skopeo")
    archive = space / "docker-archive by skopeo"
    copy(original, f"docker-archive:{archive}:{REFERENCE}")
    for engine in (docker_daemon, podman_engine):
        engine.run("load", "--input", str(archive))
        saved = space / f"docker-archive by {engine.command}"
        engine.run("save", "--output", str(saved), REFERENCE)
    for form in ("oci-dir", "oci-archive"):
        saved = space / f"{form} by podman"
        podman_engine.run("save", "--format", form, "--output", str(saved), REFERENCE)
    (unpack(layout, space / "bundle") / "rootfs").rename(space / "dir by umoci")
    tree = tree_of(space / "dir by umoci")
    return Odd(space, docker_daemon, podman_engine, tree, configuration(layout))


@pytest.fixture
def environment(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    for engine in (odd.docker, odd.podman):
        for name, value in engine.env.items():
            monkeypatch.setenv(name, value)


def everything_kept(source: str, destination: str, space: Path, *options: str) -> None:
    """Plan and apply under a policy that lets nothing go."""
    plan, policy, trace = (space / name for name in ("plan.json", "policy.yaml", "app.trace"))
    policy.write_text(KEEP)
    image = open_image(source)
    write_trace(trace, trace_records(["/bin/busybox"], identity=image.identity))
    image.close()
    arguments = ["plan", source, "--trace", str(trace), "--policy", str(policy), "-o", str(plan)]
    assert main(arguments) == 0
    assert main(["apply", str(plan), source, "-o", destination, *options]) == 0


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("scheme", "tool", "destination"), CASES)
def test_nothing_removed_is_nothing_changed(
    odd: Odd, scheme: str, tool: str, destination: str, tmp_path: Path
) -> None:
    reference = f"paredown-test/odd:from-{scheme}"
    place = {"docker": reference, "podman": reference}.get(destination, f"{tmp_path}/out")
    everything_kept(odd.source(scheme, tool), f"{destination}:{place}", tmp_path)
    if destination == "dir":
        assert tree_of(tmp_path / "out") == odd.tree
        return
    layout = tmp_path / "witness"
    # A directory has no configuration.
    command = ("/bin/busybox", "echo", "it runs") if scheme == "dir" else ()
    if destination in ("docker", "podman"):
        engine = odd.docker if destination == "docker" else odd.podman
        _by_engine(engine, place, layout, *command)
    else:
        _by_copying(odd, destination, place, layout, *command)
    unpacked = unpack(layout, tmp_path / "bundle") / "rootfs"
    assert tree_of(unpacked) == odd.tree
    assert odd_image.SECRET not in b"".join(
        p.read_bytes() for p in layout.rglob("*") if p.is_file()
    )
    if scheme != "dir":
        assert carried_over(configuration(layout)) == carried_over(odd.config)


def carried_over(config: Any) -> Any:
    """Return of a configuration what must not change; paredown's own labels are left out."""
    settings = dict(config["config"])
    labels = settings.get("Labels", {}).items()
    settings["Labels"] = {k: v for k, v in labels if not k.startswith("dev.paredown.")}
    about = {key: config.get(key) for key in ("architecture", "os", "created", "author")}
    return {**about, **{key: value for key, value in settings.items() if value}}


def _runs(engine: Engine, reference: str, *command: str) -> None:
    ran = engine.run("run", "--rm", "--net=none", reference, *command, check=False)
    assert (ran.returncode, ran.stdout) == (0, "it runs\n"), ran.stderr


def _by_engine(engine: Engine, reference: str, layout: Path, *command: str) -> None:
    _runs(engine, reference, *command)
    assert json.loads(engine.run("image", "inspect", reference).stdout)
    saved = layout.with_name("saved")
    engine.run("save", "--output", str(saved), reference)
    copy(f"docker-archive:{saved}", f"oci:{layout}:latest")


def _by_copying(odd: Odd, scheme: str, place: str, layout: Path, *command: str) -> None:
    """Both engines run it: as it is where they read its form, or as skopeo copies it."""
    form = {"oci-dir": "oci"}.get(scheme, scheme)
    copy(f"{form}:{place}", f"oci:{layout}:latest")
    archive = layout.with_name("copied")
    for engine in (odd.docker, odd.podman):
        copy(f"{form}:{place}", f"docker-archive:{archive}:copied")
        loads = scheme == "docker-archive" or (scheme == "oci-archive" and engine is odd.podman)
        said = engine.run("load", "--quiet", "--input", place if loads else str(archive)).stdout
        reference = said.strip().rpartition(": ")[2]
        _runs(engine, reference, *command)
        engine.run("rmi", reference)
        archive.unlink()
