"""dpkg: what its database says about an image, and the database of what is left.

Ownership is dpkg's ``info/NAME.list``, with diversions and merged /usr resolved. Formats are in
dpkg_format.py, files that maintainer scripts made in derived.py, the way back in dpkg_rewrite.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Image, is_below, join, parent
from paredown_minimizer.packages import dpkg_format as formats
from paredown_minimizer.packages.base import Inventory, Package
from paredown_minimizer.packages.derived import derived_paths
from paredown_minimizer.packages.dpkg_files import (
    DIVERSIONS,
    ROOT,
    STATUS,
    info_file,
    lines_of,
    text_of,
)
from paredown_minimizer.packages.dpkg_rewrite import rewrite_database

# dpkg(1), package states: not-installed has no files, config-files has conffiles alone.
_WITHOUT_FILES = {"not-installed", ""}


@dataclasses.dataclass(frozen=True, slots=True)
class DpkgInventory(Inventory):
    """An inventory that also knows where a package's own spelling of a path leads."""

    locate: Callable[[str, str], str]  # package name, path as listed -> path in the tree


class Dpkg:
    """The package manager of Debian and its derivatives."""

    name = "dpkg"

    def detect(self, image: Image) -> bool:
        """Say whether there is a status file that names packages."""
        entry = image.tree.get(STATUS)
        return entry is not None and entry.type == "file" and entry.size > 0

    def read(self, image: Image) -> DpkgInventory:
        """Read the database; see ``PackageManager.read``."""
        stanzas = formats.parse_stanzas(text_of(image, STATUS), STATUS)
        stanzas = [stanza for stanza in stanzas if stanza.state not in _WITHOUT_FILES]
        locate = _locator(image)
        owned: dict[str, frozenset[str]] = {}
        conffiles: dict[str, frozenset[str]] = {}
        for stanza in stanzas:
            name = stanza.fields["Package"]
            listed = lines_of(image, info_file(image.tree, stanza.key, "list"))
            paths = {locate(name, path) for path in [*listed, *stanza.conffiles]}
            owned[stanza.key] = frozenset(paths & image.tree.keys())
            kept = {locate(name, path) for path in stanza.conffiles}
            conffiles[stanza.key] = frozenset(kept & image.tree.keys())
        packages = {stanza.key: _package(stanza) for stanza in stanzas}
        database = frozenset(path for path in image.tree if is_below(path, ROOT))
        owners = _owners(owned)
        return DpkgInventory(
            packages=packages,
            owned=owned,
            owners=owners,
            conffiles=conffiles,
            database=database,
            derived=derived_paths(image, packages, owners, database),
            locate=locate,
        )

    def rewrite(
        self, image: Image, inventory: Inventory, kept: AbstractSet[str]
    ) -> Mapping[str, bytes | None]:
        """Return the database of what is left; see ``PackageManager.rewrite``."""
        known = inventory if isinstance(inventory, DpkgInventory) else self.read(image)
        return rewrite_database(image, known, known.locate, kept)


def _package(stanza: formats.Stanza) -> Package:
    fields = stanza.fields
    return Package(
        name=fields["Package"],
        architecture=fields.get("Architecture", ""),
        version=fields.get("Version", ""),
        manager=Dpkg.name,
        # "Source: glibc (2.36-9)" where the versions differ.
        source=fields.get("Source", fields["Package"]).partition(" ")[0],
        depends=stanza.depends,
    )


def _owners(owned: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    owners: dict[str, set[str]] = {}
    for key, paths in owned.items():
        for path in paths:
            owners.setdefault(path, set()).add(key)
    return {path: frozenset(keys) for path, keys in owners.items()}


def _locator(image: Image) -> Callable[[str, str], str]:
    """Return the way from a listed path to the tree's: diversions first, then merged /usr."""
    tree = image.tree
    directories: dict[str, str] = {}

    def canonical(path: str) -> str:
        directory, _, name = path.rpartition("/")
        if name in ("", ".", ".."):  # the root is listed as "/."
            return tree.canonical(path)
        if directory not in directories:
            directories[directory] = parent(tree.canonical(f"{directory}/x"))
        return join(directories[directory], name)

    diversions = formats.parse_diversions(text_of(image, DIVERSIONS), DIVERSIONS)
    diverted = {canonical(item.path): item for item in diversions}

    def locate(package: str, path: str) -> str:
        path = canonical(path)
        diversion = diverted.get(path)
        if diversion is None or diversion.package == package:
            return path
        return canonical(diversion.to)

    return locate
