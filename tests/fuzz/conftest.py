"""The fuzzers start when the tests do, beside them at low priority, and are asked for in the end.

Each runs for PAREDOWN_FUZZ_SECONDS: 60 where PAREDOWN_REQUIRE is "all", as in CI, else 3.
"""

from __future__ import annotations

import base64
import concurrent.futures
import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import rootfs

HERE = Path(__file__).parent
_AT_ONCE = 2
_CI = os.environ.get("PAREDOWN_REQUIRE") == "all"
_SECONDS = int(os.environ.get("PAREDOWN_FUZZ_SECONDS", "60" if _CI else "3"))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a fuzzer said, and the input that it failed on; it is kept in the cache."""

    code: int
    output: str
    found: bytes | None

    def __str__(self) -> str:
        """Return what a person needs to see of a failure."""
        found = base64.b64encode(self.found).decode() if self.found is not None else "none"
        return f"{self.output[-4000:]}\ninput in base64: {found}"


class Fuzzers:
    """Fuzzers as processes of their own, few at a time."""

    def __init__(self) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="paredown-fuzzers-"))
        self._pool = concurrent.futures.ThreadPoolExecutor(_AT_ONCE)
        self._running: set[subprocess.Popen[str]] = set()
        self._outcomes: dict[str, concurrent.futures.Future[Outcome]] = {}

    def start(self, name: str) -> None:
        """Start a fuzzer, unless it has begun."""
        if name not in self._outcomes:
            self._outcomes[name] = self._pool.submit(self._run, name)

    def outcome(self, name: str) -> Outcome:
        """Wait for a fuzzer's end."""
        return self._outcomes[name].result()

    def stop(self) -> None:
        """End what still runs."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in self._running:
            process.kill()
        self._pool.shutdown()
        shutil.rmtree(self._place)

    def _run(self, name: str) -> Outcome:
        place = self._place / name
        place.mkdir()
        # The same inputs every time, as far as the machine's pace lets them come.
        # The control ends by itself, once it has found what is there.
        seconds = 300 if name == "control" else _SECONDS
        options = ["-seed=1", f"-max_total_time={seconds}", f"-artifact_prefix={place}/"]
        process = subprocess.Popen(
            ["nice", "-n", "19", sys.executable, HERE / "run.py", name, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._running.add(process)
        output, _ = process.communicate()
        self._running.discard(process)
        return Outcome(process.returncode, output, _kept(name, place))


def _kept(name: str, place: Path) -> bytes | None:
    for path in place.iterdir():
        if name == "control":
            return path.read_bytes()
        shutil.copy(path, rootfs.cache_directory("fuzz") / f"{name}-{path.name}")
        return path.read_bytes()
    return None


_FUZZERS: list[Fuzzers] = []


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the fuzzers that are asked for, where that is possible."""
    wanted = [
        str(item.callspec.params["name"])
        for item in session.items
        if isinstance(item, pytest.Function) and "fuzzers" in item.fixturenames
    ]
    if not wanted or session.config.option.collectonly or not _can_fuzz():
        return
    fuzzers = Fuzzers()
    _FUZZERS.append(fuzzers)
    for name in wanted:
        fuzzers.start(name)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ask for them last."""
    items.sort(key=lambda item: "fuzzers" in getattr(item, "fixturenames", ()))


def pytest_sessionfinish() -> None:
    """End them, should somebody have interrupted the tests."""
    for fuzzers in _FUZZERS:
        fuzzers.stop()
    _FUZZERS.clear()


def _can_fuzz() -> bool:
    return importlib.util.find_spec("atheris") is not None


@pytest.fixture
def fuzzers() -> Fuzzers:
    """The fuzzers that were started."""
    if not _FUZZERS:
        why = "atheris is not installed; it has no wheel for every Python"
        (pytest.fail if _CI else pytest.skip)(why)
    return _FUZZERS[0]
