"""An image of layers and a configuration, whatever they were found in."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO

from paredown_minimizer.image.blobs import open_blob
from paredown_minimizer.image.config import Configuration
from paredown_minimizer.image.layers import LayerStack
from paredown_minimizer.image.model import Entry
from paredown_minimizer.image.regions import Extent
from paredown_minimizer.image.store import Store
from paredown_minimizer.image.tar import read_members
from paredown_schemas.errors import ParedownError
from paredown_schemas.identity import image_identity
from paredown_schemas.names import escape_name


@dataclasses.dataclass(frozen=True, slots=True)
class LayerBlob:
    """Where a layer lies, and its digest if that is known; ``what`` is what messages call it."""

    what: str
    region: Extent
    digest: str | None = None


class LayeredImage:
    """The tree that an image's layers make, one upon the other."""

    def __init__(
        self, store: Store, configuration: Configuration, blobs: Sequence[LayerBlob]
    ) -> None:
        """Read the metadata of all layers, oldest first, and verify their digests.

        ``store`` has the blobs, and is closed with the image.

        Raises:
            ParedownError: a layer is damaged or hostile, or not the configuration's.
        """
        self._store = store
        self.config = configuration.document
        self.annotations = configuration.annotations
        self.platform = configuration.platform
        self.layers = configuration.layers
        stack = LayerStack()
        diff_ids = [layer.diff_id for layer in self.layers]
        for blob, diff_id in zip(blobs, diff_ids, strict=True):
            self._apply(stack, blob, diff_id)
        self.identity = image_identity(diff_ids, self.platform)
        self._applied = stack.finish()
        self.tree = self._applied.tree

    def _apply(self, stack: LayerStack, blob: LayerBlob, diff_id: str) -> None:
        content = open_blob(blob.region, blob.what, self._store.workers)
        stack.apply(content.region, read_members(content.region, blob.what), blob.what)
        digests = content.finish()
        if blob.digest not in (None, digests.blob) or digests.content != diff_id:
            raise ParedownError(f"cannot read {blob.what}: its content is not that of its digest")

    def layer_of(self, path: str) -> int:
        """Return the layer of a path; see ``Image.layer_of``."""
        return self._applied.layer_of(path)

    def directories(self, layer: int) -> Mapping[str, Entry]:
        """Return a layer's directories; see ``Image.directories``."""
        return self._applied.directories[layer]

    def reading_order(self, paths: Iterable[str]) -> list[str]:
        """Return files by where their content lies; see ``Image.reading_order``."""
        return sorted(paths, key=lambda path: (self._applied.position(path), path))

    def open(self, path: str) -> BinaryIO:
        """Open a file's content; see ``Image.open``."""
        try:
            return io.BufferedReader(self._applied.content(path))
        except KeyError:
            raise self._store.error(
                f"{escape_name(path)} is not a regular file of the image"
            ) from None

    def close(self) -> None:
        """Let go of what the image was read from."""
        self._store.close()
