"""Finding what must go back, with tests that are a function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paredown_minimizer.repair.bisection import NotMonotoneError, Search, TooManyError

CANDIDATES = range(500)
EACH = math.ceil(4 / 3 * math.log2(len(CANDIDATES))) + 1


def _search(passes: Callable[[set[int]], bool]) -> tuple[Search[int], list[int]]:
    sizes = []

    def run(restored: Sequence[int]) -> bool:
        sizes.append(len(restored))
        return passes(set(restored))

    return Search(run), sizes


@pytest.mark.parametrize(
    "culprits", [{0}, {7}, {8}, {250}, {499}, {3, 4}, {0, 499}, {10, 11, 499}, {1, 2, 3, 400}]
)
def test_finds_exactly_what_is_needed_together_in_few_runs(culprits: set[int]) -> None:
    search, sizes = _search(lambda restored: culprits <= restored)
    assert set(search.find(CANDIDATES)) == culprits
    assert len(sizes) <= EACH * len(culprits)


def test_what_is_most_suspect_costs_four_runs() -> None:
    for culprit in range(8):
        search, sizes = _search(lambda restored, culprit=culprit: culprit in restored)  # type: ignore[misc]
        assert search.find(CANDIDATES) == [culprit]
        # The last of them says that nothing else is needed.
        assert len(sizes) <= 5


@given(st.lists(st.frozensets(st.integers(0, 39), min_size=1, max_size=4), min_size=1, max_size=4))
def test_one_of_several_ways_is_found_and_nothing_of_it_is_idle(ways: list[frozenset[int]]) -> None:
    def passes(restored: set[int]) -> bool:
        return any(way <= restored for way in ways)

    found = set(_search(passes)[0].find(range(40)))
    assert passes(found)
    assert not any(passes(found - {one}) for one in found)


def test_tests_that_pass_now_and_then_fail_are_no_ground_to_search_on() -> None:
    answers = iter([True, True, True, True] + [False] * 1000)
    search, _ = _search(lambda _restored: next(answers))
    with pytest.raises(NotMonotoneError):
        search.find(CANDIDATES)


def test_gives_up_where_more_are_needed_than_asked_for() -> None:
    search, _ = _search(lambda restored: set(range(4)) <= restored)
    with pytest.raises(TooManyError):
        search.find(range(20), most=3)
    assert set(search.find(range(20), most=4)) == set(range(4))
