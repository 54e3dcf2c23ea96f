"""Where dpkg keeps its database."""

from __future__ import annotations

from paredown_minimizer.image.model import Tree

ROOT = "/var/lib/dpkg"
STATUS = f"{ROOT}/status"
INFO = f"{ROOT}/info"
DIVERSIONS = f"{ROOT}/diversions"
ALTERNATIVES = f"{ROOT}/alternatives"
TRIGGERS = f"{ROOT}/triggers"
EXTENDED_STATES = "/var/lib/apt/extended_states"


def info_file(tree: Tree, key: str, kind: str) -> str:
    """Return the path of a package's info file; only co-installable ones carry the architecture.

    ``key`` is ``name:architecture``.
    """
    with_architecture = f"{INFO}/{key}.{kind}"
    if with_architecture in tree:
        return with_architecture
    return f"{INFO}/{key.rpartition(':')[0]}.{kind}"
