"""What may be the cause where no look-up tells: groups of what goes, the most suspect first."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import parent
from paredown_minimizer.misses import is_whole, package_target
from paredown_minimizer.risks.levels import RANK, Levels, highest
from paredown_schemas.plan import Level, PackageDecision, Plan


@dataclasses.dataclass(frozen=True)
class Suspect:
    """What goes and comes back together.

    That is a package that stays or goes as a whole, or what one package has in one directory.
    """

    package: str | None  # key
    targets: tuple[str, ...]  # of pins that keep it
    files: int

    def parts(self) -> list[Suspect]:
        """Return what can come back alone."""
        return [dataclasses.replace(self, targets=(t,), files=1) for t in self.targets]


def suspects(plan: Plan, listed: AbstractSet[str] = frozenset()) -> list[Suspect]:
    """Return all that goes, and that no person lets go, in the order of suspicion.

    First what lies in a directory that was ``listed`` meanwhile, since whoever lists a directory
    asks for nothing by name; then by the levels of the plan's risks.
    """
    whole = {each.key: each for each in plan.packages if is_whole(plan, each)}
    levels = Levels(plan.risks)
    directories = {record.directory for record in plan.removed}
    groups: dict[tuple[str | None, str], list[str]] = {}
    for record in plan.removed:
        # With a directory all comes back that is below it.
        paths = [path for path in record.paths() if path not in directories]
        place = "" if record.package in whole else record.directory
        groups.setdefault((record.package, place), []).extend(paths)
    ranked = [
        (_rank(paths, package, levels, listed), number, _suspect(plan, whole, package, paths))
        for number, ((package, _), paths) in enumerate(groups.items())
        if paths
    ]
    return [suspect for _, _, suspect in sorted(ranked, key=lambda each: each[:2])]


def _rank(
    paths: Iterable[str], package: str | None, levels: Levels, listed: AbstractSet[str]
) -> tuple[bool, int]:
    known = list(paths)
    level: Level = highest(levels.of_path(path, package) for path in known)
    return not any(parent(path) in listed for path in known), RANK[level]


def _suspect(
    plan: Plan, whole: dict[str, PackageDecision], package: str | None, paths: list[str]
) -> Suspect:
    found = whole.get(package or "")
    if found is not None:
        return Suspect(package, (package_target(plan, found),), len(paths))
    return Suspect(package, tuple(map(glob.escape, paths)), len(paths))
