"""rpm's headers: the record that its database holds of each installed package.

Format: rpm's docs/manual/format_header.md and lib/header.c. An index of tags, 16 bytes each, and a
store of values, all big-endian. What was signed with the package is a region at the front of both;
what installing adds (the state of each file) lies behind it and is covered by no digest.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterable, Iterator

from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name

# rpmtag.h
NAME, VERSION, RELEASE, EPOCH = 1000, 1001, 1002, 1003
ARCH = 1022
FILESTATES = 1029
FILEFLAGS = 1037
SOURCERPM = 1044
PROVIDENAME = 1047
REQUIRENAME = 1049
RECOMMENDNAME = 5046
DIRINDEXES, BASENAMES, DIRNAMES = 1116, 1117, 1118

# rpmfiles.h, rpmfileState and rpmfileAttrs
NORMAL, NOT_INSTALLED = 0, 2
CONFIG = 1

_STRINGS = (6, 8, 9)  # rpmtag.h: string, string array, translated string
_NUMBERS = {1: "B", 2: "B", 3: "H", 4: "I"}  # char and integers, by type
_TAGS_MAX = 1 << 16  # header.c, HEADER_TAGS_MAX
_FILES_MAX = 1 << 20  # the largest packages have some hundred thousand


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """One header, and where each of its values lies: tag -> type, position, count."""

    blob: bytes
    index: dict[int, tuple[int, int, int]]

    @property
    def name(self) -> str:
        """Return the package's name."""
        return self.text(NAME)

    @property
    def version(self) -> str:
        """Return ``[epoch:]version-release``."""
        epoch = self.numbers(EPOCH)
        prefix = f"{epoch[0]}:" if epoch else ""
        return f"{prefix}{self.text(VERSION)}-{self.text(RELEASE)}"

    @property
    def architecture(self) -> str:
        """Return the architecture, such as ``x86_64`` or ``noarch``."""
        return self.text(ARCH)

    @property
    def source(self) -> tuple[str, str]:
        """Return the source package's name and version; the own ones if none are noted.

        The epoch is the own one, which rpmbuild takes from the source (copyTagsDuringParse).
        """
        # NAME-VERSION-RELEASE.src.rpm, or .nosrc.rpm; neither of the last two holds a hyphen
        name, *rest = self.text(SOURCERPM).rsplit("-", 2)
        if len(rest) != 2:
            return self.name, self.version
        epoch, colon, _ = self.version.rpartition(":")
        return name, f"{epoch}{colon}{'-'.join(rest).removesuffix('.rpm').rpartition('.')[0]}"

    def text(self, tag: int) -> str:
        """Return the first string of ``tag``, empty where there is none."""
        return next(iter(self.strings(tag)), "")

    def strings(self, tag: int) -> list[str]:
        """Return the strings of ``tag``; raises ParedownError where fewer are there than said."""
        kind, position, count = self.index.get(tag, (6, 0, 0))
        if kind not in _STRINGS:
            raise _damaged(f"tag {tag} is no string")
        values = self.blob[position:].split(b"\0", count)[:-1] if count else []
        if len(values) != count:
            raise _damaged(f"the strings of tag {tag} are cut short")
        return [decode_name(value) for value in values]

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return the numbers of ``tag``; raises ParedownError where they end early."""
        kind, position, count = self.index.get(tag, (4, 0, 0))
        if kind not in _NUMBERS:
            raise _damaged(f"tag {tag} is no number")
        layout = f">{count}{_NUMBERS[kind]}"
        if position + struct.calcsize(layout) > len(self.blob):
            raise _damaged(f"the numbers of tag {tag} are cut short")
        return struct.unpack_from(layout, self.blob, position)

    def files(self) -> Iterator[tuple[str, int, int]]:
        """Yield path, state and flags of each file, in rpm's order.

        Raises:
            ParedownError: the lists that make up a path disagree.
        """
        names, places = self.strings(BASENAMES), self.numbers(DIRINDEXES)
        directories = self.strings(DIRNAMES)
        states = self.numbers(FILESTATES) or (NORMAL,) * len(names)
        flags = self.numbers(FILEFLAGS) or (0,) * len(names)
        if len(names) > _FILES_MAX or not len(names) == len(places) == len(states) == len(flags):
            raise _damaged("its lists of files disagree")
        if max(places, default=-1) >= len(directories):
            raise _damaged("a file lies in no directory")
        for name, place, state, flag in zip(names, places, states, flags, strict=True):
            yield directories[place] + name, state, flag

    def without(self, files: Iterable[int]) -> bytes:
        """Return the header with the files of these numbers marked as not installed.

        This is what rpm itself writes for ``--excludedocs``; ``rpm -V`` passes over them. rpm gives
        states to all that it installs; headers that others put into a database get them here.

        Raises:
            ParedownError: there is no file of such a number.
        """
        numbers = set(files)
        if not numbers:
            return self.blob
        blob, position, count = self._with_states()
        for number in numbers:
            if number >= count:
                raise _damaged("its lists of files disagree")
            blob[position + number] = NOT_INSTALLED
        left = parse_header(bytes(blob))
        if _others(left) != _others(self):
            raise _damaged("the states of its files lie upon something else")
        return left.blob

    def _with_states(self) -> tuple[bytearray, int, int]:
        """Return a copy that has states, where they begin and how many they are."""
        if FILESTATES in self.index:
            position = self.index[FILESTATES][1]
            return bytearray(self.blob), position, len(self.numbers(FILESTATES))
        tags, size = struct.unpack_from(">II", self.blob)
        count, start = len(self.strings(BASENAMES)), 8 + 16 * tags
        entry = struct.pack(">4I", FILESTATES, 1, size, count)
        front = struct.pack(">II", tags + 1, size + count) + self.blob[8:start] + entry
        return bytearray(front + self.blob[start:] + bytes(count)), start + 16 + size, count


def parse_header(blob: bytes) -> Header:
    """Return the header that fills ``blob``; raises ParedownError where it cannot be one."""
    if len(blob) < 8:
        raise _damaged("it is cut short")
    tags, size = struct.unpack_from(">II", blob)
    start = 8 + 16 * tags
    if tags > _TAGS_MAX or start + size != len(blob):
        raise _damaged("its length is not what it says")
    index: dict[int, tuple[int, int, int]] = {}
    for tag, kind, offset, count in struct.iter_unpack(">4I", blob[8:start]):
        if offset >= size:
            raise _damaged(f"tag {tag} lies outside of it")
        index.setdefault(tag, (kind, start + offset, count))
    return Header(blob, index)


def _others(header: Header) -> list[object]:
    """Return every value but the states."""
    tags = sorted(header.index.keys() - {FILESTATES})
    texts = [header.strings(tag) for tag in tags if header.index[tag][0] in _STRINGS]
    return [texts, [header.numbers(tag) for tag in tags if header.index[tag][0] in _NUMBERS]]


def _damaged(why: str) -> ParedownError:
    return ParedownError(f"cannot read a header of the rpm database: {why}")
