"""Images of layers, applied by the command line: what engines and tools make of what is written."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from archives import archive, layer, link
from container_tools import Docker, Engine
from fixture_types import MakeTrace, Require
from paredown_minimizer.cli import main
from paredown_minimizer.image.source import open_image
from paredown_schemas.plan import read_plan
from trees import CAPABILITY, table

SAY = "grep -h . /etc/motd /app/data && stat -c %a:%u /app/tool && id -u"
SAID = "welcome\ndata\n4711:33\n1234\n"
SETTINGS: dict[str, Any] = {
    "Entrypoint": ["/bin/busybox", "sh", "-c"],
    "Cmd": [SAY],
    "Env": ["PATH=/bin", "LANG=C"],
    "User": "1234:5678",
    "WorkingDir": "/app",
    "Labels": {"who": "me"},
    "Healthcheck": {"Test": ["CMD", "/bin/busybox", "true"], "Interval": 30_000_000_000},
    "StopSignal": "SIGQUIT",
    "Volumes": {"/data": {}},
    "ExposedPorts": {"80/tcp": {}},
    "Shell": ["/bin/busybox", "sh", "-c"],
    "OnBuild": ["RUN true"],
}
HISTORY = [
    {"created_by": "ADD busybox"},
    {"created_by": "ENV LANG=C", "empty_layer": True},
    {"created_by": "COPY secret"},
    {"created_by": "RUN rm secret"},
    {"created_by": "COPY app"},
]


@pytest.fixture
def source(tmp_path: Path, require: Require) -> Path:
    """A docker archive that says something when run; nothing is left of its layers 1 and 2."""
    busybox = shutil.which("busybox")
    require(busybox is not None, "busybox is not installed")
    program = {"data": Path(str(busybox)).read_bytes(), "mode": 0o755}
    links = [link(f"bin/{name}", "busybox") for name in ("sh", "cat", "grep", "stat", "id")]
    capability = {"SCHILY.xattr.security.capability": CAPABILITY.decode("latin-1")}
    tool = {"data": b"tool", "mode": 0o4711, "uid": 33, "pax_headers": {"mtime": "7.000000001"}}
    fifo = {"type": tarfile.FIFOTYPE, "mode": 0o640}
    layers = [
        layer("bin/", ("bin/busybox", program), *links, "etc/", ("etc/motd", "welcome\n")),
        layer(("etc/secret", "s3cret"), ("etc/key", "k3y")),
        layer("etc/.wh.secret", "etc/.wh.key"),
        layer(
            *("app/", ("app/data", "data\n"), link("app/hard", "app/data", hard=True)),
            *(("app/tool", tool), ("app/capable", {"pax_headers": capability}), ("fifo", fifo)),
            *("app/" + "n" * 120, "data/"),
        ),
    ]
    config = {"created": "2024-05-01T00:00:00Z", "config": SETTINGS, "history": HISTORY}
    return archive(tmp_path / "in.tar", layers, config=config, compress=True)


@pytest.fixture
def plan(source: Path, tmp_path: Path, make_trace: MakeTrace) -> Path:
    return planned(f"docker-archive:{source}", tmp_path / "plan.json", make_trace)


def planned(source: str, path: Path, make_trace: MakeTrace) -> Path:
    with contextlib.closing(open_image(source)) as image:
        trace = make_trace(["/bin/busybox"], identity=image.identity, platform=image.platform)
    assert main(["plan", source, "--trace", str(trace), "-o", str(path)]) == 0
    return path


@pytest.fixture
def docker(docker_daemon: Docker, monkeypatch: pytest.MonkeyPatch) -> Docker:
    lead_to(docker_daemon, monkeypatch)
    return docker_daemon


@pytest.fixture
def podman(podman_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    lead_to(podman_engine, monkeypatch)
    return podman_engine


def lead_to(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in engine.env.items():
        monkeypatch.setenv(name, value)


def apply(plan: Path, source: Path, destination: str, *options: str) -> int:
    return main(["apply", str(plan), f"docker-archive:{source}", "-o", destination, *options])


def check(engine: Engine, reference: str, plan: Path, *, layers: int) -> None:
    """Inspect and run what was written."""
    (shown,) = json.loads(engine.run("image", "inspect", reference).stdout)
    assert len(shown["RootFS"]["Layers"]) == layers
    labels = shown["Config"]["Labels"]
    assert (labels["who"], labels["dev.paredown.plan"]) == ("me", read_plan(plan).id)
    for key in ("Entrypoint", "Cmd", "Env", "User", "WorkingDir", "StopSignal", "ExposedPorts"):
        assert shown["Config"][key] == SETTINGS[key], key
    run = engine.run("run", "--rm", "--net=none", reference)
    assert run.stdout == SAID


OPTIONS = [pytest.param([], 1, id="squashed"), pytest.param(["--keep-layers"], 2, id="kept")]


@pytest.mark.parametrize(("options", "layers"), OPTIONS)
def test_into_docker(
    docker: Docker, plan: Path, source: Path, options: list[str], layers: int
) -> None:
    reference = f"written:{layers}"
    assert apply(plan, source, f"docker:{reference}", *options) == 0
    check(docker, reference, plan, layers=layers)
    assert apply(plan, source, f"docker:{reference}", *options) == 2
    assert apply(plan, source, f"docker:{reference}", *options, "--force") == 0
    history = docker.run("history", "--quiet", "--no-trunc", reference)
    assert len(history.stdout.split()) == len(HISTORY) + 1
    assert left_of(f"docker:{reference}") == left_of(source)


def test_bases_stay_shared(
    docker: Docker, source: Path, tmp_path: Path, make_trace: MakeTrace
) -> None:
    """Two images that docker built on one; each has a file of the base deleted or changed."""
    docker.run("load", "--input", str(source))
    layers = []
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        (tmp_path / "Dockerfile").write_text(
            f"FROM test\nUSER 0\nCOPY {name} /app/new\n"
            'RUN ["/bin/busybox", "rm", "/app/data"]\n'
            'RUN ["/bin/busybox", "chmod", "4755", "/app/hard"]\n'
        )
        docker.run("build", "--quiet", "--network=none", "--tag", name, str(tmp_path))
        plan = planned(name, tmp_path / f"{name}.json", make_trace)
        destination = f"docker:slim/{name}"
        assert main(["apply", str(plan), name, "-o", destination, "--keep-layers"]) == 0
        (shown,) = json.loads(docker.run("image", "inspect", f"slim/{name}").stdout)
        layers.append(shown["RootFS"]["Layers"])
        run = ["run", "--rm", "--net=none", f"slim/{name}", "cat /app/new; stat -c %a /app/hard"]
        assert docker.run(*run).stdout == f"{name}4755\n"
        assert left_of(f"docker:slim/{name}") == left_of(f"docker:{name}")
    one, two = layers
    assert len(one) == len(two) == 5
    assert one[:2] == two[:2]
    assert one[2] != two[2]


@pytest.mark.parametrize(("options", "layers"), OPTIONS)
def test_into_podman(
    podman: Engine, plan: Path, source: Path, options: list[str], layers: int
) -> None:
    reference = f"localhost/written:{layers}"
    assert apply(plan, source, f"podman:{reference}", *options) == 0
    check(podman, reference, plan, layers=layers)
    assert apply(plan, source, f"podman:{reference}", *options) == 2
    assert left_of(f"podman:{reference}") == left_of(source)


def left_of(source: str | Path) -> dict[str, Any]:
    spec = source if isinstance(source, str) else f"docker-archive:{source}"
    with contextlib.closing(open_image(spec)) as image:
        return dict(image.tree)


@pytest.mark.parametrize(("options", "layers"), OPTIONS)
def test_archives_are_loaded_by_both(
    docker: Docker,
    podman: Engine,
    plan: Path,
    source: Path,
    tmp_path: Path,
    options: list[str],
    layers: int,
) -> None:
    for scheme in ("docker-archive", "oci-archive"):
        file, reference = tmp_path / scheme, f"localhost/{scheme}:{layers}"
        assert apply(plan, source, f"{scheme}:{file}:{reference}", *options) == 0
        for engine in (docker, podman):
            engine.run("load", "--input", str(file))
            check(engine, reference, plan, layers=layers)


def test_nothing_touches_the_disk_on_the_way(
    docker: Docker, plan: Path, source: Path, tmp_path: Path, require: Require
) -> None:
    """From engine to engine, and from compressed layers to an archive; strace is the witness."""
    require(shutil.which("strace") is not None, "strace is not installed")
    docker.run("load", "--input", str(source))
    for origin, destination in (
        ("docker:test", "docker:on-the-way"),
        (f"docker-archive:{source}", f"oci-archive:{tmp_path}/out"),
    ):
        command = [sys.executable, "-m", "paredown_minimizer", "apply", str(plan), origin]
        log = str(tmp_path / "log")
        subprocess.run(
            [
                *("strace", "-f", "-o", log, "-e", "trace=open,openat,openat2,creat"),
                *(*command, "-o", destination),
            ],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        calls = (tmp_path / "log").read_text().splitlines()
        assert any("O_RDONLY" in call for call in calls)
        writing = [call for call in calls if re.search("O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE", call)]
        elsewhere = [call for call in writing if '"/dev/null"' not in call and "ENOENT" not in call]
        assert [call for call in elsewhere if f'"{tmp_path}/.out.' not in call] == []
        assert len(elsewhere) == (0 if destination.startswith("docker") else 1)


def test_engine_that_gives_up_says_why(
    plan: Path,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    require: Require,
) -> None:
    require(shutil.which("docker") is not None, "docker is not installed")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    assert apply(plan, source, "docker:written:1") == 1
    error = capsys.readouterr().err
    assert "cannot write image written:1: docker: " in error
    assert "unix:///nowhere" in error


@pytest.mark.parametrize(("options", "layers"), OPTIONS)
def test_layouts_are_read_by_skopeo_and_umoci(
    plan: Path, source: Path, tmp_path: Path, require: Require, options: list[str], layers: int
) -> None:
    for tool in ("skopeo", "umoci"):
        require(shutil.which(tool) is not None, f"{tool} is not installed")
    require(os.geteuid() == 0, "unpacking with owners takes root")
    assert apply(plan, source, f"dir:{tmp_path}/tree") == 0
    assert apply(plan, source, f"oci-dir:{tmp_path}/layout:shop", *options) == 0
    assert apply(plan, source, f"oci-archive:{tmp_path}/archive:shop", *options) == 0
    digests = set()
    for place in ("oci:{}/layout:shop", "oci-archive:{}/archive:shop"):
        shown = json.loads(said("skopeo", "inspect", place.format(tmp_path)))
        assert len(shown["Layers"]) == layers
        assert shown["Labels"]["dev.paredown.original"] == read_plan(plan).image
        digests.add(shown["Digest"])
        raw = json.loads(said("skopeo", "inspect", "--raw", place.format(tmp_path)))
        assert raw["annotations"]["dev.paredown.plan"] == read_plan(plan).id
        config = json.loads(said("skopeo", "inspect", "--config", place.format(tmp_path)))
        assert config["config"]["Entrypoint"] == SETTINGS["Entrypoint"]
        copied = tmp_path / place.partition(":")[0]
        said("skopeo", "copy", place.format(tmp_path), f"docker-archive:{copied}:a:b")
        assert left_of(copied) == left_of(source)
        assert b"welcome" in copied.read_bytes()  # not compressed there
        assert b"s3cret" not in copied.read_bytes()
    assert len(digests) == 1
    said("umoci", "unpack", "--image", f"{tmp_path}/layout:shop", str(tmp_path / "bundle"))
    assert table(tmp_path / "bundle/rootfs") == table(tmp_path / "tree")
    run = json.loads((tmp_path / "bundle/config.json").read_text())["process"]
    assert (run["args"], run["cwd"]) == ([*SETTINGS["Entrypoint"], SAY], "/app")
    assert (run["user"]["uid"], run["user"]["gid"]) == (1234, 5678)


def said(*command: str) -> bytes:
    done: bytes = subprocess.run(command, check=True, capture_output=True).stdout
    return done


DESTINATIONS = [
    "docker-archive:{}/a.tar:shop:1",
    "oci-archive:{}/b.tar:shop:1",
    "oci-dir:{}/c:shop:1",
]


@pytest.fixture
def everybodys(source: Path, plan: Path) -> Iterator[Path]:
    """A directory that another user may read and write, with the source and the plan."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o777)
    for path in (source, plan):
        shutil.copy(path, place / path.name)
        (place / path.name).chmod(0o644)
    yield place
    shutil.rmtree(place)


