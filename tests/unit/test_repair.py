"""The rounds of a repair, over programs that say what they need."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from paredown_minimizer.policy import Pin
from paredown_minimizer.repair.choosing import choose, failing, pins_for
from paredown_minimizer.repair.rounds import Limits, Repair
from paredown_schemas.plan import EvidenceKind, ListedPaths, Plan, Totals
from paredown_schemas.plan import Pin as PlanPin
from paredown_schemas.verification import Case, Missing, Outcome, Verification
from plans import example_plan, package
from results import example_verification

DAY = "2026-01-31"


@dataclasses.dataclass(frozen=True)
class Need:
    """A path that a test needs. Without look-up it is missed in silence."""

    path: str
    asked: tuple[str, ...] = ("open",)
    original: tuple[str, ...] = ()  # what a run on the original tells of it


Tests = Mapping[str, Sequence[Need]]  # each asks for what it needs, in order, until one is missing


class World:
    """An image of /d/0 … /d/99 that goes but for what is pinned, and its tests."""

    def __init__(self, tests: Tests, optional: Tests | None = None, **more: Any) -> None:
        self.tests, self.optional = tests, optional or {}
        self.removed = {f"/d{number % 10}/{number}" for number in range(100)}
        self.settled: list[tuple[set[str], str]] = []
        self.runs = 0
        self.pins: Sequence[Pin] = ()
        self.original: Outcome = "passed"
        self.more = more
        self.said: list[str] = []

    def plan(self, pins: Sequence[Pin]) -> Plan:
        kept = {glob.escape(path) for path in self.removed} & {pin.target for pin in pins}
        left = sorted(self.removed - kept)
        files = len(kept)
        records = {path.rpartition("/")[0]: [] for path in left}  # type: ignore[var-annotated]
        for path in left:
            records[path.rpartition("/")[0]].append(path.rpartition("/")[2])
        removed = tuple(
            ListedPaths("bash:amd64", directory, tuple(names))
            for directory, names in records.items()
        )
        return example_plan(removed=removed, after=Totals(3, files, 1000 * files), **self.more)

    def test(self, plan: Plan) -> Verification:
        self.runs += 1
        gone = {path for record in plan.removed for path in record.paths()}
        cases: list[Case] = []
        missing: dict[str, tuple[tuple[str, ...], list[str]]] = {}
        for name, needs in self.tests.items():
            lacks = next((need for need in needs if need.path in gone), None)
            cases.append(Case(name, "failed" if lacks else "passed", "true", int(bool(lacks)), 1))
            asked = [need for need in self.optional.get(name, ()) if need.path in gone]
            for need in [*asked, *([lacks] if lacks else [])]:
                if need.asked:
                    seen = missing.setdefault(need.path, (need.asked, []))
                    seen[1].append(name)
        return verification(
            plan,
            cases,
            [_missing(path, asked, *names) for path, (asked, names) in missing.items()],
        )

    def listed(self) -> frozenset[str]:
        return frozenset({"/d9"})

    def soft(self, plan: Plan) -> Verification | None:
        gone = {path for record in plan.removed for path in record.paths()}
        cases = [Case(name, self.original, "true") for name in self.tests]
        missing = [
            _missing(need.path, need.original, name)
            for tests in (self.tests, self.optional)
            for name, needs in tests.items()
            for need in needs
            if need.path in gone and need.original
        ]
        found = verification(plan, cases, missing)
        return dataclasses.replace(found, mode="soft", original=self.original)

    def settle(self, pins: Sequence[Pin], plan: Plan) -> None:
        self.pins = pins
        self.settled.append(({pin.target for pin in pins}, plan.id))

    def repair(self, rounds: int = 10, runs: int = 60, *, soft: bool = False) -> Verification:
        return Repair(self, Limits(rounds, runs), self.said.append).run(self.plan([]), soft=soft)


def verification(plan: Plan, cases: Sequence[Case], missing: Sequence[Missing]) -> Verification:
    passed = all(case.outcome == "passed" for case in cases)
    return example_verification(
        plan,
        started=f"{DAY}T12:00:00Z",
        outcome="passed" if passed else "failed",
        why=None if passed else "a test failed",
        original=None,
        tests=tuple(cases),
        missing=tuple(missing),
        rounds=(),
    )


def _missing(path: str, asked: tuple[str, ...], *tests: str) -> Missing:
    used = bool(set(asked) - {"stat", "access"})
    held_by: EvidenceKind | None = "traced" if used else None
    return Missing("bash:amd64", path, asked, ("/usr/sbin/nginx",), tests, held_by)


def _pinned(result: Verification) -> list[list[str]]:
    return [[pin.target for pin in turn.pins] for turn in result.rounds]


def test_each_round_pins_what_the_one_before_uncovered() -> None:
    world = World({"get": [Need("/d1/1"), Need("/d2/2")], "put": [Need("/d3/3")], "none": []})
    result = world.repair()
    assert result.outcome == "passed"
    assert result.why is None
    assert _pinned(result) == [["/d1/1", "/d3/3"], ["/d2/2"], []]
    assert [(turn.outcome, turn.restored_files, turn.restored_bytes) for turn in result.rounds] == [
        ("failed", 2, 2000),
        ("failed", 1, 1000),
        ("passed", 0, 0),
    ]
    assert result.rounds[1].pins[0].reason == f"missed in get on {DAY} by /usr/sbin/nginx: /d2/2"
    assert [pins for pins, _ in world.settled] == [
        set(),
        {"/d1/1", "/d3/3"},
        {"/d1/1", "/d2/2", "/d3/3"},
    ]
    assert world.settled[-1][1] == result.plan


def test_what_passing_tests_miss_stays_away() -> None:
    optional = {"get": [Need("/d9/9")], "put": [Need("/d8/8")]}
    world = World({"get": [], "put": [Need("/d3/3", ("exec",))]}, optional)
    assert _pinned(world.repair())[0] == ["/d8/8", "/d3/3"]


def test_what_was_only_asked_for_comes_second() -> None:
    optional = {"get": [Need("/d9/9", ("stat", "access"))]}
    world = World({"get": [Need("/d1/1")]}, optional)
    assert _pinned(world.repair()) == [["/d1/1"], []]
    world = World({"get": [Need("/d1/1"), Need("/d2/2", ("stat",))]}, optional)
    assert _pinned(world.repair()) == [["/d1/1"], ["/d9/9", "/d2/2"], []]


def test_at_last_what_others_missed() -> None:
    """A test may fail for what an earlier one should have done."""
    world = World({"get": [Need("/d1/1", ())]}, {"get": []})
    world.tests = {"prepare": [], "get": [Need("/d1/1", ())]}
    world.optional = {"prepare": [Need("/d1/1")]}
    assert _pinned(world.repair()) == [["/d1/1"], []]


def test_bisects_where_no_look_up_explains() -> None:
    world = World({"get": [Need("/d1/1"), Need("/d7/77", ()), Need("/d4/44", ())]})
    result = world.repair()
    assert result.outcome == "passed"
    assert [turn.method for turn in result.rounds] == ["misses", "bisection", None]
    assert set(_pinned(result)[1]) == {"/d7/77", "/d4/44"}
    assert "get failed without it on 2026-01-31" in result.rounds[1].pins[0].reason
    assert world.runs == sum(turn.runs for turn in result.rounds)
    assert world.runs < 30
    assert len(world.settled) == 3


def test_more_than_a_few_of_one_directory_bring_all_of_it() -> None:
    world = World({"get": [Need(f"/d5/{number}5", ()) for number in range(5)]})
    result = world.repair()
    assert result.outcome == "passed"
    assert len(_pinned(result)[0]) == 10


@pytest.mark.parametrize(
    ("original", "why"),
    [("failed", "fail on the original, too"), ("passed", "with all that was removed restored")],
)
def test_says_that_nothing_removed_is_to_blame(original: Outcome, why: str) -> None:
    world = World({"get": [Need("/nowhere", ())]})
    world.removed.add("/nowhere")
    real = world.plan
    world.plan = lambda pins: real([p for p in pins if p.target != "/nowhere"])  # type: ignore[method-assign]
    world.original = original
    result = world.repair()
    assert result.outcome == "failed"
    assert why in (result.why or "")
    assert world.runs == 3
    assert _pinned(result) == [[]]


def test_tests_that_waver_are_not_searched() -> None:
    world = World({"get": [Need("/d1/1", ())]})
    real = world.test
    results = iter([True])

    def test(plan: Plan) -> Verification:
        return real(plan) if next(results, False) else verification(plan, [], [])

    world.test = test  # type: ignore[method-assign]
    result = world.repair()
    assert result.outcome == "failed"
    assert "waver" in (result.why or "")
    assert len(world.settled) == 1


def test_rounds_and_runs_are_bounded() -> None:
    world = World({"get": [Need(f"/d{number}/{number}") for number in range(9)]})
    result = world.repair(rounds=3)
    assert [len(pins) for pins in _pinned(result)] == [1, 1, 1, 0]
    assert "3 rounds did not do" in (result.why or "")
    world = World({"get": [Need("/d9/99", ())]})
    result = world.repair(runs=2)
    assert world.runs == 3
    assert "used up" in (result.why or "")


def test_killed_in_a_round_the_last_whole_one_stands() -> None:
    world = World({"get": [Need("/d1/1"), Need("/d2/2")]})
    real = world.test

    def test(plan: Plan) -> Verification:
        if world.runs == 2:
            raise KeyboardInterrupt
        return real(plan)

    world.test = test  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        world.repair()
    assert [pins for pins, _ in world.settled] == [set(), {"/d1/1"}]


def test_without_tests_the_run_itself_misses_everything() -> None:
    plan = World({}).plan([])
    missed = [_missing("/d1/1", ("open",)), _missing("/d2/2", ("stat",))]
    found = verification(plan, [Case("run", "failed", "nginx", 1, 1)], missed)
    assert choose(plan, found) == missed[:1]
    assert [pin.reason for pin in pins_for(plan, missed[:1], DAY)] == [
        f"missed in the run on {DAY} by /usr/sbin/nginx: /d1/1"
    ]


def test_a_soft_run_collects_what_rounds_would_uncover() -> None:
    needs = [Need(f"/d{n}/{n}", ("open",), ("read",)) for n in range(5)]
    world = World({"get": needs}, {"get": [Need("/d9/9", ("stat",), ("stat",))]})
    result = world.repair(soft=True)
    assert result.outcome == "passed"
    assert result.mode == "strict"
    assert _pinned(result) == [[need.path for need in needs], []]
    assert world.runs == 1


def test_in_the_second_round_the_original_shows_what_is_left() -> None:
    needs = [Need(f"/d{n}/{n}", ("open",) if n < 3 else (), ("read",)) for n in range(5)]
    other = {"put": [Need("/d9/9", ("open",), ("read",))]}
    world = World({"get": needs, "put": []}, other)
    result = world.repair()
    assert result.outcome == "passed"
    assert [len(pins) for pins in _pinned(result)] == [1, 4, 0]
    assert world.runs == 3


def test_what_programs_only_look_for_is_kept_alone() -> None:
    needs = [Need("/d1/1", ("stat",), ("stat",)), Need("/d2/2", ("stat",), ("exec",))]
    world = World({"get": needs[:1], "put": needs[1:]})
    assert world.repair().outcome == "passed"
    assert {(pin.target, pin.alone) for pin in world.pins} == {("/d1/1", True), ("/d2/2", False)}


def test_what_a_person_removes_stays_away() -> None:
    for target in ("/d1/*", "/d1", "package:bash", "package:ba*"):
        plan = World({}, pins=(PlanPin("remove", target, "nobody needs it", 1),)).plan([])
        missed = _missing("/d1/1", ("open",), "get")
        found = verification(plan, [Case("get", "failed", "true", 1, 1)], [missed])
        assert choose(plan, found) == []


def test_packages_that_go_as_a_whole_come_back_so() -> None:
    world = World(
        {"get": [Need("/d1/1")]},
        granularity="package",
        packages=(package("bash", "remove", 0, 2, 1000),),
    )
    result = world.repair(rounds=1)
    assert _pinned(result) == [["package:bash"], []]


def test_the_phases_that_say_so_fail_or_all_that_say_nothing() -> None:
    def cases(*phases: tuple[str, Outcome | None]) -> list[Case]:
        told = [Case(name, outcome) for name, outcome in phases]
        return [Case("pytest", "failed", "pytest", 1), *told, Case("more", "passed", "true", 0)]

    assert failing(cases()) == {"pytest"}
    assert failing(cases(("a", "passed"), ("b", "failed"), ("c", None))) == {"pytest", "b"}
    assert failing(cases(("a", None), ("b", "passed"))) == {"pytest", "a"}
