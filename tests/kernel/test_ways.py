"""One test for each way in which a file is used, under each recorder."""

from __future__ import annotations

import array
import functools
import platform
import re
import select
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import ways
import ways_tree
from fixture_types import Require
from paredown_agent.recorder.base import Clock, Recorder
from paredown_agent.recorder.registry import RECORDERS
from paredown_agent.target.attach import attach
from paredown_schemas.trace import Loss, Record
from recorders import NAMES, opened
from recording import files, watch
from ways import Way
from ways_table import PAUSE, WAYS

# As runtimes do; a chroot may make no user namespace. The host's root stays at /tmp. TOMOYO, where
# the kernel has it, looks for /dev/fd/NUMBER, which leads to /proc.
_PIVOT = 'cd "$ROOT"; mount -t proc proc proc; pivot_root . tmp; exec /bin/sh -euc "$SCRIPT"'
# A version is no probe; but of a kernel that has a way, its test must not be skipped.
KERNEL = tuple(int(number) for number in re.findall(r"\d+", platform.release())[:2])
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class Stage:
    """An image that holds the files of all ways; mounted for each recorder and each options."""

    def __init__(self, place: Path, nginx_rootfs: Path, require: Require) -> None:
        self._place = place
        self._nginx_rootfs = nginx_rootfs
        self._require = require
        self.root = functools.cache(self._root)

    def _root(self, recorder: str, options: str) -> Path:
        base = self._place / f"{recorder}-{options}".replace(",", "-")
        for name in ("upper", "work", "merged"):
            (base / name).mkdir(parents=True)
        layers = f"lowerdir={self._place}/layer:{self._nginx_rootfs}"
        layers += f",upperdir={base}/upper,workdir={base}/work"
        overlay = ["mount", "-t", "overlay", "none", "-o", f"{layers},{options}".rstrip(",")]
        mounted = subprocess.run([*overlay, str(base / "merged")], check=False)
        self._require(mounted.returncode == 0, "no overlay can be mounted")
        return base / "merged"


@pytest.fixture(scope="module")
def stage(
    nginx_rootfs: Path, require: Require, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    require(platform.machine() == "x86_64", "the programs are x86_64's")
    try:
        built = ways_tree.programs()
    except (OSError, subprocess.CalledProcessError) as error:
        require(False, f"no programs can be compiled: {error}")
        raise
    place = tmp_path_factory.mktemp("ways")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=False)
    require(mounted.returncode == 0, "nothing can be mounted")
    try:
        (place / "layer").mkdir()
        ways_tree.make(place / "layer", WAYS, built)
        yield Stage(place, nginx_rootfs, require)
    finally:
        for merged in place.glob("*/merged"):
            subprocess.run(["umount", "-q", merged], check=False)
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture(scope="module", params=NAMES)
def recorder(request: pytest.FixtureRequest, require: Require) -> Iterator[Recorder]:
    """A recorder for all ways."""
    recorder = opened(request.param, require)
    yield recorder
    recorder.close()


class Container:
    """A way's shell; with each pause the recorder is late and everything is still there."""

    def __init__(self, root: Path, way: Way) -> None:
        ours, theirs = socket.socketpair()
        script = f"cd {ways.PLACE}/{way.name}; PATH=$PATH:{ways.PLACE}; {way.does}; {PAUSE}"
        own = {"SOCKET": str(theirs.fileno()), "SCRIPT": script, "ROOT": str(root)}
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "sh", "-euc", _PIVOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            env={**ENVIRONMENT, **own},
        )
        theirs.close()
        if way.passes:
            _pass(ours, root / "ways" / way.name / way.passes)
        ours.close()

    @property
    def first(self) -> int:
        """The first process of its pid namespace."""
        children = f"/proc/{self._process.pid}/task/{self._process.pid}/children"
        return int(Path(children).read_text("ascii").split()[0])

    def pauses(self) -> Iterator[None]:
        """Go on from pause to pause, to an end that shows that it did what it should."""
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        shown = []
        for line in self._process.stdout:
            if line != b"pause\n":
                shown.append(line)
                continue
            yield
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        _, errors = self._process.communicate()
        assert (self._process.returncode, set(shown)) == (0, {b"used\n"}), errors.decode()


def _pass(through: socket.socket, path: Path) -> None:
    with path.open("rb") as file:
        rights = array.array("i", [file.fileno()])
        through.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def drain(recorder: Recorder) -> list[Record]:
    records: list[Record] = []
    while select.select([recorder.fileno()], [], [], 0)[0]:
        records += recorder.drain()
    return [*records, *recorder.drain()]


def check(recorder: Recorder, way: Way, records: list[Record]) -> None:
    expected = way.expected(ways.kind(recorder.name))
    if recorder.name == "bcc":
        expected = frozenset(use for use in expected if use[1] != "loader")
    assert way.found(files(records)) == expected
    assert not [record for record in records if isinstance(record, Loss)]


@pytest.mark.parametrize("way", [way for way in WAYS if not way.late], ids=lambda way: way.name)
def test_way(recorder: Recorder, stage: Stage, way: Way) -> None:
    if KERNEL < way.since:
        pytest.skip(f"from Linux {way.since[0]}.{way.since[1]} on")
    root = stage.root(recorder.name, way.overlay)
    watch(recorder, root)
    drain(recorder)
    records: list[Record] = []
    for _ in Container(root, way).pauses():
        records += drain(recorder)
    check(recorder, way, [*records, *drain(recorder)])


@pytest.mark.parametrize("way", [way for way in WAYS if way.late], ids=lambda way: way.name)
def test_way_before_attaching(recorder: Recorder, stage: Stage, way: Way) -> None:
    root, clock = stage.root(recorder.name, way.overlay), Clock()
    records: list[Record] = []
    container = Container(root, way)
    late = RECORDERS[recorder.name].open_recorder(clock)
    try:
        for _ in container.pauses():
            watch(late, root)
            records += attach(container.first, late, clock)
        check(late, way, [*records, *drain(late)])
    finally:
        late.close()
