"""Which installed packages satisfy a relation."""

from __future__ import annotations

import time

from paredown_minimizer.packages.relations import providers_of, satisfied


def test_one_of_alternatives_or_providers_is_enough() -> None:
    providers = providers_of({"a:x": ["a", "mta"], "b:x": ["b", "mta"], "c:x": ["c"]})
    wanted = {"c:x": [["mta"], ["a", "none"], ["c"], ["none"]], "a:x": [["mta"]]}
    assert satisfied(wanted, providers) == {"c:x": (frozenset({"a:x", "b:x"}), frozenset({"a:x"}))}


def test_a_database_where_all_satisfy_all_takes_no_more_than_its_length() -> None:
    keys = [f"p{number}" for number in range(20_000)]
    providers = providers_of({key: ["all", f"{key}-too", *keys[:3]] for key in keys})
    wanted = {key: [["all"], ["all", key], [f"{other}-too" for other in keys[:9]]] for key in keys}
    start = time.process_time()
    found = satisfied(wanted, providers)
    assert time.process_time() - start < 5
    assert max(len(group) for groups in found.values() for group in groups) < 20
