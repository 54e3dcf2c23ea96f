"""Composer's packages: what vendor/composer/installed.json lists.

Followed: Composer's src/Composer/Repository/FilesystemRepository.php, which writes installed.json
and installed.php; the documentation, "Vendor binaries". The autoloader's maps stay as they are: a
class is looked for where it was, and the files that are loaded at every start are in every trace.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from paredown_minimizer.image.model import Image, is_below, parent, read
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.packages.languages import base
from paredown_minimizer.packages.languages.base import Files, Installed
from paredown_schemas.names import decode_name, encode_name

_LIST = "/composer/installed.json"
_LIMIT = 64 << 20
# var_export's form of an entry of "versions", as dumpToPhpCode indents it.
_ENTRY = re.compile(r" {8}'(?P<name>[^'\\]+)' => array\(\n")
_ENTRY_END = "        ),\n"


class Composer:
    """PHP's packages, by Composer."""

    name = "composer"

    def read(self, files: Files) -> Inventory:
        """Return the packages of every vendor directory."""
        lists = files.ending(_LIST)
        found = [item for path in lists for item in _packages(files, path)]
        written = [f"{parent(path)}/installed.php" for path in lists]
        return base.inventory_of(found, [*lists, *(path for path in written if path in files)])

    def rewrite(
        self, image: Image, inventory: Inventory, kept: AbstractSet[str]
    ) -> Mapping[str, bytes | None]:
        """Let installed.json and installed.php list the packages that are left."""
        left = base.left(inventory, kept)
        changes: dict[str, bytes | None] = {}
        for path in sorted(inventory.database):
            if not path.endswith(_LIST):
                continue
            document = base.document_of(image, path)
            names = {said["name"] for said, key in _listed(document, path) if key not in left}
            if not names:
                continue
            gone = names | (_virtual(document, names) - _virtual(document, names, others=True))
            changes[path] = _dump(_without(document, names))
            code = f"{parent(path)}/installed.php"
            if code in inventory.database:
                text = decode_name(read(image, code, _LIMIT))
                changes[code] = encode_name("".join(_code(text, gone)))
        return changes


def _packages(files: Files, path: str) -> Iterator[Installed]:
    vendor = parent(parent(path))
    seen: set[str] = set()
    for said, _ in _listed(files.json(path), path):
        location = _location(said, path)
        if location in seen:  # one place is one package's
            continue
        seen.add(location)
        own = set(files.below(location))
        bin_ = said.get("bin")
        binaries = bin_ if isinstance(bin_, list) else []
        commands = {
            f"{vendor}/bin/{posixpath.basename(name)}" for name in binaries if isinstance(name, str)
        }
        package = base.language_package(
            Composer.name, said["name"], base.text_of_name(said.get("version")), location
        )
        yield Installed(
            package,
            own | {command for command in commands if command in files},
            base.licences(own, location) | ({f"{location}/composer.json"} & own),
        )


def _listed(document: Any, path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the packages that lie in the project, with their keys."""
    for said in _all(document):
        name = base.text_of_name(said.get("name")) if isinstance(said, dict) else ""
        location = _location(said, path) if name else ""
        if location:
            yield said, base.language_package(Composer.name, name, "", location).key


def _all(document: Any) -> list[Any]:
    packages = document.get("packages") if isinstance(document, dict) else document
    return packages if isinstance(packages, list) else []  # a bare list is Composer 1's


def _location(said: Mapping[str, Any], path: str) -> str:
    """Return where a package lies; nothing for one without files, or outside of the project."""
    here = parent(path)
    place = said.get("install-path", f"../{said['name']}")
    if not isinstance(place, str) or "\0" in place:
        return ""
    location = posixpath.normpath(posixpath.join(here, place))
    project = parent(parent(here))
    inside = is_below(location, project) and not is_below(here, location)
    return location if inside else ""


def _virtual(document: Any, names: AbstractSet[str], *, others: bool = False) -> set[str]:
    """Return what packages of these names, or all others, stand in for."""
    found: set[str] = set()
    for said in _all(document):
        if isinstance(said, dict) and (said.get("name") in names) != others:
            for field in ("replace", "provide"):
                found |= set(said[field]) if isinstance(said.get(field), dict) else set()
    return found


def _without(document: Any, names: AbstractSet[str]) -> Any:
    def stays(said: Any) -> bool:
        return not (isinstance(said, dict) and said.get("name") in names)

    if not isinstance(document, dict):
        return [said for said in document if stays(said)]
    changed = {**document, "packages": [said for said in document["packages"] if stays(said)]}
    if isinstance(document.get("dev-package-names"), list):
        changed["dev-package-names"] = [n for n in document["dev-package-names"] if n not in names]
    return changed


def _dump(document: Any) -> bytes:
    # JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE
    text = json.dumps(document, indent=4, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "surrogatepass")


def _code(text: str, gone: AbstractSet[str]) -> Iterator[str]:
    """Yield the lines of installed.php without the entries of what is gone."""
    inside = False
    for line in text.splitlines(keepends=True):
        entry = _ENTRY.fullmatch(line)
        inside = inside or (entry is not None and entry["name"] in gone)
        if not inside:
            yield line
        inside = inside and line != _ENTRY_END