@pytest.mark.parametrize("options", [[], ["--keep-layers"]], ids=["squashed", "kept"])
def test_the_same_digests_whoever_writes_when_and_where(
    everybodys: Path, require: Require, options: list[str]
) -> None:
    require(shutil.which("faketime") is not None, "faketime is not installed")
    elsewhere = ("faketime", "2001-02-03 04:05:06", "sh", "-c", 'umask 077; "$@"', "sh")
    seed = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    found = {
        "here": by_process(everybodys, "here", options),
        "another clock, umask, seed and place": by_process(
            everybodys, "deep/er", options, *elsewhere, env=seed
        ),
        "one core": by_process(everybodys, "core", options, "taskset", "1"),
    }
    if os.geteuid() == 0:
        found["another user"] = by_user(everybodys, options)
    assert len(found["here"]) == 2 + 6 + len(options)
    assert all(found["here"] == others for others in found.values())


def by_process(
    place: Path, name: str, options: list[str], *before: str, env: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Apply by the command line, one process for each destination; return what was written."""
    output = place / name
    output.mkdir(parents=True)
    for destination in DESTINATIONS:
        command = [sys.executable, "-m", "paredown_minimizer", *arguments(place, options)]
        subprocess.run(
            [*before, *command, destination.format(output)],
            check=True,
            capture_output=True,
            env={**os.environ, **(env or {})},
        )
    return sums(output)


def by_user(place: Path, options: list[str]) -> dict[str, str]:
    """Apply as nobody; in a fork, as what Python is made of may be out of that user's reach."""
    output = place / "nobody"
    output.mkdir()
    output.chmod(0o777)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        written = [main([*arguments(place, options), to.format(output)]) for to in DESTINATIONS]
        os._exit(max(written))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return sums(output)


def arguments(place: Path, options: list[str]) -> list[str]:
    source = f"docker-archive:{place}/in.tar"
    return ["apply", f"{place}/plan.json", source, *options, "-o"]


def sums(output: Path) -> dict[str, str]:
    files = sorted(path for path in output.rglob("*") if path.is_file())
    lines = said("sha256sum", *map(str, files)).decode().splitlines()
    return {line.split()[1].removeprefix(str(output)): line.split()[0] for line in lines}
