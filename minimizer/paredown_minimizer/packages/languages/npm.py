"""npm's modules: the directories of node_modules that have a package.json with name and version.

Followed: Node's "Modules: CommonJS modules", "Loading from node_modules folders"; npm's folders(5)
and package-lock-json(5), "Hidden Lockfiles". A package.json deeper in a module is the module's own.
Modules that a workspace links to lie outside node_modules, and are the application.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from paredown_minimizer.image.model import Image, parent
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.packages.languages import base
from paredown_minimizer.packages.languages.base import Files, Installed

_DIRECTORY = "node_modules"
_MANIFEST = "/package.json"
_LOCK = f"/{_DIRECTORY}/.package-lock.json"


class Npm:
    """The modules that npm, and others with its layout, installed."""

    name = "npm"

    def read(self, files: Files) -> Inventory:
        """Return the modules, each copy of its own."""
        commands = _commands(files)
        return base.inventory_of(_modules(files, commands), files.ending(_LOCK))

    def rewrite(
        self, image: Image, inventory: Inventory, kept: AbstractSet[str]
    ) -> Mapping[str, bytes | None]:
        """Let the hidden lockfiles list the modules that are left."""
        left = base.left(inventory, kept)
        gone = {
            package.location or "" for key, package in inventory.packages.items() if key not in left
        }
        changes: dict[str, bytes | None] = {}
        for lock in inventory.database if gone else ():
            text = _without(base.document_of(image, lock), parent(parent(lock)), gone)
            changes |= {} if text is None else {lock: text}
        return changes


def _is_module(directory: str) -> bool:
    above, _, name = directory.rpartition("/")
    if posixpath.basename(above).startswith("@"):
        above = parent(above)
    return posixpath.basename(above) == _DIRECTORY and name[:1] not in (".", "@", "")


def _modules(files: Files, commands: Mapping[str, list[str]]) -> Iterator[Installed]:
    for manifest in files.ending(_MANIFEST):
        directory = parent(manifest)
        if not _is_module(directory):
            continue
        said = files.json(manifest)
        said = said if isinstance(said, dict) else {}
        name, version = (base.text_of_name(said.get(field)) for field in ("name", "version"))
        if name and version:
            own = set(files.below(directory, without=_DIRECTORY))
            yield Installed(
                base.language_package(Npm.name, name, version, directory),
                own | set(commands.get(directory, ())),
                base.licences(own, directory) | {manifest},
            )


def _commands(files: Files) -> dict[str, list[str]]:
    """Return the links and shims of .bin directories by the module that they start."""
    found: dict[str, list[str]] = {}
    for path in files.paths:
        if not parent(path).endswith(f"/{_DIRECTORY}/.bin"):
            continue
        resolved = files.tree.resolve(path)
        above = resolved.path if resolved else "/"
        while above != "/" and not _is_module(above):
            above = parent(above)
        found.setdefault(above, []).append(path)
    return found


def _without(document: Any, project: str, gone: AbstractSet[str]) -> bytes | None:
    """Return a lockfile without what is gone, as npm writes it; None if nothing of it is gone."""
    packages = document.get("packages") if isinstance(document, dict) else None
    if not isinstance(packages, dict):
        return None
    left = {at: said for at, said in packages.items() if f"{project}/{at}" not in gone}
    if len(left) == len(packages):
        return None
    document["packages"] = left
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode(
        "utf-8", "surrogatepass"
    )
