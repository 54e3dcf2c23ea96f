"""Directories of a hostile tree, opened one component at a time.

No step follows a link, also one put there meanwhile, so that none leads out of the tree. A path may
be longer than PATH_MAX, which is why it is not opened in one call.
"""

from __future__ import annotations

import os
from pathlib import Path

from paredown_minimizer.image.beneath import open_beneath
from paredown_minimizer.image.model import is_below, join
from paredown_schemas.names import encode_name


class Directories:
    """The directories below ``root``, by their paths in the tree.

    Descriptors on the way to the last directory stay open, so that walking a tree in order opens
    each directory once.
    """

    def __init__(self, root: Path) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._open: list[tuple[str, int]] = [("/", os.open(root, flags))]

    def descriptor(self, path: str) -> int:
        """Return a descriptor of the directory ``path``, valid until the next call.

        Raises:
            OSError: a component is missing or no directory; a symlink is none (ENOTDIR, ELOOP).
        """
        while not is_below(path, self._open[-1][0]):
            os.close(self._open.pop()[1])
        here = self._open[-1][0]
        for name in path[len(here) :].split("/"):
            if name:
                here = join(here, name)
                flags = os.O_RDONLY | os.O_DIRECTORY
                step = open_beneath(self._open[-1][1], encode_name(name), flags)
                self._open.append((here, step))
        return self._open[-1][1]

    def close(self) -> None:
        """Close every descriptor."""
        while self._open:
            os.close(self._open.pop()[1])
