"""Whether a plan is within the bounds that the policy's gates set."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence

from paredown_minimizer.output import human_size
from paredown_minimizer.policy import Gate, Policy
from paredown_minimizer.yamlfile import Place
from paredown_schemas.cves import Cves, Finding
from paredown_schemas.plan import Plan

_LEAST = ("min_gone",)


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """What a plan says about one gate: None where it says nothing, with why in ``examples``."""

    value: float | None
    examples: tuple[str, ...] = ()  # names, which are not escaped


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """One gate's outcome."""

    gate: Gate
    figure: Figure

    @property
    def passed(self) -> bool:
        """Say whether the figure is known and within the bound."""
        value = self.figure.value
        if value is None:
            return False
        return value >= self.gate.bound if self.gate.rule in _LEAST else value <= self.gate.bound

    @property
    def name(self) -> str:
        """Return how a person names the gate: ``forbid shell``."""
        return self.gate.rule if self.gate.of is None else f"{self.gate.rule} {self.gate.of}"

    @property
    def told(self) -> str:
        """Return the figure as a person reads it."""
        value = self.figure.value
        return "not known" if value is None else _amount(self.gate.rule, value)

    @property
    def bound(self) -> str:
        """Return the bound as a person reads it."""
        least = "at least" if self.gate.rule in _LEAST else "at most"
        return f"{least} {_amount(self.gate.rule, self.gate.bound)}"


def run_gates(policy: Policy, plan: Plan, today: dt.date, cves: Cves | None = None) -> list[Result]:
    """Return the outcome of each gate, in the policy's order.

    Where there are ``cves`` a last one is that nothing of them is lost from sight.
    """
    results = [Result(gate, _figure(gate, plan, today, cves)) for gate in policy.gates]
    if cves is not None and policy.gates:
        lost = Gate("max_cves", 0, "lost", place=_place(policy))
        results.append(Result(lost, _cves(cves, "lost")))
    return results


def _place(policy: Policy) -> Place:
    places = (gate.place for gate in policy.gates if gate.rule == "max_cves")
    return next(places, policy.gates[0].place)


def _figure(gate: Gate, plan: Plan, today: dt.date, cves: Cves | None) -> Figure:
    if gate.rule == "expired_pins":
        over = (pin for pin in plan.pins if pin.expired(today))
        return _counted([f"{pin.target} ({pin.expires})" for pin in over])
    if gate.rule == "max_cves":
        return _cves(cves, gate.of)
    return _FIGURES[gate.rule](plan, gate.of)


def _amount(rule: str, value: float) -> str:
    if rule == "max_size":
        return human_size(int(value))
    return f"{value:.4g} %" if rule == "min_gone" else f"{value:,}"


def _left(plan: Plan, kind: str | None) -> Figure:
    count = next((count.after for count in plan.surface if count.kind == kind), None)
    if count is None:
        return Figure(None, ("the plan does not count them",))
    named = (each.name for each in plan.exposed if each.kind == kind and each.stays)
    return Figure(count, tuple(named))


def _risks(plan: Plan, level: str | None) -> Figure:
    """Many may name one thing for one reason: that is one risk, as diff counts them."""
    named = {
        (r.path or r.package or "", r.package, r.reason) for r in plan.risks if r.level == level
    }
    return _counted([name for name, _, _ in sorted(named, key=repr)])


def _cves(cves: Cves | None, of: str | None) -> Figure:
    if cves is None:
        return Figure(None, ("no CVEs were given",))
    if of == "lost":
        lost = [_finding(each) for each in cves.findings if each.fate == "lost"]
        return _counted([*lost, *cves.hidden])
    left = (each for each in cves.findings if each.fate in ("stays", "new"))
    return _counted(
        [_finding(f) for f in left if f.severity == of or (of == "fixable" and f.fixed)]
    )


def _finding(finding: Finding) -> str:
    return f"{finding.id} of {finding.name}"


def _partial(plan: Plan, _of: str | None) -> Figure:
    partial = (trace for trace in plan.traces if trace.verdict == "partial")
    return _counted([trace.scenario or trace.run for trace in partial])


def _gone(plan: Plan, _of: str | None) -> Figure:
    before, after = plan.before.bytes, plan.after.bytes
    return Figure(100 * (before - after) / before if before else 0)


def _unseen(plan: Plan, _of: str | None) -> Figure:
    if plan.profile is None or plan.profile.unseen is None:
        return Figure(None, ("the plan has no estimate: that takes three runs",))
    return Figure(plan.profile.unseen)


def _counted(names: Sequence[str]) -> Figure:
    return Figure(len(names), tuple(names))


_FIGURES: dict[str, Callable[[Plan, str | None], Figure]] = {
    "forbid": _left,
    "partial_traces": _partial,
    "max_size": lambda plan, _: Figure(plan.after.bytes),
    "max_packages": lambda plan, _: Figure(plan.after.packages),
    "max_files": lambda plan, _: Figure(plan.after.files),
    "min_gone": _gone,
    "max_risks": _risks,
    "max_unseen": _unseen,
}
