"""What the minimizer asks of a language's package manager, and what it gives it to look at.

Adding one touches its own file, ``registry.LANGUAGES`` and its test. What they read comes from the
image and is hostile: content is bounded, and what cannot be read is told and left to the
application.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

from paredown_minimizer.contents import Contents
from paredown_minimizer.image.model import Image, Tree, parent, read
from paredown_minimizer.packages.base import Inventory, Package
from paredown_minimizer.packages.ownership import owners_of
from paredown_schemas.names import decode_name, escape_name

# No manifest known is near it; one of a tool that lists a whole tree has some megabytes.
_LIMIT = 16 << 20
_NAME_LIMIT = 256
_LICENCE = re.compile(r"(licen[cs]e|copying|notice)([.-].*)?", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Installed:
    """One package as it was found. Paths are files and links of the tree."""

    package: Package
    paths: AbstractSet[str]
    records: AbstractSet[str] = frozenset()  # of paths; see Inventory.records
    catalogue: AbstractSet[str] = frozenset()  # see Inventory.catalogue
    needs: tuple[str, ...] = ()  # names of packages of the same language


class LanguagePackages(Protocol):
    """One language's package manager."""

    name: str

    def read(self, files: Files) -> Inventory:
        """Return what is installed; every path is one of ``files``."""

    def rewrite(
        self, image: Image, inventory: Inventory, kept: AbstractSet[str]
    ) -> Mapping[str, bytes | None]:
        """Return what changes after slimming; see ``PackageManager.rewrite``."""


class Files:
    """What of an image belongs to no package of the system: there languages' packages lie."""

    def __init__(self, contents: Contents, system: Inventory) -> None:
        """Leave out what ``system`` owns, derives, or keeps its records in."""
        self.contents = contents
        self.tree: Tree = contents.image.tree
        taken = (system.owners, system.database, system.derived)
        self.paths = [
            path
            for path, entry in self.tree.items()
            if entry.type != "directory" and not any(path in other for other in taken)
        ]

    def ending(self, *suffixes: str) -> list[str]:
        """Return the paths that end so, in order."""
        return [path for path in self.paths if path.endswith(suffixes)]

    def __contains__(self, path: str) -> bool:
        """Say whether nobody has taken a path."""
        return path in self._set

    @functools.cached_property
    def _set(self) -> frozenset[str]:
        return frozenset(self.paths)

    def below(self, directory: str, *, without: str | None = None) -> Iterator[str]:
        """Yield what lies below, not entering directories that are called ``without``."""
        pending = [directory]
        while pending:
            for path in self.tree.children.get(pending.pop(), ()):
                if path in self:
                    yield path
                elif self.tree[path].type == "directory" and not path.endswith(f"/{without}"):
                    pending.append(path)

    def text(self, path: str, limit: int = _LIMIT) -> str:
        """Return the text of a regular file; nothing where it cannot be read."""
        return decode_name(self.contents.data(path, limit)) if path in self else ""

    def json(self, path: str) -> Any:
        """Return what a JSON file says; None where it cannot be read, which is told."""
        text = self.text(path)
        try:
            return _parse(text) if text else None
        except (ValueError, RecursionError) as error:
            self.tell(path, f"not JSON: {error}")
            return None

    def tell(self, path: str, why: str) -> None:
        """Tell the user that a file was not looked into."""
        self.contents.warnings.append(f"{escape_name(path)} was not looked into: {why}")


def document_of(image: Image, path: str) -> Any:
    """Return what a JSON file says, as ``Files.json`` does, once all is decided."""
    if image.tree[path].size > _LIMIT:
        return None
    try:
        return _parse(decode_name(read(image, path, _LIMIT)))
    except (ValueError, RecursionError):
        return None


def _parse(text: str) -> Any:
    return json.loads(text.removeprefix("\ufeff"))


def language_package(
    manager: str, name: str, version: str, location: str, group: str | None = None
) -> Package:
    """Return a package of a language: it has no architecture, and is its own source."""
    return Package(name, "", version, manager, name, location=location, group=group)


def licences(paths: Iterable[str], directory: str) -> set[str]:
    """Return the legal notices among ``paths`` that lie in ``directory`` itself."""
    return {
        path
        for path in paths
        if parent(path) == directory and _LICENCE.fullmatch(posixpath.basename(path))
    }


def inventory_of(found: Iterable[Installed], database: Iterable[str] = ()) -> Inventory:
    """Return the inventory of one language's packages; two of one key count as one."""
    installed: dict[str, Installed] = {}
    for item in found:
        if not item.paths:  # nothing to decide about
            continue
        known = installed.setdefault(item.package.key, item)
        if known is not item:
            installed[item.package.key] = dataclasses.replace(
                known, paths=known.paths | item.paths, records=known.records | item.records
            )
    names: dict[str, set[str]] = {}
    for key, item in installed.items():
        names.setdefault(item.package.name, set()).add(key)
    owned = {key: frozenset(item.paths) for key, item in installed.items()}
    return Inventory(
        packages={key: item.package for key, item in installed.items()},
        owned=owned,
        owners=owners_of(owned),
        conffiles={},
        database=frozenset(database),
        derived={},
        records={key: frozenset(item.records) for key, item in installed.items() if item.records},
        catalogue=frozenset().union(*(item.catalogue for item in installed.values())),
        needs={
            key: frozenset(need for name in item.needs for need in names.get(name, ()))
            for key, item in installed.items()
            if item.needs
        },
    )


def left(inventory: Inventory, kept: AbstractSet[str]) -> set[str]:
    """Return the keys of the packages of which a path is kept."""
    return {key for key, paths in inventory.owned.items() if not kept.isdisjoint(paths)}


def text_of_name(value: Any) -> str:
    """Return a name or version that a document gives; empty if it is none, or far too long."""
    fits = isinstance(value, str) and len(value) <= _NAME_LIMIT and value.isprintable()
    return value if fits else ""
