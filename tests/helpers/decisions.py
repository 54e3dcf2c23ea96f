"""Decisions on small trees, with package managers that know what the test says."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from paredown_minimizer.decide import Decision, decide
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.image.model import Image
from paredown_minimizer.packages.base import Inventory, Package
from paredown_minimizer.policyfile import parse_policy
from paredown_schemas.trace import File, Record, Run, read_trace
from traces import trace_records, write_trace


class Manager:
    """A package manager whose packages own the paths that a test names."""

    name = "test"

    def __init__(
        self,
        owned: Mapping[str, Iterable[str]],
        derived: Mapping[str, Iterable[str]] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self._owned = owned
        self._derived = derived or {}
        self._more = more or {}

    def detect(self, image: Image) -> bool:
        return image is not None

    def read(self, image: Image) -> Inventory:
        owned: dict[str, frozenset[str]] = {}
        owners: dict[str, frozenset[str]] = {}
        for name, paths in self._owned.items():
            key = f"{name}:all"
            owned[key] = frozenset(path for path in paths if path in image.tree)
            for path in owned[key]:
                owners[path] = owners.get(path, frozenset()) | {key}
        inventory = Inventory(
            packages={f"{n}:all": Package(n, "all", "1", "test", n) for n in self._owned},
            owned=owned,
            owners=owners,
            conffiles={},
            database=frozenset(),
            derived={path: frozenset(sources) for path, sources in self._derived.items()},
        )
        return dataclasses.replace(inventory, **self._more)

    def rewrite(
        self, image: Image, inventory: Inventory, kept: AbstractSet[str]
    ) -> Mapping[str, bytes | None]:
        assert image is not None
        assert inventory.packages
        return dict.fromkeys(kept & inventory.database)


def make_tree(root: Path, files: Mapping[str, str | None]) -> None:
    """Make files with the given text, ``-> target`` links, and directories (None).

    A text that begins with ``#!`` is executable.
    """
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.mkdir(exist_ok=True)
        elif text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
            path.chmod(0o755 if text.startswith("#!") else 0o644)


def runs_of(
    root: Path, files: Iterable[str | File], records: Iterable[Record] = ()
) -> tuple[Run, ...]:
    """Return one run that used ``files``."""
    trace = root.parent / f"{root.name}.{os.getpid()}.trace"
    return read_trace(write_trace(trace, trace_records(files, records=records))).runs


def decided(
    root: Path,
    traced: Iterable[str | File],
    packages: Mapping[str, Iterable[str]] | None = None,
    *,
    derived: Mapping[str, Iterable[str]] | None = None,
    config: Mapping[str, Any] | None = None,
    policy: str = "version: 1",
    granularity: Any = "package",
    records: Iterable[Record] = (),
    inventory: Mapping[str, Any] | None = None,
) -> Decision:
    """Decide on the tree at ``root``; ``inventory`` is what else the manager knows."""
    image = open_directory(str(root))
    image.config = {"config": config} if config else {}
    manager = Manager(packages, derived, inventory) if packages is not None else None
    try:
        return decide(
            image, manager, runs_of(root, traced, records), parse_policy(policy), granularity
        )
    finally:
        image.close()


def kept_files(decision: Decision, root: Path) -> set[str]:
    """Return what stays and is no directory."""
    return {
        path
        for path in decision.kept
        if not (root / path.lstrip("/")).is_dir() or (root / path.lstrip("/")).is_symlink()
    }
