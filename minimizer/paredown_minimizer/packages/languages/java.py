"""Java archives, each a package of one file; what lies nested in one shares its fate.

Followed: the JAR File Specification, "JAR Manifest"; Maven Archiver, "pom.properties"; OSGi Core,
"Bundle-SymbolicName"; PKWARE's APPNOTE, 4.3.16, for the end of the central directory.
"""

from __future__ import annotations

import contextlib
import email.parser
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import BinaryIO

from paredown_minimizer.image.model import Image
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.packages.languages import base
from paredown_minimizer.packages.languages.base import Files, Installed
from paredown_schemas.errors import ParedownError

_SUFFIXES = (".jar", ".war", ".ear")
# commons-io-2.11.0.jar, and what Maven lets stand in a version
_FILE_NAME = re.compile(r"(?P<name>.+?)-(?P<version>\d[\w.+-]*)")
_POM = re.compile(r"META-INF/maven/[^/]+/(?P<artifact>[^/]+)/pom\.properties")
_MANIFEST = "META-INF/MANIFEST.MF"
_TEXT_LIMIT = 1 << 18
# End of central directory record: signature, then at 12 the directory's size; a comment follows.
_END = b"PK\5\6"
_END_SIZE = 22
_COMMENT_LIMIT = 0xFFFF
# Some 60,000 members; zipfile makes an object of each.
_DIRECTORY_LIMIT = 8 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    RuntimeError,  # encrypted members; NotImplementedError for unknown methods
    OSError,
    ParedownError,
)


class Java:
    """Java archives that nobody else owns."""

    name = "java"

    def read(self, files: Files) -> Inventory:
        """Return the archives."""
        return base.inventory_of(_archives(files))

    def rewrite(
        self, _image: Image, _inventory: Inventory, _kept: AbstractSet[str]
    ) -> Mapping[str, bytes | None]:
        """Return nothing: an archive says itself what it is."""
        return {}


def _archives(files: Files) -> Iterator[Installed]:
    for path in files.ending(*_SUFFIXES):
        if files.tree[path].type == "file":
            name, version, group = _named(files, path)
            package = base.language_package(Java.name, name, version, path, group)
            yield Installed(package, {path})


def _named(files: Files, path: str) -> tuple[str, str, str | None]:
    """Return name and version, by pom.properties, the manifest, or the file's name; the group."""
    stem = posixpath.basename(path).rpartition(".")[0]
    match = _FILE_NAME.fullmatch(stem)
    by_file = (match["name"], match["version"]) if match else (stem, "")
    try:
        with files.contents.image.open(path) as file:
            _refuse_giants(file)
            with zipfile.ZipFile(file) as archive:
                return _by_pom(archive, by_file[0]) or (*_by_manifest(archive, by_file), None)
    except _DAMAGE as error:
        files.tell(path, f"no Java archive: {error}")
        return (*by_file, None)


def _refuse_giants(file: BinaryIO) -> None:
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_SIZE - _COMMENT_LIMIT))
    tail = file.read(_END_SIZE + _COMMENT_LIMIT)
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + _END_SIZE:
        raise zipfile.BadZipFile("it has no central directory")
    (directory,) = struct.unpack_from("<L", tail, at + 12)
    if directory > _DIRECTORY_LIMIT:  # as Zip64 has it, too
        raise zipfile.BadZipFile(f"a central directory of more than {_DIRECTORY_LIMIT} bytes")


def _by_pom(archive: zipfile.ZipFile, stem: str) -> tuple[str, str, str | None] | None:
    """Return what Maven wrote. A shaded archive has one of each part: the one of its own name."""
    poms = list(filter(None, map(_POM.fullmatch, archive.namelist())))
    own = [match[0] for match in poms if match["artifact"] == stem or len(poms) == 1]
    for name in own[:1]:
        lines = (line.partition("=") for line in _text(archive, name).splitlines())
        said = {key.strip(): value.strip() for key, _, value in lines}
        keys = ("artifactId", "version", "groupId")
        artifact, version, group = (base.text_of_name(said.get(key, "")) for key in keys)
        if artifact and version:
            return artifact, version, group or None
    return None


def _by_manifest(archive: zipfile.ZipFile, by_file: tuple[str, str]) -> tuple[str, str]:
    text = ""
    with contextlib.suppress(KeyError):
        text = _text(archive, _MANIFEST)
    # Lines of 72 bytes go on after a newline and a space, which is no part of the value.
    text = re.sub(r"\r?\n ", "", text)
    said = email.parser.HeaderParser().parsestr(text)

    def first(*fields: str) -> str:
        values = (str(said.get(field, "")).partition(";")[0].strip() for field in fields)
        return next(filter(None, map(base.text_of_name, values)), "")

    name = by_file[0] if by_file[1] else first("Bundle-SymbolicName", "Implementation-Title")
    version = first("Implementation-Version", "Bundle-Version", "Specification-Version")
    return name or by_file[0], version or by_file[1]


def _text(archive: zipfile.ZipFile, name: str) -> str:
    with archive.open(name) as member:
        return member.read(_TEXT_LIMIT).decode("utf-8", "surrogateescape")
