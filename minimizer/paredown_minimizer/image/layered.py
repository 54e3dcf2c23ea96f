"""An image of layers and a configuration, whatever archive or store they were found in."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO

from paredown_minimizer.image.blobs import Expander, verify
from paredown_minimizer.image.config import Configuration
from paredown_minimizer.image.layers import LayerStack
from paredown_minimizer.image.model import Entry
from paredown_minimizer.image.tar import Content, Region, read_members
from paredown_schemas.errors import ParedownError
from paredown_schemas.identity import image_identity
from paredown_schemas.names import escape_name


class LayeredImage:
    """The tree that an image's layers make, one upon the other."""

    def __init__(
        self,
        name: str,
        configuration: Configuration,
        blobs: Sequence[tuple[str, Region]],
        expander: Expander,
        resources: contextlib.ExitStack,
    ) -> None:
        """Read the metadata of all layers and verify their digests.

        ``name`` is for messages, ``blobs`` are the layers, oldest first, with a name each for
        messages. ``resources`` are taken over, to be closed with the image.

        Raises:
            ParedownError: a layer is damaged or hostile, or not the configuration's.
        """
        self._name = name
        self.config = configuration.document
        self.platform = configuration.platform
        self.layers = configuration.layers
        diff_ids = [layer.diff_id for layer in self.layers]
        stack = LayerStack()
        for (layer, region), diff_id in zip(blobs, diff_ids, strict=True):
            content = expander.expand(region, layer)
            verify(content, diff_id, layer)
            stack.apply(content, read_members(content, layer), layer)
        self.identity = image_identity(diff_ids, self.platform)
        self._applied = stack.finish()
        self.tree = self._applied.tree
        self._resources = resources.pop_all()

    def layer_of(self, path: str) -> int:
        """Return the layer of a path; see ``Image.layer_of``."""
        return self._applied.layer_of[path]

    def directories(self, layer: int) -> Mapping[str, Entry]:
        """Return a layer's directories; see ``Image.directories``."""
        return self._applied.directories[layer]

    def reading_order(self, paths: Iterable[str]) -> list[str]:
        """Return files by where their content lies; see ``Image.reading_order``."""
        contents = self._applied.contents
        return sorted(paths, key=lambda path: (contents[path].layer, contents[path].start, path))

    def open(self, path: str) -> BinaryIO:
        """Open a file's content; see ``Image.open``."""
        content = self._applied.contents.get(path)
        if content is None:
            raise ParedownError(
                f"cannot read {escape_name(path)} in {self._name}: not a regular file of the image"
            )
        return io.BufferedReader(Content(content.region, content.member))

    def close(self) -> None:
        """Let go of the archive and of temporary files."""
        self._resources.close()
