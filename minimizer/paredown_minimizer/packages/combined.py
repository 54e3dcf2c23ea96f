"""All package managers of one image as one: the system's, and those of languages beside it.

Only what no package of the system owns is a language's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from paredown_minimizer.contents import Contents
from paredown_minimizer.image.model import Image
from paredown_minimizer.packages.base import Inventory, PackageManager
from paredown_minimizer.packages.languages.base import Files, LanguagePackages

NO_PACKAGES = Inventory({}, {}, {}, {}, frozenset(), {})


@dataclasses.dataclass(frozen=True, slots=True)
class CombinedInventory(Inventory):
    """What several managers know; each has its own part."""

    parts: tuple[tuple[PackageManager | LanguagePackages, Inventory], ...] = ()


class Combined:
    """The package managers of one image, behind the protocol of one."""

    name = "all"

    def __init__(
        self, system: PackageManager | None, languages: Sequence[LanguagePackages]
    ) -> None:
        """Take the system's manager, if it is known, and the languages'."""
        self.system = system
        self._languages = languages

    def detect(self, _image: Image) -> bool:
        """Say yes: an image may have no packages."""
        return True

    def read(self, image: Image) -> CombinedInventory:
        """Read all; see ``PackageManager.read``."""
        parts: list[tuple[PackageManager | LanguagePackages, Inventory]] = []
        if self.system is not None:
            parts.append((self.system, self.system.read(image)))
        contents = Contents(image)
        files = Files(contents, parts[0][1] if parts else NO_PACKAGES)
        parts += [(language, language.read(files)) for language in self._languages]
        inventories = [inventory for _, inventory in parts]
        fields = {
            field.name: _together([getattr(inventory, field.name) for inventory in inventories])
            for field in dataclasses.fields(Inventory)
        }
        fields["warnings"] += tuple(contents.warnings)
        return CombinedInventory(**fields, parts=tuple(parts))

    def rewrite(
        self, image: Image, inventory: Inventory, kept: AbstractSet[str]
    ) -> Mapping[str, bytes | None]:
        """Return what changes in all databases; see ``PackageManager.rewrite``."""
        known = inventory if isinstance(inventory, CombinedInventory) else self.read(image)
        changes: dict[str, bytes | None] = {}
        for manager, part in known.parts:
            changes |= manager.rewrite(image, part, kept)
        return changes


def parts_of(inventory: Inventory) -> list[Inventory]:
    """Return what each of several managers knows, or the one inventory that there is."""
    if isinstance(inventory, CombinedInventory):
        return [part for _, part in inventory.parts]
    return [inventory]


def _together(values: list[Any]) -> Any:
    """Unite what the managers say; of one path, the owners and sources of all of them."""
    if isinstance(values[0], tuple):
        return tuple(item for value in values for item in value)
    if isinstance(values[0], frozenset):
        return frozenset().union(*values)
    together: dict[str, Any] = {}
    for value in values:
        shared = [key for key in value if key in together]
        united = {
            key: together[key] | value[key]
            for key in shared
            if isinstance(together[key], frozenset)  # of one key's two packages the first counts
        }
        together = {**value, **together, **united} if value else together
    return together
