"""Images of real applications, slimmed: what goes, and whether all tests pass under each engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness import Row, Table, say

import engines
import rootfs
import tree_witness
from container_tools import Engine
from served import SERVED
from slim_images import Served, Slimmed, apply, ask, container, export, healthy, slim

MB = 1_000_000


def measure(space: Path) -> Table:
    """Make the table."""
    with engines.docker() as docker, engines.podman() as podman:
        rows = [
            row
            for served in SERVED
            for suite in served.suites
            for row in rows_of(served, suite, docker, podman, space / f"{served.name}-{suite}")
        ]
    method = (
        "Each image was built by docker with a configuration (entrypoint, user, environment, health"
        " check …), recorded with `paredown-agent record -- docker run` under all its tests, "
        "planned, applied `docker:` to `docker:` and to `podman:`, and given the same tests there. "
        "Bytes are of regular files in the tree that the engine exports; packages are those that "
        "the package manager lists in it. Its database is true if its own check (`dpkg -V`, "
        "`rpm -V`, `apk audit`) finds nothing that it does not find in the original."
    )
    return Table("Images", method, rows)


def rows_of(
    served: Served, suite: str, docker: Engine, podman: Engine, space: Path
) -> Iterator[Row]:
    """Try one application on one release of Debian under both engines."""
    say(f"images: {served.name} on {suite}")
    space.mkdir()
    slimmed = slim(served, suite, docker, space)
    for engine in (docker, podman):
        yield _row(slimmed, suite, docker, engine, space)


def _row(slimmed: Slimmed, suite: str, docker: Engine, engine: Engine, space: Path) -> Row:
    reference = apply(slimmed, docker, engine)
    with container(engine, reference, slimmed.application) as running:
        answers = ask(slimmed.served, slimmed.application, running)
        is_healthy = healthy(engine, running)
    tree = export(engine, reference, space / engine.command)
    wrong = [asked for asked, answer in slimmed.answers.items() if answers[asked] != answer]
    # The clients that only load the server assert for themselves.
    tests = len(slimmed.answers) + len(slimmed.application.clients)
    said = slimmed.served.verify(tree) - slimmed.served.verify(slimmed.tree)
    size = " → ".join(f"{tree_witness.regular_bytes(one) / MB:.1f}" for one in (slimmed.tree, tree))
    packages = " → ".join(str(len(slimmed.served.listed(one))) for one in (slimmed.tree, tree))
    return Row(
        f"{slimmed.served.name}, {_system(suite)}, {engine.command}",
        "all tests, health check, database",
        f"{size} MB; {packages} packages; {tests - len(wrong)} of {tests} tests; health check "
        f"{'passes' if is_healthy else 'fails'}; database {', '.join(said) or 'true'}",
        not wrong and is_healthy and not said,
    )


def _system(suite: str) -> str:
    return f"Debian {rootfs.SUITES[suite]}" if suite in rootfs.SUITES else suite
