"""What may be the cause where no look-up tells: groups of what goes, the most suspect first."""

from __future__ import annotations

import dataclasses
import glob
import itertools
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from paredown_minimizer.misses import is_whole, package_target
from paredown_minimizer.risks.levels import RANK, Levels, highest
from paredown_schemas.plan import ListedPaths, Plan


@dataclasses.dataclass(frozen=True)
class Suspect:
    """What goes and comes back together, as the targets of pins.

    That is what goes of a package, of it what lies in one directory, or one path; but a package
    that stays or goes as a whole has no parts. What nobody owns is one by directory.
    """

    groups: tuple[tuple[str, ...], ...]  # targets by directory, or one: the package

    @property
    def targets(self) -> tuple[str, ...]:
        """Return what pins keep it by."""
        return tuple(itertools.chain(*self.groups))

    def parts(self) -> list[Suspect]:
        """Return what of it can come back alone; itself, if nothing can."""
        if len(self.groups) > 1:
            return [Suspect((group,)) for group in self.groups]
        return [Suspect(((target,),)) for target in self.targets]


def suspects(plan: Plan, listed: AbstractSet[str] = frozenset()) -> list[Suspect]:
    """Return all that goes, in the order of suspicion.

    First what lies in a directory that was ``listed`` meanwhile, since whoever lists a directory
    asks for nothing by name; then by the levels of the plan's risks.
    """
    whole = {p.key: (package_target(plan, p),) for p in plan.packages if is_whole(plan, p)}
    levels = Levels(plan.risks)
    directories = {record.directory for record in plan.removed}
    grouped: dict[tuple[str | None, str], list[tuple[str, ...]]] = {}
    ranks: dict[tuple[str | None, str], tuple[bool, int]] = {}
    for record in plan.removed:
        paths = _paths(record, directories)
        if not paths:
            continue
        key = (record.package, "" if record.package else record.directory)
        groups = grouped.setdefault(key, [])
        if record.package not in whole:
            groups.append(tuple(map(glob.escape, paths)))
        elif not groups:
            groups.append(whole[record.package])
        rank = _rank(paths, record, levels, listed)
        ranks[key] = min(rank, ranks.get(key, rank))
    # Where they rank alike, in the order of the plan.
    return [Suspect(tuple(grouped[key])) for key in sorted(grouped, key=ranks.__getitem__)]


def _paths(record: ListedPaths, directories: AbstractSet[str]) -> list[str]:
    """With a directory all would come back that is below it."""
    return [path for path in record.paths() if path not in directories]


def _rank(
    paths: Iterable[str], record: ListedPaths, levels: Levels, listed: AbstractSet[str]
) -> tuple[bool, int]:
    level = highest(levels.of_path(path, record.package) for path in paths)
    return record.directory not in listed, RANK[level]
