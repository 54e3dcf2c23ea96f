"""What reasons look at: what was decided, and who was used."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer.closure import Reach
from paredown_minimizer.contents import Contents
from paredown_minimizer.image.model import Tree
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.planrecords import Settled
from paredown_schemas.plan import Action, Evidence

# A directory that more packages than this list says nothing about any of them.
SHARED = 3


@dataclasses.dataclass(frozen=True)
class Situation:
    """A decision; ``actions`` are by package."""

    settled: Settled
    contents: Contents
    actions: Mapping[str, Action]

    @property
    def tree(self) -> Tree:
        """Return the image's paths."""
        return self.settled.tree

    @property
    def inventory(self) -> Inventory:
        """Return what the package managers know."""
        return self.settled.inventory

    @functools.cached_property
    def removed(self) -> AbstractSet[str]:
        """Return what goes."""
        return self.settled.removed

    @functools.cached_property
    def evidence(self) -> dict[str, Evidence]:
        """Return the evidence of the primary closure, sorted by path."""
        closure = self.settled.closure
        primary = (p for p, reach in closure.reach.items() if reach == Reach.PRIMARY)
        return {path: closure.evidence[path] for path in sorted(primary)}

    @functools.cached_property
    def used(self) -> frozenset[str]:
        """Return what was seen or ordered, or follows from that without any rule's help."""
        known: dict[str, bool] = {}
        for path in self.evidence:
            chain: dict[str, None] = {}
            here: str | None = path
            while here is not None and here not in known:
                evidence = self.settled.closure.evidence.get(here)
                if evidence is None or evidence.kind == "rule" or here in chain:
                    break
                chain[here] = None
                here = evidence.by
            verdict = here is None or known.get(here, False)
            known.update(dict.fromkeys(chain, verdict))
        return frozenset(path for path in self.evidence if known.get(path))

    @functools.cached_property
    def used_packages(self) -> frozenset[str]:
        """Return the packages of which something was used that is no directory."""
        used = (path for path in self.used if not self.tree.leads_to_directory(path))
        owners = self.inventory.owners
        return frozenset(key for path in used for key in owners.get(path, ()))

    def packages(self, path: str) -> Iterable[str | None]:
        """Return the packages that are spoken of where ``path`` is; None: nobody's."""
        owners = self.inventory.owners.get(path)
        if owners:
            return sorted(owners) if len(owners) <= SHARED else ()
        sources = self.inventory.derived.get(path, frozenset())
        packages = {source for source in sources if not source.startswith("/")}
        for source in sources - packages:
            packages |= self.inventory.owners.get(source, frozenset())
        return sorted(packages) or (None,)
