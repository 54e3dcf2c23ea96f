"""Where apk keeps its database."""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.image.model import Tree, is_below, join

# apk-tools, apk_db_layer_name; on a merged /usr, as Wolfi has it, the second is the real place.
_PLACES = ("/lib/apk/db", "/usr/lib/apk/db")
WORLD = "/etc/apk/world"
# Which packages from where and for what; apk-repositories(5).
_SETTINGS = (WORLD, "/etc/apk/arch", "/etc/apk/repositories")


def databases(tree: Tree) -> list[str]:
    """Return the directories that hold an ``installed`` file, each by its one canonical name."""
    found = (tree.resolve(place) for place in _PLACES)
    directories = dict.fromkeys(resolved.path for resolved in found if resolved)
    return [directory for directory in directories if _is_file(tree, join(directory, "installed"))]


def records_of_manager(tree: Tree) -> Iterator[str]:
    """Yield every path that is apk's own record, and not the application's."""
    places = databases(tree)
    settings = {tree.canonical(path) for path in _SETTINGS}
    for path in tree:
        if path in settings or any(is_below(path, place) for place in places):
            yield path


def _is_file(tree: Tree, path: str) -> bool:
    entry = tree.get(path)
    return entry is not None and entry.type == "file" and entry.size > 0
