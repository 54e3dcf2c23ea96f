"""Python's distributions: dist-info with RECORD, and setuptools' egg-info.

Followed: the PyPA specifications "Recording installed projects", "Core metadata" and "Name
normalization". Which files are whose is told by distributions.py. A program that looks for entry
points reads those of every distribution, but METADATA only of the one that it asks about.
"""

from __future__ import annotations

import csv
import email.parser
import io
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer import distributions
from paredown_minimizer.image.model import Image, Tree, is_below, parent, read
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.packages.languages import base
from paredown_minimizer.packages.languages.base import Files, Installed
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name, encode_name

_METADATA = (".dist-info/METADATA", ".egg-info/PKG-INFO", ".egg-info")
_LIMIT = 16 << 20
_SEPARATORS = re.compile(r"[-_.]+")


class Python:
    """The distributions of every directory that has some."""

    name = "python"

    def read(self, files: Files) -> Inventory:
        """Return the distributions."""
        found = {item.package.key: item for item in _distributions(files)}
        compiled = _compiled(files, found.values())
        return base.inventory_of(
            Installed(item.package, item.paths | own, item.records, item.catalogue)
            for item, own in zip(found.values(), compiled, strict=True)
        )

    def rewrite(
        self, image: Image, inventory: Inventory, kept: AbstractSet[str]
    ) -> Mapping[str, bytes | None]:
        """Let RECORD and installed-files.txt of what is trimmed name the files that are left."""
        changes: dict[str, bytes | None] = {}
        for key, records in inventory.records.items():
            if inventory.owned[key] <= kept:
                continue
            for path in sorted(records & kept):
                name = posixpath.basename(path)
                if name in _LISTS and parent(path).endswith(distributions.INFO):
                    text = decode_name(read(image, path, _LIMIT))
                    changes[path] = encode_name(_LISTS[name](text, path, image.tree, kept))
        return changes


def _distributions(files: Files) -> Iterator[Installed]:
    seen: set[str] = set()
    for metadata in files.ending(*_METADATA):
        info = metadata if metadata.endswith(".egg-info") else parent(metadata)
        site = parent(info)
        name, version = _named(files.text(metadata), posixpath.basename(info))
        if not name:
            files.tell(metadata, "it names no distribution")
            continue
        package = base.language_package(Python.name, name, version, site)
        if package.key in seen:  # what an upgrade in another layer left behind
            package = base.language_package(Python.name, name, version, info)
        seen.add(package.key)
        own = {path for path in distributions.files_of(files.contents, info) if path in files}
        records = {path for path in own if is_below(path, info)}
        # An empty dist-info would count as a distribution without a name.
        yield Installed(package, own, records, (records | {info}) - {metadata})


def _named(text: str, directory: str) -> tuple[str, str]:
    """Return name and version as METADATA has them, or as the directory is called.

    The name in its normal form: whoever asks for Flask or zope.interface may spell it otherwise.
    """
    said = email.parser.HeaderParser().parsestr(text)
    stem = directory.rpartition(".")[0].split("-")
    name, version = (base.text_of_name(str(said.get(field, ""))) for field in ("Name", "Version"))
    if not name and len(stem) > 1:
        name = base.text_of_name(stem[0])
    version = version.strip() or (stem[1] if len(stem) > 1 else "")
    return _SEPARATORS.sub("-", name.strip()).lower(), version


def _compiled(files: Files, found: Iterable[Installed]) -> Iterator[set[str]]:
    """Yield for each distribution the bytecode of its modules, which RECORD need not name."""
    by_source: dict[str, list[str]] = {}
    for path in files.ending(".pyc"):
        by_source.setdefault(distributions.source_of_bytecode(path) or "", []).append(path)
    for item in found:
        yield {path for own in item.paths for path in by_source.get(own, ())}


def _record(text: str, path: str, tree: Tree, kept: AbstractSet[str]) -> str:
    """Return the rows of RECORD whose file stays."""
    output = io.StringIO()
    ending = "\r\n" if "\r\n" in text else "\n"
    writer = csv.writer(output, lineterminator=ending)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except csv.Error as error:
        raise ParedownError(f"cannot read {path} of the image: {error}") from error
    site = parent(parent(path))
    writer.writerows(row for row in rows if distributions.locate(tree, site, row[0]) in kept)
    return output.getvalue()


def _installed_files(text: str, path: str, tree: Tree, kept: AbstractSet[str]) -> str:
    """Return the lines of installed-files.txt, relative to its directory, whose file stays."""
    lines = text.splitlines(keepends=True)
    info = parent(path)
    return "".join(
        line for line in lines if distributions.locate_beside(tree, info, line.strip()) in kept
    )


_LISTS: dict[str, Callable[[str, str, Tree, AbstractSet[str]], str]] = {
    "RECORD": _record,
    "installed-files.txt": _installed_files,
}
