"""dpkg's database after slimming: exactly what is left, in the form that it had."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Image, Tree
from paredown_minimizer.packages import dpkg_format as formats
from paredown_minimizer.packages import dpkg_statusd
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.packages.dpkg_files import (
    ALTERNATIVES,
    DIVERSIONS,
    EXTENDED_STATES,
    INFO,
    ROOT,
    STATUS,
    TRIGGERS,
    info_file,
)
from paredown_minimizer.packages.ownership import packages_left
from paredown_minimizer.packages.texts import changes, text_of

Locate = Callable[[str, str], str]


@dataclasses.dataclass(frozen=True)
class _Left:
    """What slimming leaves, in the terms of the database."""

    image: Image
    locate: Locate
    paths: AbstractSet[str]
    packages: AbstractSet[str]  # keys

    def stays(self, package: str, path: str) -> bool:
        return self.locate(package, path) in self.paths

    def has_package(self, text: str) -> bool:
        """Say whether a package named with or without its architecture is left."""
        return text in self.packages or any(key.rpartition(":")[0] == text for key in self.packages)


def rewrite_database(
    image: Image, inventory: Inventory, locate: Locate, kept: AbstractSet[str]
) -> dict[str, bytes | None]:
    """Return the files that change by path, None where one goes; see ``PackageManager.rewrite``."""
    paths = kept | inventory.database
    packages = packages_left(image.tree, inventory, kept)
    left = _Left(image, locate, paths, packages)
    files: dict[str, str | None] = {}
    for name in (STATUS, f"{STATUS}-old", f"{ROOT}/available"):
        files[name] = _status(left, name, inventory)
    for key in inventory.packages:
        files.update(_info(left, key) if key in packages else _gone(image.tree, key))
    for name in (DIVERSIONS, f"{DIVERSIONS}-old"):
        files[name] = _diversions(left, name)
    for name in (f"{ROOT}/statoverride", f"{ROOT}/statoverride-old"):
        files[name] = _statoverrides(left, name)
    files.update(_alternatives(left))
    files.update(_triggers(left))
    files.update(dpkg_statusd.rewrite(image, packages, left.stays))
    if EXTENDED_STATES in kept:  # apt's: it stays and goes with apt
        files[EXTENDED_STATES] = _extended_states(left)
    return changes(image, files)


def _status(left: _Left, name: str, inventory: Inventory) -> str:
    text = text_of(left.image, name)
    stanzas = formats.parse_stanzas(text, name)
    # What was never installed is in "available" only, and not for us to drop.
    staying = [
        formats.keep_conffiles(stanza, functools.partial(left.stays, stanza.fields["Package"]))
        for stanza in stanzas
        if stanza.key in left.packages
        or (stanza.key not in inventory.packages and "Status" not in stanza.fields)
    ]
    return text if staying == stanzas else formats.dump_stanzas(staying)


def _info(left: _Left, key: str) -> dict[str, str | None]:
    name = key.rpartition(":")[0]
    paths_of: dict[str, Callable[[str], str]] = {
        "list": str,
        "md5sums": formats.md5sums_path,
        "conffiles": formats.conffile_path,
    }
    files: dict[str, str | None] = {}
    for kind, path_of in paths_of.items():
        path = info_file(left.image.tree, key, kind)
        lines = formats.lines(text_of(left.image, path))
        staying = [line for line in lines if left.stays(name, path_of(line))]
        files[path] = formats.join_lines(staying)
    return files


def _gone(tree: Tree, key: str) -> dict[str, str | None]:
    listing = info_file(tree, key, "list")
    stem = listing[: -len("list")]
    return {
        path: None
        for path in tree.children.get(INFO, ())
        if path.startswith(stem) and "." not in path[len(stem) :]
    }


def _extended_states(left: _Left) -> str:
    """Which packages were installed for others' sake, a stanza each (apt-mark(8))."""
    text = text_of(left.image, EXTENDED_STATES)
    stanzas = formats.parse_stanzas(text, EXTENDED_STATES)
    staying = [stanza for stanza in stanzas if left.has_package(stanza.fields["Package"])]
    return text if staying == stanzas else formats.dump_stanzas(staying)


def _diversions(left: _Left, name: str) -> str:
    tree = left.image.tree
    diversions = formats.parse_diversions(text_of(left.image, name), name)
    return formats.dump_diversions(
        [
            item
            for item in diversions
            if not left.paths.isdisjoint({tree.canonical(item.path), tree.canonical(item.to)})
        ]
    )


def _statoverrides(left: _Left, name: str) -> str:
    # dpkg-statoverride(1): user, group, mode, path
    lines = formats.lines(text_of(left.image, name))
    return formats.join_lines(line for line in lines if left.stays("", line.split(" ", 3)[-1]))


def _alternatives(left: _Left) -> dict[str, str | None]:
    files: dict[str, str | None] = {}
    for path in left.image.tree.children.get(ALTERNATIVES, ()):
        text = text_of(left.image, path)
        group = formats.parse_alternatives(path[len(ALTERNATIVES) + 1 :], text, path)
        choices = tuple(
            (target, priority, tuple(slave if left.stays("", slave) else "" for slave in slaves))
            for target, priority, slaves in group.choices
            if left.stays("", target)
        )
        group = dataclasses.replace(group, choices=choices)
        files[path] = formats.dump_alternatives(group) if choices else None
    return files


def _triggers(left: _Left) -> dict[str, str | None]:
    """One file per explicit trigger lists who is interested; ``File`` and ``Unincorp`` lead."""
    files: dict[str, str | None] = {}
    for path in left.image.tree.children.get(TRIGGERS, ()):
        name = path.rpartition("/")[2]
        if name in ("Lock", "Unincorp") or left.image.tree[path].type != "file":
            continue
        lines = formats.lines(text_of(left.image, path))
        text = formats.join_lines(
            line for line in lines if left.has_package(formats.trigger_owner(line))
        )
        files[path] = text if text or name == "File" else None
    return files
