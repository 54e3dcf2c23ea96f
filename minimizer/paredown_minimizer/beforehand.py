"""What of an image a slimmer base or a multi-stage build would have left out, without a recording.

A hardening guide has people do that first; so a report says how much of what goes it would have
been. beforehand.yaml has the patterns, with the documents that they follow.
"""

from __future__ import annotations

import fnmatch
import typing
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from paredown_minimizer.data import read_data
from paredown_minimizer.globs import any_of
from paredown_minimizer.image.model import parent
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.planrecords import Settled, size_of
from paredown_minimizer.surface.members import programs
from paredown_minimizer.surface.names import load_names
from paredown_schemas.plan import Beforehand, PackageDecision, Way


def find_beforehand(
    settled: Settled, packages: Iterable[PackageDecision]
) -> tuple[Beforehand, ...]:
    """Return what each way would have left out; a slim base only where it is known what that is."""
    data = read_data("beforehand.yaml")
    slim = set(_slim(settled, data["slim"]))
    known = any(package.manager in data["slim"] for package in settled.inventory.packages.values())
    gone = {package.key for package in packages if package.action == "remove"}
    build = _build_packages(settled, gone, data["build"])
    files = {path for key in build for path in _files(settled, key)}
    found = [_beforehand(settled, "multi-stage", len(build), files)]
    if known:
        found.append(_beforehand(settled, "slim-base", 0, slim))
        found.append(_beforehand(settled, "both", len(build), slim | files))
    return tuple(sorted(found, key=lambda each: typing.get_args(Way).index(each.way)))


def _beforehand(settled: Settled, way: Way, packages: int, paths: AbstractSet[str]) -> Beforehand:
    gone = [path for path in paths if path not in settled.kept]
    return Beforehand(
        way=way,
        packages=packages,
        files=len(paths),
        bytes=size_of(settled.tree, paths),
        gone_files=len(gone),
        gone_bytes=size_of(settled.tree, gone),
    )


def _slim(settled: Settled, rules: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files of the system's packages that would not have been unpacked."""
    patterns = {
        manager: (any_of(rule["paths"]), any_of(rule["except"])) for manager, rule in rules.items()
    }
    for key, package in settled.inventory.packages.items():
        if package.location is None and package.manager in patterns:
            paths, excepted = patterns[package.manager]
            for path in settled.inventory.owned[key]:
                left_out = paths.fullmatch(path) and not excepted.fullmatch(path)
                if left_out and not settled.tree.leads_to_directory(path):
                    yield path


def _files(settled: Settled, package: str) -> Iterator[str]:
    tree = settled.tree
    owned = settled.inventory.owned[package]
    return (path for path in owned if not tree.leads_to_directory(path))


def _build_packages(
    settled: Settled, gone: AbstractSet[str], rules: Mapping[str, Any]
) -> AbstractSet[str]:
    """Return packages to build with that nothing used, and libraries that those alone need."""
    inventory, names = settled.inventory, load_names()
    tools = names.kinds["compiler"] | set(rules["programs"])
    builders: set[str] = set()
    with_commands: set[str] = set()
    for path, called in programs(settled.tree):
        owners = inventory.owners.get(path, ())
        if any(names.known_as(name, tools) for name in called):
            builders |= set(owners)
        if parent(path).endswith(("/bin", "/sbin")):
            with_commands |= set(owners)
    named = {
        key
        for key, package in inventory.packages.items()
        for pattern in rules["names"].get(package.manager, ())
        if fnmatch.fnmatchcase(package.name, pattern)
    }
    system = {key for key in gone if inventory.packages[key].location is None}
    build = (builders | named) & system
    return build | _needed_by_them_alone(inventory, build, system - with_commands)


def _needed_by_them_alone(
    inventory: Inventory, build: AbstractSet[str], others: AbstractSet[str]
) -> AbstractSet[str]:
    """Return which of ``others`` came for them, as nothing else depends on it.

    Not what has commands: it may have been wanted for itself. Who asked for what, a package manager
    knows, and its database as a rule does not tell.
    """
    wanted_by = _wanted_by(inventory)
    found: set[str] = set()
    while new := {
        key
        for key in others - build - found
        if wanted_by.get(key) and wanted_by[key] <= build | found
    }:
        found |= new
    return found


def _wanted_by(inventory: Inventory) -> Mapping[str, AbstractSet[str]]:
    wanted_by: dict[str, set[str]] = {}
    for relations in (inventory.depends, inventory.recommends):
        for key, groups in relations.items():
            for package in frozenset[str]().union(*groups):
                wanted_by.setdefault(package, set()).add(key)
    return wanted_by
