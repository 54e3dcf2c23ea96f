"""What gives way to the policy: rules that a pin removes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from paredown_schemas.plan import Evidence, GaveWay


class Yielding:
    """Says of evidence whether the policy lets it hold nothing; tells what it would."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        """``rules``: the names of those that do not fire, with the reason."""
        self._rules = rules
        self._told: dict[tuple[str, str], GaveWay] = {}

    def gives_way(self, evidence: Evidence) -> bool:
        """Say whether ``evidence`` holds nothing, the policy having decided so."""
        rule = evidence.detail or ""
        if evidence.kind != "rule" or rule not in self._rules:
            return False
        told = GaveWay(evidence.path, rule, evidence.by, self._rules[rule])
        self._told.setdefault((told.path, told.rule), told)
        return True

    def told(self, kept: AbstractSet[str]) -> Iterator[GaveWay]:
        """Yield what rules would have held and goes, sorted."""
        yield from (each for _, each in sorted(self._told.items()) if each.path not in kept)
