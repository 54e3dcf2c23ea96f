"""dpkg: what its database says about an image, and the database of what is left.

Ownership is dpkg's ``info/NAME.list``, with diversions and merged /usr resolved, and in distroless
images what their md5sums say (dpkg_statusd.py). Formats are in dpkg_format.py, files that
maintainer scripts made in dpkg_derived.py, the way back in dpkg_rewrite.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Image, is_below
from paredown_minimizer.packages import dpkg_format as formats
from paredown_minimizer.packages import dpkg_statusd
from paredown_minimizer.packages.base import Inventory, Package
from paredown_minimizer.packages.dpkg_derived import derived_paths
from paredown_minimizer.packages.dpkg_files import (
    DIVERSIONS,
    ROOT,
    STATUS,
    info_file,
)
from paredown_minimizer.packages.dpkg_rewrite import rewrite_database
from paredown_minimizer.packages.ownership import locator, owned_paths, owners_of
from paredown_minimizer.packages.relations import providers_of, satisfied
from paredown_minimizer.packages.texts import lines_of, text_of

# dpkg(1), package states: not-installed has no files, config-files has conffiles alone.
_WITHOUT_FILES = {"not-installed", ""}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DpkgInventory(Inventory):
    """An inventory that also knows where a package's own spelling of a path leads."""

    locate: Callable[[str, str], str]  # package name, path as listed -> path in the tree


class Dpkg:
    """The package manager of Debian and its derivatives."""

    name = "dpkg"

    def detect(self, image: Image) -> bool:
        """Say whether there is a status file that names packages, or a status.d."""
        entry = image.tree.get(STATUS)
        whole = entry is not None and entry.type == "file" and entry.size > 0
        return whole or bool(dpkg_statusd.files(image))

    def read(self, image: Image) -> DpkgInventory:
        """Read the database; see ``PackageManager.read``."""
        locate = _locator(image)
        packages: dict[str, Package] = {}
        stanzas: dict[str, formats.Stanza] = {}
        listed: dict[str, set[str]] = {}
        conffiles: dict[str, set[str]] = {}
        unlisted: set[str] = set()
        for stanza, paths in (*_of_status(image), *dpkg_statusd.stanzas(image)):
            name = stanza.fields["Package"]
            own = conffiles.setdefault(stanza.key, set())
            own |= {locate(name, path) for path in stanza.conffiles}
            known = {locate(name, path) for path in paths or ()} | own
            listed[stanza.key] = listed.get(stanza.key, set()) | known
            packages.setdefault(stanza.key, _package(stanza))
            stanzas.setdefault(stanza.key, stanza)
            if paths is None:
                unlisted.add(stanza.key)
        database = frozenset(path for path in image.tree if is_below(path, ROOT))
        owned = owned_paths(image.tree, listed, database)
        owners = owners_of(owned)
        providers = providers_of({key: stanza.provides for key, stanza in stanzas.items()})
        return DpkgInventory(
            packages=packages,
            owned=owned,
            owners=owners,
            conffiles=owned_paths(image.tree, conffiles, database),
            database=database,
            derived=derived_paths(image, packages, owners, database),
            unlisted=frozenset(key for key in unlisted if not owned[key]),
            depends=satisfied(_relations(stanzas, "Pre-Depends", "Depends"), providers),
            recommends=satisfied(_relations(stanzas, "Recommends"), providers),
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
    # "Source: glibc (2.36-9)" where the versions differ.
    source, _, version = fields.get("Source", fields["Package"]).partition(" ")
    return Package(
        name=fields["Package"],
        architecture=fields.get("Architecture", ""),
        version=fields.get("Version", ""),
        manager=Dpkg.name,
        source=source,
        source_version=version.strip("()") or None,
    )


def _relations(stanzas: Mapping[str, formats.Stanza], *fields: str) -> dict[str, list[list[str]]]:
    return {key: stanza.relations(*fields) for key, stanza in stanzas.items()}


def _of_status(image: Image) -> Iterator[tuple[formats.Stanza, list[str]]]:
    for stanza in formats.parse_stanzas(text_of(image, STATUS), STATUS):
        if stanza.state not in _WITHOUT_FILES:
            yield stanza, lines_of(image, info_file(image.tree, stanza.key, "list"))


def _locator(image: Image) -> Callable[[str, str], str]:
    """Return the way from a listed path to the tree's: merged /usr first, then diversions."""
    canonical = locator(image.tree)
    diversions = formats.parse_diversions(text_of(image, DIVERSIONS), DIVERSIONS)
    diverted = {canonical(item.path): item for item in diversions}

    def locate(package: str, path: str) -> str:
        path = canonical(path)
        diversion = diverted.get(path)
        if diversion is None or diversion.package == package:
            return path
        return canonical(diversion.to)

    return locate
