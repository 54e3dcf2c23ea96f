"""Every format writes every plan that can be read, however odd."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import Phase, given, settings

from any_plan import PLANS
from output_schemas import validator
from paredown_minimizer.chains import Chains
from paredown_minimizer.comparison import compare
from paredown_minimizer.formats import FORMATS, find_format
from paredown_minimizer.formats.charts import treemap
from paredown_minimizer.formats.markdown import LIMIT
from paredown_minimizer.review import review_plan
from paredown_schemas.errors import DamagedInputError
from paredown_schemas.plan import Plan, Totals, dump_plan, load_plan
from plans import example_plan, full_plan, package

_SCHEMAS = validator("diff-1.schema.json"), validator("comparison-1.schema.json")


# Making smaller what failed would take minutes: plans are large.
@settings(max_examples=10, phases=[Phase.generate])
@given(PLANS, PLANS)
def test_any_plan_and_any_two(old: Plan, new: Plan) -> None:
    first, second = review_plan(old), review_plan(new)
    for name in FORMATS:
        written = find_format(name)
        texts = written.review(first), written.comparison(compare(first, second))
        for text, schema in zip(texts, _SCHEMAS, strict=True):
            assert all(line.isprintable() for line in text.split("\n"))
            if name == "json":
                schema.validate(json.loads(text))
            if name == "markdown":
                assert len(text.encode()) <= LIMIT


@settings(max_examples=20, phases=[Phase.generate])
@given(PLANS)
def test_chains_of_any_plan_end(plan: Plan) -> None:
    chains = Chains(plan)
    for record in plan.evidence:
        assert all(line.isprintable() for line in chains.up(record))
        chains.down([record.path])


@pytest.mark.parametrize("sizes", [(1, 10**18), (10**18, 1), (1, 1), (23207, 1), (0, 0), (0, 5)])
def test_a_treemap_of_any_sizes(sizes: tuple[int, int]) -> None:
    """Of what is too small to be seen no rectangle is made."""
    goes, stays = sizes
    packages = (package("a", "remove", 0, 1, goes), package("b", "keep", 1, 1, stays))
    plan = example_plan(
        packages=packages, unowned=(), before=Totals(2, 2, goes + stays), after=Totals(1, 1, stays)
    )
    found = treemap(review_plan(plan), 300, 200)
    assert (found is None) == (goes + stays == 0)
    for box in found.boxes if found else ():
        assert box.width > 0
        assert box.height > 0


def test_the_same_plan_gives_the_same_text() -> None:
    for name in FORMATS:
        written = find_format(name)
        assert written.review(review_plan(full_plan())) == written.review(review_plan(full_plan()))


def test_numbers_that_nothing_can_have_are_refused() -> None:
    text = re.sub(r'"files": 12\b', '"files": 1' + "0" * 400, dump_plan(full_plan()), count=1)
    with pytest.raises(DamagedInputError, match="must be smaller"):
        load_plan(text, "p.json")
