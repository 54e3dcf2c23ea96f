"""Packages that kept ones say they depend on, or recommend: deb-control(5), and the like.

That holds nothing, as Debian's packages depend on what their maintainer scripts call, and on what
one feature of many takes. But what a used package depends on is medium; low, what a package
depends on that is only linked to, and what it recommends. Where one of the alternatives stays, the
relation holds without the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from paredown_minimizer.packages.relations import Relations
from paredown_minimizer.risks.situation import Situation
from paredown_schemas.plan import Level, Risk, RiskReason


def find(situation: Situation) -> Iterator[Risk]:
    """Yield the packages that go."""
    inventory = situation.inventory
    stay = {key for key, action in situation.actions.items() if action != "remove"}
    depends = {**inventory.depends}
    for key, needs in inventory.needs.items():
        depends[key] = (*depends.get(key, ()), *(frozenset({need}) for need in sorted(needs)))
    kinds: tuple[tuple[Mapping[str, Relations], RiskReason], ...] = (
        (depends, "depends"),
        (inventory.recommends, "recommends"),
    )
    for relations, reason in kinds:
        for key in sorted(stay & relations.keys()):
            medium = reason == "depends" and key in situation.used_packages
            level: Level = "medium" if medium else "low"
            missing = (any_of for any_of in relations[key] if stay.isdisjoint(any_of))
            for package in sorted(frozenset[str]().union(*missing)):
                yield Risk(package, None, key, level, reason)
