"""What the minimizer asks of a package manager.

Adding one touches its own file, ``registry.MANAGERS`` and its test. Languages' packages have a
protocol of their own, ``languages/base.py``, with the same inventory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

from paredown_minimizer.image.model import Image
from paredown_schemas.plan import package_key


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Package:
    """One installed package."""

    name: str
    architecture: str
    version: str
    manager: str  # "dpkg", "apk"
    source: str  # source package's name, the own name if it has none
    location: str | None = None  # where a language's package lies; None for the system's
    source_version: str | None = None  # the source package's, where it is another
    group: str | None = None  # Maven's groupId

    @property
    def key(self) -> str:
        """Return what names this package in one image; see ``package_key``."""
        return package_key(self.manager, self.name, self.architecture, self.location)


def _field(default: Callable[[], Any] = dict) -> Any:
    """Return a field that most package managers leave alone."""
    return dataclasses.field(default_factory=default, kw_only=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Inventory:
    """What a package manager knows of an image.

    Every path is one of the image's tree in canonical form (merged /usr and diversions resolved);
    paths that the image lacks are not listed.
    """

    packages: Mapping[str, Package]  # by key
    owned: Mapping[str, frozenset[str]]  # by package key: files, links and directories
    owners: Mapping[str, frozenset[str]]  # by path: keys of the packages that list it
    conffiles: Mapping[str, frozenset[str]]  # by package key
    # The manager's own records: they follow the decision (rewritten), and neither count as the
    # application nor hold anything.
    database: frozenset[str]
    # Paths that no package lists but that were made from others by the manager or by maintainer
    # scripts (alternatives links, ca-certificates.crt, ld.so.cache, caches, logs of the manager):
    # they share the fate of what they were made from: any of these packages or paths staying
    # keeps them. path -> the sources, package keys and paths.
    derived: Mapping[str, frozenset[str]]
    # Packages of which nothing says which files are theirs: they stay declared, since nobody can
    # say that nothing of them is left. Keys.
    unlisted: frozenset[str] = _field(frozenset)
    # By package key: those of its own paths that say that it is installed, and its licences. They
    # stay as long as anything of the package does.
    records: Mapping[str, frozenset[str]] = _field()
    # Records, and their directories, that are read by whoever asks which packages there are: that
    # uses none of them.
    catalogue: frozenset[str] = _field(frozenset)
    # By package key: the packages without which this one does not start; their records stay.
    needs: Mapping[str, frozenset[str]] = _field()
    # By package key, what it says that it depends on, and what it recommends: for each relation
    # the installed packages that satisfy it, one of which is enough; see relations.py.
    depends: Mapping[str, tuple[frozenset[str], ...]] = _field()
    recommends: Mapping[str, tuple[frozenset[str], ...]] = _field()
    warnings: tuple[str, ...] = _field(tuple)  # what could not be read, in words for the user


class PackageManager(Protocol):
    """One package manager."""

    name: str

    def detect(self, image: Image) -> bool:
        """Say whether the image has this manager's database."""

    def read(self, image: Image) -> Inventory:
        """Read the database; raises ParedownError with file and line where it is malformed."""

    def rewrite(
        self, image: Image, inventory: Inventory, kept: AbstractSet[str]
    ) -> Mapping[str, bytes | None]:
        """Return the database's files after slimming: new content by path, None where one goes.

        ``kept`` holds every path outside the database that stays. Which packages are left is what
        ``ownership.packages_left`` says. Files of the database that are not mentioned stay as they
        are; a kept file that names packages may be mentioned, too. Attributes other than size stay
        those of the original.
        """
