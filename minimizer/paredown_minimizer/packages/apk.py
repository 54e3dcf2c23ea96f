"""apk: what its database says about an image, and the database of what is left.

Formats are in apk_format.py and apk_scripts.py, files that scripts made in apk_derived.py.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Image, Tree, is_below, join, read
from paredown_minimizer.packages import apk_format as formats
from paredown_minimizer.packages.apk_derived import MAKERS
from paredown_minimizer.packages.apk_files import WORLD, databases, records_of_manager
from paredown_minimizer.packages.apk_scripts import keep_scripts
from paredown_minimizer.packages.base import Inventory, Package
from paredown_minimizer.packages.derived import Derivation
from paredown_minimizer.packages.ownership import locator, owned_paths, owners_of, packages_left
from paredown_minimizer.packages.relations import providers_of, satisfied
from paredown_minimizer.packages.texts import LIMIT, changes, text_of

_SCRIPTS = ("scripts.tar", "scripts.tar.gz")


class Apk:
    """The package manager of Alpine Linux, Wolfi and others."""

    name = "apk"

    def detect(self, image: Image) -> bool:
        """Say whether there is a database that names packages, in either place."""
        return bool(databases(image.tree))

    def read(self, image: Image) -> Inventory:
        """Read the database; see ``PackageManager.read``."""
        tree = image.tree
        locate = locator(tree)
        records = [record for place in databases(tree) for record in _installed(image, place)]
        listed: dict[str, set[str]] = {}
        for record in records:
            listed.setdefault(record.key, set()).update(map(locate, record.paths))
        packages = {record.key: _package(record) for record in records}
        providers = providers_of({record.key: record.provides for record in records})
        database = frozenset(records_of_manager(tree))
        owned = owned_paths(tree, listed, database)
        owners = owners_of(owned)
        return Inventory(
            packages=packages,
            owned=owned,
            owners=owners,
            conffiles={key: _protected(tree, paths) for key, paths in owned.items()},
            database=database,
            derived=Derivation(image, packages, owners, database, MAKERS).paths({}),
            depends=satisfied({record.key: _depends(record) for record in records}, providers),
        )

    def rewrite(
        self, image: Image, inventory: Inventory, kept: AbstractSet[str]
    ) -> Mapping[str, bytes | None]:
        """Return the database of what is left; see ``PackageManager.rewrite``."""
        locate = locator(image.tree)
        left = packages_left(image.tree, inventory, kept)
        paths = kept | inventory.database
        texts: dict[str, str | None] = {}
        archives: dict[str, bytes | None] = {}
        names: set[str] = set()
        for place in databases(image.tree):
            records = _installed(image, place)
            staying = [record for record in records if record.key in left]
            names = names.union(*(record.provides for record in staying))
            gone = {record.fields.get("C", "") for record in records if record.key not in left}
            sums = {formats.checksum(text) for text in gone}
            trimmed = [
                formats.keep_paths(record, lambda path: locate(path) in paths) for record in staying
            ]
            installed = join(place, "installed")
            unchanged = trimmed == records
            texts[installed] = (
                text_of(image, installed) if unchanged else formats.dump_installed(trimmed)
            )
            texts[join(place, "triggers")] = _triggers(image, join(place, "triggers"), sums)
            archives.update(_scripts(image, place, sums))
        world = image.tree.canonical(WORLD)
        texts[world] = _world(text_of(image, world), names)
        return {**changes(image, texts), **archives}


def _installed(image: Image, place: str) -> list[formats.Record]:
    path = join(place, "installed")
    return formats.parse_installed(text_of(image, path), path)


def _package(record: formats.Record) -> Package:
    fields = record.fields
    return Package(
        name=fields["P"],
        architecture=fields.get("A", ""),
        version=fields.get("V", ""),
        manager=Apk.name,
        source=fields.get("o") or fields["P"],
    )


def _depends(record: formats.Record) -> list[list[str]]:
    return [[name] for name in formats.dependency_names(record.fields.get("D", ""))]


def _protected(tree: Tree, paths: AbstractSet[str]) -> frozenset[str]:
    """What apk never overwrites once it was changed: files below /etc (apk-protected_paths(5))."""
    return frozenset(path for path in paths if is_below(path, "/etc") and tree[path].type == "file")


def _triggers(image: Image, path: str, gone: AbstractSet[str | None]) -> str:
    """A line each: the package's checksum, and the directories that it watches."""
    lines = io.StringIO(text_of(image, path))
    return "".join(
        line for line in lines if formats.checksum(line.partition(" ")[0].strip()) not in gone
    )


def _scripts(image: Image, place: str, gone: AbstractSet[str | None]) -> dict[str, bytes | None]:
    changed: dict[str, bytes | None] = {}
    for path in (join(place, name) for name in _SCRIPTS):
        if path in image.tree and image.tree[path].type == "file" and image.tree[path].size:
            data = read(image, path, LIMIT)
            left = keep_scripts(data, path, lambda own: own not in gone)
            if left != data:
                changed[path] = left
    return changed


def _world(text: str, left: AbstractSet[str]) -> str:
    """Leave out what names no package that is left; conflicts name what shall not be there."""
    lines = []
    for line in io.StringIO(text):
        words = line.split()
        staying = [w for w in words if w.startswith("!") or formats.dependency_name(w) in left]
        if staying == words:
            lines.append(line)
        elif staying:
            lines.append(" ".join(staying) + "\n")
    return "".join(lines)
