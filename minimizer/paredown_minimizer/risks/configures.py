"""Configuration files that go of packages that stay: read when a feature is first used. Medium.

They are what the package manager calls so (conffiles, ``%config``, apk's protected paths), and what
a package has in /etc (hier(7)).
"""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.image.model import is_below
from paredown_minimizer.risks.situation import Situation
from paredown_schemas.plan import Risk


def find(situation: Situation) -> Iterator[Risk]:
    """Yield the configuration files."""
    inventory = situation.inventory
    for key in sorted(situation.used_packages):
        conffiles = inventory.conffiles.get(key, frozenset())
        own = {
            path
            for path in inventory.owned[key] & situation.removed
            if path in conffiles or is_below(path, "/etc")
        }
        files = (path for path in own if situation.tree[path].type != "directory")
        yield from situation.risks(files, key, "medium", "configures")
