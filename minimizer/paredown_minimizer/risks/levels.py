"""The level of whatever goes, from the plan alone.

A risk with a path speaks of that path and, if it is a directory, of all of its package that goes
below; one without a path of the whole package. The highest level counts; what no risk speaks of is
low.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from paredown_minimizer.image.model import parent
from paredown_schemas.plan import Level, Plan, Risk

RANK: dict[Level, int] = {"high": 0, "medium": 1, "low": 2}


def in_order(risks: Iterable[Risk]) -> tuple[Risk, ...]:
    """Return risks as a plan has them: the highest level first, then by package and path."""
    return tuple(sorted(risks, key=_order))


def _order(risk: Risk) -> tuple[int, str, str, str, str]:
    return RANK[risk.level], risk.package or "", risk.path or "", risk.reason, risk.named_by


def highest(levels: Iterable[Level]) -> Level:
    """Return the highest of some levels, low if there are none."""
    return min(levels, key=RANK.__getitem__, default="low")


def at_most(level: Level, most: Level) -> Level:
    """Return a level, or ``most`` where it is higher."""
    return max(level, most, key=RANK.__getitem__)


class Levels:
    """Answers which risks speak of a path or a package."""

    def __init__(self, risks: Iterable[Risk]) -> None:
        """Index ``risks``."""
        self._by_path: dict[str, list[Risk]] = {}
        self._by_package: dict[str | None, list[Risk]] = {}
        for risk in risks:
            self._by_package.setdefault(risk.package, []).append(risk)
            if risk.path is not None:
                self._by_path.setdefault(risk.path, []).append(risk)

    def about(self, path: str, package: str | None) -> Iterator[Risk]:
        """Yield the risks that speak of a path that goes; ``package`` is the one that owns it."""
        yield from self._by_path.get(path, ())
        directory = path
        while directory != "/":
            directory = parent(directory)
            for risk in self._by_path.get(directory, ()):
                if risk.package == package:
                    yield risk
        if package is not None:
            yield from (risk for risk in self._by_package.get(package, ()) if risk.path is None)

    def of_path(self, path: str, package: str | None) -> Level:
        """Return the level of a path that goes."""
        return highest(risk.level for risk in self.about(path, package))

    def of_package(self, package: str) -> Level:
        """Return the highest level of what goes of a package."""
        return highest(risk.level for risk in self._by_package.get(package, ()))


def level_of(plan: Plan, path: str) -> Level:
    """Return how likely it is that ``path``, which ``plan`` removes, will be missed.

    For many paths make ``Levels(plan.risks)`` once.
    """
    name, _, directory = path[::-1].partition("/")
    here, last = directory[::-1] or "/", name[::-1]
    owners = (r.package for r in plan.removed if r.directory == here and last in r.names)
    return Levels(plan.risks).of_path(path, next(owners, None))
