"""rpm: what its database says about an image, and the database of what is left.

The database is read without rpm (rpm_database.py and the file of each form), and what is left is
written as a new one of the same form. A package that keeps some of its files keeps its header as it
was signed, with the others marked as not installed, as rpm itself does for ``--excludedocs``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Image
from paredown_minimizer.packages import rpm_header
from paredown_minimizer.packages.base import Inventory, Package
from paredown_minimizer.packages.ownership import locator, owned_paths, owners_of, packages_left
from paredown_minimizer.packages.relations import Relations, providers_of, satisfied
from paredown_minimizer.packages.rpm_database import (
    database_paths,
    find_databases,
    read_headers,
)
from paredown_minimizer.packages.rpm_derived import derived_paths
from paredown_minimizer.packages.rpm_header import Header, parse_header
from paredown_schemas.errors import ParedownError

# Keys that signatures were checked by, each in a header of its own: no packages.
_PUBLIC_KEY = "gpg-pubkey"
# More than rpm's build/parsePreamble.c lets pass, but nothing that would lead elsewhere.
_NAME = re.compile(r"[!-.0-9;-~]+")
_ARCHITECTURE = re.compile(r"[A-Za-z0-9_]*")


class Rpm:
    """The package manager of Fedora, Red Hat, SUSE and their derivatives."""

    name = "rpm"

    def detect(self, image: Image) -> bool:
        """Say whether there is a database."""
        return bool(find_databases(image))

    def read(self, image: Image) -> Inventory:
        """Read the database; see ``PackageManager.read``."""
        headers = _packages(read_headers(image)[1])
        locate = locator(image.tree)
        keys = _keys(headers)
        listed: dict[str, set[str]] = {}
        conffiles: dict[str, set[str]] = {}
        for number, header in headers.items():
            files = listed.setdefault(keys[number], set())
            own = conffiles.setdefault(keys[number], set())
            for path, state, flags in header.files():
                # What was never installed, or was replaced by another package's, is not its own.
                if state == rpm_header.NORMAL and (found := locate(path)) in image.tree:
                    files.add(found)
                    own |= {found} if flags & rpm_header.CONFIG else set()
        database = database_paths(image)
        owned = owned_paths(image.tree, listed, database)
        owners = owners_of(owned)
        packages = {keys[number]: _package(keys[number], h) for number, h in headers.items()}
        relate = _relations(headers, keys, lambda path: owners.get(locate(path), frozenset()))
        return Inventory(
            packages=packages,
            owned=owned,
            owners=owners,
            conffiles=owned_paths(image.tree, conffiles, database),
            database=database,
            derived=derived_paths(image, packages, owners, database),
            depends=relate(rpm_header.REQUIRENAME),
            recommends=relate(rpm_header.RECOMMENDNAME),
        )

    def rewrite(
        self, image: Image, inventory: Inventory, kept: AbstractSet[str]
    ) -> Mapping[str, bytes | None]:
        """Return the database of what is left; see ``PackageManager.rewrite``."""
        database, headers = read_headers(image)
        packages = _packages(headers)
        keys = _keys(packages)
        left = packages_left(image.tree, inventory, kept)
        locate = locator(image.tree)
        going = inventory.owners.keys() - kept
        after: dict[int, bytes] = {}
        for number, blob in headers.items():
            if number not in packages:
                after[number] = blob
            elif keys[number] in left:
                after[number] = _without(packages[number], locate, going)
        changes = {} if after == headers else database.rewritten(after)
        return {path: changes[path] for path in sorted(changes)}


def _packages(headers: Mapping[int, bytes]) -> dict[int, Header]:
    parsed = {number: parse_header(blob) for number, blob in headers.items()}
    for number, header in parsed.items():
        if not _NAME.fullmatch(header.name) or not _ARCHITECTURE.fullmatch(header.architecture):
            raise ParedownError(
                f"cannot read the rpm database: header {number} names what can be no package"
            )
    return {number: header for number, header in parsed.items() if header.name != _PUBLIC_KEY}


def _keys(headers: Mapping[int, Header]) -> dict[int, str]:
    """Return the packages' keys by number; of several versions each is named by its version too.

    rpm installs several versions of a kernel beside each other; a broken update leaves a package's
    header twice.
    """
    versions: dict[tuple[str, str], set[str]] = {}
    for header in headers.values():
        versions.setdefault((header.name, header.architecture), set()).add(header.version)
    keys = {}
    for number, header in headers.items():
        several = len(versions[header.name, header.architecture]) > 1
        name = f"{header.name}-{header.version}" if several else header.name
        keys[number] = f"{name}:{header.architecture}"
    return keys


def _package(key: str, header: Header) -> Package:
    source, source_version = header.source
    return Package(
        name=key.rpartition(":")[0],
        architecture=header.architecture,
        version=header.version,
        manager=Rpm.name,
        source=source,
        source_version=source_version if source_version != header.version else None,
    )


def _relations(
    headers: Mapping[int, Header],
    keys: Mapping[int, str],
    owners: Callable[[str], frozenset[str]],
) -> Callable[[int], dict[str, Relations]]:
    """Return what tells by tag which packages have what the headers ask for.

    They ask for capabilities: sonames, files and other names. Boolean ones, "(a if b)", name none.
    """
    names = {
        keys[number]: header.strings(rpm_header.PROVIDENAME) for number, header in headers.items()
    }
    providers = providers_of(names)

    def relate(tag: int) -> dict[str, Relations]:
        asked = {keys[number]: header.strings(tag) for number, header in headers.items()}
        files = {name for own in asked.values() for name in own if name.startswith("/")}
        having = {**providers, **{name: owners(name) for name in files}}
        return satisfied({key: [[name] for name in own] for key, own in asked.items()}, having)

    return relate


def _without(header: Header, locate: Callable[[str], str], going: AbstractSet[str]) -> bytes:
    return header.without(
        number
        for number, (path, state, _) in enumerate(header.files())
        if state == rpm_header.NORMAL and locate(path) in going
    )
