"""What reasons look at: what was decided, who was used, and what of each package goes."""

from __future__ import annotations

import bisect
import collections
import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from paredown_minimizer.closure import Reach
from paredown_minimizer.contents import Contents
from paredown_minimizer.image.model import Tree, parent
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.planrecords import Settled
from paredown_schemas.plan import Action, Evidence, Level, Risk, RiskReason
from paredown_schemas.trace import STARTED, Run

# A directory that more packages than this list says nothing about any of them.
SHARED = 3
# hier(7): directories that belong to no package in particular.
COMMON = re.compile(
    r"/|/(usr|boot|dev|etc|home|media|mnt|opt|proc|root|run|srv|sys|tmp|var)"
    r"|(/usr(/local)?)?/(s?bin|include|lib(32|64|x32|exec)?|share|src)"
    r"|(/usr(/local)?)?/lib/[a-z0-9_]+-linux-[a-z0-9]+"
    r"|/usr/local|/usr/share/(doc|info|locale|man|misc)"
    r"|/var/(cache|lib|local|lock|log|mail|opt|run|spool|tmp)"
)
# Fewer paths than this are spoken of one by one.
_FEW = 4
# A package that so many records speak of is spoken of as a whole: nobody reads more.
_RECORDS = 40


@dataclasses.dataclass(frozen=True)
class Situation:
    """A decision, from ``runs``; ``actions`` are by package."""

    settled: Settled
    contents: Contents
    actions: Mapping[str, Action]
    runs: Sequence[Run]

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
    def stay(self) -> frozenset[str]:
        """Return the packages that stay, whole or trimmed."""
        return frozenset(key for key, action in self.actions.items() if action != "remove")

    @functools.cached_property
    def used_packages(self) -> frozenset[str]:
        """Return the packages of which something was used that is no directory."""
        used = (path for path in self.used if not self.tree.leads_to_directory(path))
        owners = self.inventory.owners
        return frozenset(key for path in used for key in owners.get(path, ()))

    @functools.cached_property
    def started(self) -> frozenset[str]:
        """Return the packages of which a run started a program."""
        owners = self.inventory.owners
        programs = (p for p, e in self.evidence.items() if not STARTED.isdisjoint(e.how))
        return frozenset(key for path in programs for key in owners.get(path, ()))

    @functools.cached_property
    def needed(self) -> frozenset[str]:
        """Return the sonames that ELF files of the primary closure need."""
        found = (self.contents.elf(path) for path in self.evidence)
        return frozenset(soname for elf in found if elf for soname in elf.needed)

    def packages(self, path: str) -> Sequence[str | None]:
        """Return the packages that are spoken of where ``path`` is; None: nobody's."""
        owners = self.inventory.owners.get(path)
        if owners:
            return sorted(owners) if len(owners) <= SHARED else ()
        sources = self.inventory.derived.get(path, frozenset())
        packages = {source for source in sources if not source.startswith("/")}
        for source in sources - packages:
            packages |= self.inventory.owners.get(source, frozenset())
        return sorted(packages) or (None,)

    def is_read(self, path: str) -> bool:
        """Say whether a program could read a path: documentation and the like is for people."""
        return self.settled.trim.kind(path) is None

    def below(self, directory: str) -> Sequence[str]:
        """Return what goes below a directory and could be read, but directories, sorted."""
        if directory not in self._below:
            self._below[directory] = self._find_below(directory)
        return self._below[directory]

    def _find_below(self, directory: str) -> Sequence[str]:
        first = bisect.bisect_left(self.files, f"{directory}/")
        # "0" is what follows on "/" in any text.
        found = self.files[first : bisect.bisect_left(self.files, f"{directory}0")]
        return [path for path in found if self.is_read(path)]

    @functools.cached_property
    def _below(self) -> dict[str, Sequence[str]]:
        return {}

    def risks(
        self,
        paths: Iterable[str],
        named_by: str,
        level: Level,
        reason: RiskReason,
        few: int = _FEW,
    ) -> Iterator[Risk]:
        """Yield risks that speak of ``paths``, which go, and of no other path that goes.

        Where they are all that goes of a package below a directory, and not fewer than ``few``,
        the risk names the directory.
        """
        by_package: dict[str | None, set[str]] = {}
        for path in paths:
            for package in self.packages(path):
                by_package.setdefault(package, set()).add(path)
        for package in sorted(by_package, key=str):
            for path in self._folded(package, by_package[package], few):
                yield Risk(package, path, named_by, level, reason)

    @functools.cached_property
    def files(self) -> Sequence[str]:
        """Return what goes and is no directory, sorted."""
        return sorted(path for path in self.removed if self.tree[path].type != "directory")

    @functools.cached_property
    def _totals(self) -> dict[str | None, Mapping[str, int]]:
        return {}

    def _total(self, package: str | None) -> Mapping[str, int]:
        """Return how much goes of a package, and could be read, below each directory."""
        if package not in self._totals:
            if package is None:
                own = (path for path in self.files if path not in self.inventory.owners)
            else:
                owned = self.inventory.owned.get(package, frozenset()) & self.removed
                own = (path for path in owned if self.tree[path].type != "directory")
            found = filter(self.is_read, own)
            self._totals[package] = collections.Counter(d for path in found for d in above(path))
        return self._totals[package]

    def _folded(self, package: str | None, paths: AbstractSet[str], few: int) -> list[str]:
        total = self._total(package)
        count = collections.Counter(directory for path in paths for directory in above(path))
        folded: set[str] = set()
        for share in (1.0, 0.5, 0.0):
            whole = {at for at in count if count[at] >= max(few, share * total.get(at, 0))}
            folded = {_highest(path, whole, count) for path in paths}
            if len(folded) <= _RECORDS:
                break
        return sorted(folded)


def _highest(path: str, whole: AbstractSet[str], count: Mapping[str, int]) -> str:
    """Return the highest directory that may stand for a path, and of equal ones the deepest."""
    chosen = [directory for directory in above(path) if directory in whole]
    most = count[chosen[-1]] if chosen else 0
    return next((directory for directory in chosen if count[directory] == most), path)


def is_library(path: str) -> bool:
    """Say whether a path is called as shared objects are."""
    name = path.rpartition("/")[2]
    return name.endswith(".so") or ".so." in name


def above(path: str) -> Iterator[str]:
    """Yield the directories above, the nearest first, without the root."""
    while (path := parent(path)) != "/":
        yield path
