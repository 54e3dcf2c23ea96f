"""How complete a profile is: published figures, draws from a known population, and the curve."""

from __future__ import annotations

import collections
import math
import random
from pathlib import Path

import pytest

from decisions import Manager, make_tree
from paredown_minimizer.decide import decide
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.policy import Policy
from paredown_minimizer.profile import sentence
from paredown_minimizer.richness import Estimate, chao2, estimate, log_normal, next_brings
from paredown_minimizer.traces import read_runs
from paredown_schemas.plan import Plan, Profile
from plans import example_plan
from traces import trace_records, use, write_trace

SECOND = 10**9


def test_published_figures() -> None:
    """EstimateS, on 9 kinds of which 3 were met once and 3 twice: 9.75, from 9.07 to 17.45."""
    unseen, variance = chao2(1, 3, 3)
    assert 9 + unseen == pytest.approx(9.75)
    spread = log_normal(unseen, variance)
    assert 9 + unseen / spread == pytest.approx(9.07, abs=0.01)
    assert 9 + unseen * spread == pytest.approx(17.45, abs=0.01)


def _draws(rng: random.Random, runs: int, features: dict[int, float], size: int) -> list[set[int]]:
    """Return what each run used: features, each of ``size`` files, that differ in how common."""
    drawn = [{f for f, chance in features.items() if rng.random() < chance} for _ in range(runs)]
    return [{feature * size + n for feature in used for n in range(size)} for used in drawn]


def _estimate(samples: list[set[int]]) -> tuple[Estimate, int]:
    where = collections.defaultdict(set)
    for number, sample in enumerate(samples):
        for kind in sample:
            where[kind].add(number)
    found = estimate(len(samples), collections.Counter(map(frozenset, where.values())))
    assert found is not None
    return found, len(where)


@pytest.mark.parametrize("size", [1, 20])
def test_the_interval_holds_the_truth(size: int) -> None:
    """Also where files come in groups, of which the plain variance knows nothing."""
    rng = random.Random(1)
    features = {feature: rng.uniform(0.1, 0.9) for feature in range(60)}
    held, estimates, truths = 0, 0.0, 0
    for _ in range(200):
        found, seen = _estimate(_draws(rng, 8, features, size))
        truth = size * len(features) - seen
        held += math.floor(found.at_least) <= truth <= math.ceil(found.at_most)
        estimates, truths = estimates + found.unseen, truths + truth
    assert held >= 180
    assert 0.6 < estimates / truths < 1.4


def test_the_next_run_brings_what_was_expected() -> None:
    rng = random.Random(2)
    features = {feature: rng.uniform(0.05, 0.5) for feature in range(100)}
    expected, brought = 0.0, 0
    for _ in range(200):
        *samples, last = _draws(rng, 7, features, 1)
        found, _ = _estimate(samples)
        seen = collections.Counter(kind for sample in samples for kind in sample)
        once = sum(times == 1 for times in seen.values())
        expected += next_brings(6, once, found.unseen)
        brought += len(last - seen.keys())
    assert expected == pytest.approx(brought, rel=0.2)


def test_what_cannot_be_known() -> None:
    assert estimate(1, {frozenset({0}): 9}) is None
    assert estimate(2, {frozenset({0, 1}): 9}) is None
    same = estimate(3, {frozenset({0, 1, 2}): 900})
    assert same == Estimate(0, 0, 3)  # never "complete"
    assert next_brings(3, 0, 0) == 0


def _plan(directory: Path, *runs: dict[str, int]) -> Plan:
    """Return the plan of runs that use paths at seconds."""
    root = directory / "tree"
    make_tree(root, {f"/{name}": "x" for name in "abcdef"})
    traces = []
    for number, uses in enumerate(runs):
        files = [use(path, time=seconds * SECOND) for path, seconds in uses.items()]
        records = trace_records(files, run=f"run{number}", start=number)
        traces.append(str(write_trace(directory / f"{number}.trace", records)))
    image = open_directory(str(root))
    try:
        manager = Manager({"one": ["/a", "/b"], "two": ["/c"], "three": ["/d"]})
        made = decide(image, manager, read_runs(traces, accept_partial=False), Policy(), "package")
        return made.plan
    finally:
        image.close()


def _points(plan: Plan) -> list[tuple[int, int, int]]:
    assert plan.profile is not None
    return [(point.run, point.seconds, point.files) for point in plan.profile.curve]


def test_the_curve_rises_within_runs_and_over_them(tmp_path: Path) -> None:
    first = {"/a": 0, "/b": 0, "/c": 5, "/made": 6, "/": 7}
    plan = _plan(tmp_path, first, {"/a": 0, "/d": 3}, {"/c": 0})
    # A trailer says one second; what is later is the end. Made files and directories do not count.
    assert _points(plan) == [(0, 0, 2), (0, 5, 3), (1, 3, 4), (2, 1, 4)]
    assert plan.profile is not None
    assert (plan.profile.files, plan.profile.packages) == (4, 3)
    assert (plan.profile.once, plan.profile.twice) == (2, 2)
    assert plan.profile.unseen is not None


def test_the_curve_is_thinned_and_keeps_each_end(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    make_tree(root, {f"/many/{number}": "x" for number in range(300)})
    uses = {f"/many/{number}": number for number in range(300)}
    plan = _plan(tmp_path, uses, {**uses, "/a": 9})
    points = _points(plan)
    assert len(points) <= 100
    assert points[49] == (0, 299, 300)
    assert points[-1] == (1, 9, 301)
    assert points == sorted(points)


def test_one_run_says_nothing_of_what_it_missed(tmp_path: Path) -> None:
    plan = _plan(tmp_path, {"/a": 0})
    assert plan.profile == Profile(1, 1, 1, 0, curve=plan.profile.curve if plan.profile else ())
    assert sentence(plan) == (
        "1 run used 1 file of this image; "
        "what was missed cannot be estimated from fewer than three runs."
    )


def test_the_sentence() -> None:
    two = example_plan()
    traces = two.traces[:1] * 6
    profile = Profile(214, 3, 12, 30, "Chao2", 30, 90, unseen_at_least=8)
    assert sentence(example_plan(profile=profile, traces=traces)) == (
        "6 runs used 214 files of this image; loads like these would use at least "
        "about 30 more (interval 8 to 90), the next run about 2."
    )
    profile = Profile(1214, 3, 0, 0, "Chao2", 0, 3, unseen_at_least=0)
    assert sentence(example_plan(profile=profile, traces=traces)) == (
        "6 runs used 1,214 files of this image; nothing hints at more that loads "
        "like these would use (at most 3)."
    )
    assert sentence(example_plan(profile=None)) == "No run used anything of this image."
