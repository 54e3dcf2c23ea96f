"""Fixtures that every test can use; what tests import themselves lies in helpers/."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import apk_tree
import rootfs
import server
import strace_witness
from fixture_types import MakeTrace, Require, Serve, StraceOpens
from paredown_schemas.trace import File
from traces import trace_records, write_trace

# The machine is shared: an example's time says nothing, and a found example must be found again.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.load_profile("house")


def _require(ok: bool, why: str) -> None:
    if ok:
        return
    if os.environ.get("PAREDOWN_REQUIRE") == "all":
        pytest.fail(f"PAREDOWN_REQUIRE=all, but {why}")
    pytest.skip(why)


@pytest.fixture(scope="session")
def require() -> Require:
    """Return ``require(ok, why)``: skips without the ability, fails with PAREDOWN_REQUIRE=all."""
    return _require


@pytest.fixture(scope="session")
def nginx_rootfs() -> Path:
    """A minbase Debian 12 with nginx; only to be read."""
    return _rootfs("nginx")


@pytest.fixture(scope="session")
def flask_rootfs() -> Path:
    """A minbase Debian 12 with the Flask application of tests/data in /app; only to be read."""
    return _rootfs("flask")


@pytest.fixture(scope="session")
def postgres_rootfs() -> Path:
    """A minbase Debian 12 with PostgreSQL; only to be read."""
    return _rootfs("postgres")


@pytest.fixture(scope="session")
def apk_rootfs() -> Path:
    """An Alpine Linux with the server of tests/data, see apk_tree; only to be read."""
    _require(os.geteuid() == 0, "a root filesystem with its owners takes root")
    try:
        return apk_tree.server_tree()
    except (OSError, subprocess.SubprocessError) as error:
        _require(False, f"no apk-managed root filesystem can be made: {error}")
        raise


def _rootfs(name: str) -> Path:
    _require(os.geteuid() == 0, "a root filesystem with its owners takes root")
    try:
        return rootfs.cached(name)
    except (OSError, subprocess.SubprocessError) as error:
        _require(False, f"mmdebstrap cannot make a root filesystem: {error}")
        raise


@pytest.fixture(scope="session")
def serve(require: Require) -> Serve:
    """Return ``serve(command, port)``, a context manager that gives a running server."""
    probe = subprocess.run(["unshare", "--net", "ip", "link"], capture_output=True, check=False)
    require(probe.returncode == 0, "no network namespace can be made")
    return server.serve


@pytest.fixture
def strace_opens(require: Require, tmp_path: Path) -> StraceOpens:
    """Return ``strace_opens(command, root)``: what it opened or executed below root."""
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    require(probe.returncode == 0, "strace cannot trace here")

    def opens(
        command: Sequence[str], root: Path = Path("/"), timeout: float = 60
    ) -> frozenset[str]:
        uses = strace_witness.run(command, tmp_path / "strace", root, timeout)
        return uses.opened | uses.executed

    return opens


@pytest.fixture
def make_trace(tmp_path: Path) -> MakeTrace:
    """Return ``make_trace(["/bin/sh", use(…)], name="a.trace", scenario="x")``: its path."""

    def make(files: Iterable[str | File] = (), *, name: str = "app.trace", **fields: Any) -> Path:
        return write_trace(tmp_path / name, trace_records(files, **fields))

    return make
