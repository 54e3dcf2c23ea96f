"""Packages that kept ones say they depend on, or recommend: deb-control(5), and the like.

That holds nothing, as Debian's packages depend on what their maintainer scripts call, and on what
one feature of many takes. But what a used package depends on is medium; low, what a package
depends on that is only linked to, and what it recommends. Where one of the alternatives stays, the
relation holds without the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.packages.relations import Relations
from paredown_minimizer.risks.situation import Situation
from paredown_schemas.plan import Level, Risk, RiskReason


def find(situation: Situation) -> Iterator[Risk]:
    """Yield the packages that go."""
    kinds: tuple[tuple[Mapping[str, Relations], RiskReason], ...] = (
        (_depends(situation.inventory), "depends"),
        (situation.inventory.recommends, "recommends"),
    )
    for relations, reason in kinds:
        for key in sorted(situation.stay & relations.keys()):
            medium = reason == "depends" and key in situation.used_packages
            level: Level = "medium" if medium else "low"
            for package in _missing(situation, relations[key]):
                yield Risk(package, None, key, level, reason)


def needs_of(situation: Situation, packages: Iterable[str]) -> Iterator[Risk]:
    """Yield what goes that ``packages``, which may be missed, depend on: medium.

    Not what those depend on in turn: it would be half of what a language has.
    """
    relations = _depends(situation.inventory)
    for key in sorted(packages):
        for package in _missing(situation, relations.get(key, ())):
            yield Risk(package, None, key, "medium", "depends")


def _depends(inventory: Inventory) -> Mapping[str, Relations]:
    depends = dict(inventory.depends)
    for key, needs in inventory.needs.items():
        depends[key] = (*depends.get(key, ()), *(frozenset({need}) for need in sorted(needs)))
    return depends


def _missing(situation: Situation, relations: Relations) -> list[str]:
    """Return the packages of relations that nothing that stays satisfies."""
    missing = (any_of for any_of in relations if situation.stay.isdisjoint(any_of))
    return sorted(frozenset[str]().union(*missing))
