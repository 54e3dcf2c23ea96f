"""dpkg's database in the form that distroless images have: ``status.d``.

One file per package with its control fields (no Status: all are installed), under a name that need
not be the package's (for a while it was in base64), and beside it, in images since 2023,
``NAME.md5sums``: all that tells which files are the package's. Links and directories stand nowhere.
Followed: GoogleContainerTools/distroless, PACKAGE_METADATA.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Image
from paredown_minimizer.packages import dpkg_format as formats
from paredown_minimizer.packages.dpkg_files import ROOT
from paredown_minimizer.packages.texts import lines_of, text_of
from paredown_schemas.names import escape_name

DIRECTORY = f"{ROOT}/status.d"
_SUMS = ".md5sums"


def stanzas(image: Image) -> Iterator[tuple[formats.Stanza, list[str] | None]]:
    """Yield each package with the paths that its md5sums list, None where it has no md5sums.

    Raises:
        ParedownError: a file is malformed.
    """
    for path in files(image):
        listed = None
        if path + _SUMS in image.tree:
            listed = [formats.md5sums_path(line) for line in lines_of(image, path + _SUMS)]
        for stanza in formats.parse_stanzas(text_of(image, path), escape_name(path)):
            yield stanza, listed


def rewrite(
    image: Image, packages: AbstractSet[str], stays: Callable[[str, str], bool]
) -> dict[str, str | None]:
    """Return the files of what is left, None for one that goes.

    ``packages`` are the keys of those that are left, ``stays`` says it of a package's path.
    """
    changed: dict[str, str | None] = {}
    for path in files(image):
        text = text_of(image, path)
        found = formats.parse_stanzas(text, escape_name(path))
        left = [stanza for stanza in found if stanza.key in packages]
        changed[path] = text if left == found else formats.dump_stanzas(left) if left else None
        name = left[0].fields["Package"] if left else ""
        lines = lines_of(image, path + _SUMS)
        staying = [line for line in lines if stays(name, formats.md5sums_path(line))]
        changed[path + _SUMS] = formats.join_lines(staying) if left else None
    return changed


def files(image: Image) -> list[str]:
    """Return the paths of the files that hold packages' control fields."""
    return [
        path
        for path in image.tree.children.get(DIRECTORY, ())
        if image.tree[path].type == "file" and not path.endswith(_SUMS)
    ]
