"""What no package owns, by the layer that brought it and by directory: few lines for a person.

A group is the top-most directory all of whose unowned files one layer brought; where several layers
met, or the directory is a package's or one that every system has, what lies in it directly.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterator

from paredown_minimizer import planrecords
from paredown_minimizer.fate import made_by_scripts
from paredown_minimizer.handed import is_unowned
from paredown_minimizer.image.model import Image, parent
from paredown_minimizer.planrecords import Settled
from paredown_minimizer.surface.secrets import without_secrets
from paredown_schemas.plan import Layer, UnownedGroup

# Directories that hold many things of many makers (hier(7), file-hierarchy(7)).
_SHARED = frozenset(
    [
        *("/", "/etc", "/home", "/lib", "/mnt", "/media", "/opt", "/run", "/srv", "/usr", "/var"),
        *("/usr/lib", "/usr/local", "/usr/local/lib", "/usr/local/share", "/usr/share"),
        *("/var/cache", "/var/lib", "/var/log"),
    ]
)
# How a builder writes a step with build arguments, which may be secrets: "|2 A=b C=d /bin/sh -c …".
_ARGUMENTS = re.compile(r"\|\d+ .*?(?=/bin/sh -c|$)", re.DOTALL)
_TEXT_LIMIT = 200

_Kind = tuple["int | None", "str | None"]  # the layer, and why it was handed over


def layers(image: Image) -> Iterator[Layer]:
    """Yield the image's layers; their history is cut short, without build arguments and secrets."""
    for layer in image.layers:
        text = layer.created_by and " ".join(_ARGUMENTS.sub("", layer.created_by).split())
        text = text and without_secrets(text)
        text = text and "".join(c if c.isprintable() else "?" for c in text)
        if text and len(text) > _TEXT_LIMIT:
            text = text[: _TEXT_LIMIT - 1] + "…"
        yield Layer(layer.diff_id, text)


def groups(settled: Settled) -> list[UnownedGroup]:
    """Return the groups of what nobody owns, sorted by place."""
    files = _files(settled)
    alone = _of_one_layer(settled, files)
    grouped: dict[tuple[str, bool, int | None, str | None], list[str]] = {}
    for path, place in files.items():
        directory, whole = _top(parent(path), alone)
        key = (directory, whole, *place)
        grouped.setdefault(key, []).append(path)
    found = (_group(settled, *key, paths) for key, paths in grouped.items())
    return sorted(found, key=lambda group: (group.directory, group.whole, group.layer or 0))


def _files(settled: Settled) -> dict[str, _Kind]:
    """Return the files that nobody owns, with their layer, and why they were handed over."""
    image = settled.image
    return {
        path: (image.layer_of(path) if image.layers else None, settled.handed.paths.get(path))
        for path, entry in image.tree.items()
        if entry.type != "directory"
        and is_unowned(path, settled.inventory)
        and not made_by_scripts(path, image.tree)
    }


def _of_one_layer(settled: Settled, files: dict[str, _Kind]) -> dict[str, bool]:
    """Say of each directory with unowned files below whether all have one layer and one fate."""
    seen: dict[str, set[_Kind]] = collections.defaultdict(set)
    for path, place in files.items():
        seen[parent(path)].add(place)
    for path in reversed(list(settled.tree)):
        if path in seen and path != "/":
            seen[parent(path)] |= seen[path]
    owners = settled.inventory.owners
    return {
        path: len(places) == 1 and path not in _SHARED and path not in owners
        for path, places in seen.items()
    }


def _top(directory: str, alone: dict[str, bool]) -> tuple[str, bool]:
    """Return the top-most directory that is one group, or ``directory`` for what lies in it."""
    if not alone[directory]:
        return directory, False
    while alone[parent(directory)]:
        directory = parent(directory)
    return directory, True


def _group(
    settled: Settled,
    directory: str,
    whole: bool,
    layer: int | None,
    handed: str | None,
    paths: list[str],
) -> UnownedGroup:
    kept = [path for path in paths if path in settled.kept]
    evidence = settled.closure.evidence
    return UnownedGroup(
        directory=directory,
        whole=whole,
        layer=layer,
        files=len(paths),
        bytes=planrecords.size_of(settled.tree, paths),
        traced=sum(path in evidence and evidence[path].kind == "traced" for path in paths),
        kept_files=len(kept),
        kept_bytes=planrecords.size_of(settled.tree, kept),
        handed=handed,
    )
