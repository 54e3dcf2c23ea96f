"""What is left of an image, as an image: what writers are given."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, BinaryIO

from paredown_minimizer.image.model import Entry, Image, Tree, parent


@dataclasses.dataclass(frozen=True, slots=True)
class Provenance:
    """What a written image says of where it came from."""

    original: str  # the image's identity
    plan: str  # the plan's id
    version: str  # Paredown's


class SlimImage:
    """An image without some of its paths, and with other content in some of its files."""

    def __init__(
        self, original: Image, kept: AbstractSet[str], replaced: Mapping[str, bytes]
    ) -> None:
        """Take the paths to keep, their parents implied, and new content by path."""
        self._original = original
        self._replaced = replaced
        self.identity = original.identity
        self.platform = original.platform
        self.config: Mapping[str, Any] = original.config
        self.annotations = original.annotations
        self.layers = original.layers
        staying = with_parents(kept)
        entries = {path: entry for path, entry in original.tree.items() if path in staying}
        for path, content in replaced.items():
            entries[path] = dataclasses.replace(entries[path], size=len(content), hardlinks=None)
        self.tree = Tree(entries)

    def layer_of(self, path: str) -> int:
        """Return the layer of a path; see ``Image.layer_of``."""
        return self._original.layer_of(path)

    def directories(self, layer: int) -> Mapping[str, Entry]:
        """Return what is left of a layer's directories; see ``Image.directories``."""
        found = self._original.directories(layer)
        return {path: entry for path, entry in found.items() if path in self.tree}

    def reading_order(self, paths: Iterable[str]) -> list[str]:
        """Return files in the original's order; see ``Image.reading_order``."""
        return self._original.reading_order(paths)

    def open(self, path: str) -> BinaryIO:
        """Open a file's content; see ``Image.open``."""
        if path in self._replaced:
            return io.BytesIO(self._replaced[path])
        return self._original.open(path)

    def close(self) -> None:
        """Let go of the original."""
        self._original.close()


def with_parents(paths: AbstractSet[str]) -> set[str]:
    """Return ``paths`` and every directory above them."""
    complete = {"/"}
    for path in paths:
        while path not in complete:
            complete.add(path)
            path = parent(path)  # noqa: PLW2901 - climbs
    return complete
