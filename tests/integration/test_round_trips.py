"""An image of which nothing goes comes out the same, from every format to every format.

What went in and what came out are read by skopeo, umoci, docker and podman alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
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

ENGINES = ("docker", "podman")
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
PAIRS = [
    (scheme, tool, destination)
    for scheme, tools in SOURCES.items()
    for tool in tools
    for destination in FORMATS
    if tool == tools[0] or destination == "dir"
]


@dataclasses.dataclass(frozen=True)
class Odd:
    """The image, where each tool's form of it is, and what witnesses say of its tree."""

    space: Path
    docker: Engine
    podman: Engine
    tree: Mapping[str, object]
    known: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    plans: dict[str, Path] = dataclasses.field(default_factory=dict)

    def is_known(self, destination: str, place: str, expected: Any) -> bool:
        """Say whether the same bytes have been looked at before, in the same light."""
        if destination in ENGINES:
            engine = self.docker if destination == "docker" else self.podman
            digest = engine.run("image", "inspect", "--format", "{{.Id}}", place).stdout
        else:
            top = Path(place)
            files = sorted(p for p in top.rglob("*") if p.is_file()) if top.is_dir() else [top]
            names = [str(path.relative_to(top)) for path in files]
            digest = repr([names, [hashlib.sha256(p.read_bytes()).digest() for p in files]])
        key = (f"{destination} {digest}", json.dumps(expected, sort_keys=True))
        was_known = key in self.known
        self.known.add(key)
        return was_known

    def source(self, scheme: str, tool: str) -> str:
        """Return it as SOURCE."""
        if scheme in ("docker", "podman"):
            return f"{scheme}:{REFERENCE}"
        return f"{scheme}:{self.space}/{scheme} by {tool}"

    def config(self, scheme: str, tool: str) -> Any:
        """Return its configuration; what an engine has is what it saves."""
        if scheme in ("docker", "podman"):
            scheme = "docker-archive"
        return configuration(f"{transport(scheme)}:{self.space}/{scheme} by {tool}")


@pytest.fixture(scope="module")
def odd(
    docker_daemon: Engine,
    podman_engine: Engine,
    require: Require,
    tmp_path_factory: pytest.TempPathFactory,
) -> Odd:
    for program in ("skopeo", "umoci", "zstd"):
        require(shutil.which(program) is not None, f"{program} is not installed")
    require(odd_image.BUSYBOX.exists(), "busybox-static is not installed")
    space = tmp_path_factory.mktemp("odd")
    odd_image.make(docker_daemon, podman_engine, space)
    return Odd(space, docker_daemon, podman_engine, tree_of(space / "dir by umoci"))


@pytest.fixture
def environment(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    for engine in (odd.docker, odd.podman):
        for name, value in engine.env.items():
            monkeypatch.setenv(name, value)


def everything_kept(odd: Odd, source: str, destination: str, *options: str) -> None:
    """Apply a plan whose policy lets nothing go, made once for each source."""
    if source not in odd.plans:
        odd.plans[source] = _plan(source, odd.space / f"plan-{len(odd.plans)}")
    assert main(["apply", str(odd.plans[source]), source, "-o", destination, *options]) == 0


def _plan(source: str, space: Path) -> Path:
    space.mkdir()
    plan, policy, trace = (space / name for name in ("plan.json", "policy.yaml", "app.trace"))
    policy.write_text(KEEP)
    image = open_image(source)
    write_trace(trace, trace_records(["/bin/busybox"], identity=image.identity))
    image.close()
    arguments = ["plan", source, "--trace", str(trace), "--policy", str(policy), "-o", str(plan)]
    assert main(arguments) == 0
    return plan


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("scheme", "tool", "destination"), PAIRS)
def test_nothing_removed_is_nothing_changed(
    odd: Odd, scheme: str, tool: str, destination: str, tmp_path: Path
) -> None:
    place = f"paredown-test/odd:from-{scheme}" if destination in ENGINES else f"{tmp_path}/out"
    everything_kept(odd, odd.source(scheme, tool), f"{destination}:{place}")
    if destination == "dir":
        assert tree_of(tmp_path / "out") == odd.tree
        return
    # A directory has no configuration.
    expected = None if scheme == "dir" else carried_over(odd.config(scheme, tool))
    if odd.is_known(destination, place, expected):
        return
    command = () if expected else ("/bin/busybox", "echo", "it runs")
    image = accepted(odd, destination, place, tmp_path, *command)
    assert witnessed(image, tmp_path) == odd.tree
    config = configuration(image)
    assert len(config["rootfs"]["diff_ids"]) == 1
    assert not expected or carried_over(config) == expected


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("destination", [name for name in FORMATS if name != "dir"])
def test_with_its_layers_kept_nothing_is_changed_either(
    odd: Odd, destination: str, tmp_path: Path
) -> None:
    place = "paredown-test/odd:layers" if destination in ENGINES else f"{tmp_path}/out"
    source = odd.source("docker", "docker")
    everything_kept(odd, source, f"{destination}:{place}", "--keep-layers")
    image = accepted(odd, destination, place, tmp_path)
    assert witnessed(image, tmp_path) == odd.tree
    config, original = configuration(image), odd.config("docker", "docker")
    assert 1 < len(config["rootfs"]["diff_ids"]) <= len(original["rootfs"]["diff_ids"])
    assert carried_over(config) == carried_over(original)


def test_the_witness_sees_what_a_later_layer_took_away(odd: Odd) -> None:
    """The negative control: the original's layers have the secret, its tree has not."""
    layout = odd.space / "oci-dir by umoci"
    assert any(odd_image.SECRET in content for content in odd_image.contents(layout))
    assert "/secret" not in odd.tree


def witnessed(image: str, space: Path) -> Mapping[str, object]:
    """Return an image's tree by umoci, from what skopeo copies of it; no layer has the secret."""
    copy(image, f"oci:{space}/witness:latest")
    assert not any(odd_image.SECRET in blob for blob in odd_image.contents(space / "witness"))
    return tree_of(unpack(space / "witness", space / "bundle") / "rootfs")


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


def transport(scheme: str) -> str:
    """Return skopeo's name of a format."""
    return {"oci-dir": "oci"}.get(scheme, scheme)


def accepted(odd: Odd, scheme: str, place: str, space: Path, *command: str) -> str:
    """Run what was written under the engines that take it; return the image for skopeo."""
    if scheme in ENGINES:
        engine = odd.docker if scheme == "docker" else odd.podman
        _runs(engine, place, *command)
        assert json.loads(engine.run("image", "inspect", place).stdout)
        engine.run("save", "--output", f"{space}/saved", place)
        return f"docker-archive:{space}/saved"
    image = f"{transport(scheme)}:{place}"
    for engine in (odd.docker, odd.podman):
        file = Path(place)
        # What an engine does not load as it is, skopeo copies for it.
        if scheme not in ("docker-archive", *(["oci-archive"] if engine is odd.podman else [])):
            file = space / f"for-{engine.command}"
            copy(image, f"docker-archive:{file}:copied")
        said = engine.run("load", "--quiet", "--input", str(file)).stdout
        _runs(engine, said.strip().rpartition(": ")[2], *command)
    return image
