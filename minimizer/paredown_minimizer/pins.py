"""What the policy's pins come to in one image."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from paredown_minimizer.closure import BlockedError, describe
from paredown_minimizer.elf import Elf
from paredown_minimizer.image.model import Tree
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.policy import Pin, Policy
from paredown_minimizer.rulebook import Rulebook
from paredown_schemas import plan
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Evidence, GaveWay


@dataclasses.dataclass(frozen=True, slots=True)
class Pinned:
    """What pins keep and remove. A keep wins over a remove, and of several the first counts."""

    evidence: Mapping[str, Evidence]  # by path, as a program would name it
    removed: Mapping[str, str]  # paths, with the reason
    rules: Mapping[str, str]  # the names of those that do not fire, with the reason
    paths: Mapping[Pin, int]  # that each names, or of a rule keeps
    alone: AbstractSet[str]  # of what is kept, what holds nothing else


def apply_pins(
    policy: Policy, tree: Tree, inventory: Inventory, rulebook: Rulebook, programs: Sequence[Elf]
) -> Pinned:
    """Return what the policy's pins name; ``programs`` are of the machines that the image runs on.

    Raises:
        ParedownError: a pin names nothing.
    """
    evidence: dict[str, Evidence] = {}
    removed: dict[str, str] = {}
    rules: dict[str, str] = {}
    paths: dict[Pin, int] = {}
    firm: set[str] = set()
    for pin in policy.pins:
        reason = Evidence("", "pinned", None, pin.reason)
        if pin.rule is not None:
            named = _rules(pin, rulebook)
            if pin.action == "remove":
                rules = {**dict.fromkeys(named, pin.reason), **rules}
                continue
            reason = dataclasses.replace(reason, detail=f"{pin.target}: {pin.reason}")
            machines = {elf.machine: elf for elf in programs}
            firings = rulebook.regardless(named, inventory.packages.values(), machines.values())
            found = {name for firing in firings for name in firing.names}
        else:
            found = set(pin.paths(tree, inventory)) - inventory.database
            _refuse_nothing(pin, found)
        paths[pin] = len(found)
        for path in sorted(found):
            if pin.action == "keep":
                evidence.setdefault(path, reason)
                firm |= set() if pin.alone else {path}
            else:
                removed.setdefault(tree.canonical(path), pin.reason)
    for path in evidence:
        removed.pop(tree.canonical(path), None)
    return Pinned(evidence, removed, rules, paths, evidence.keys() - firm)


def pin_records(
    policy: Policy, pinned: Pinned, gave_way: Iterable[GaveWay]
) -> tuple[plan.Pin, ...]:
    """Return the pins as the plan tells of them."""
    yielded = list(gave_way)
    records = []
    for pin in policy.pins:
        paths = pinned.paths.get(pin)
        if paths is None:
            paths = len({each.path for each in yielded if _names(pin, each.rule)})
        records.append(plan.Pin(pin.action, pin.target, pin.reason, paths, pin.expires))
    return tuple(sorted(records, key=lambda record: (record.action, record.target, record.reason)))


def refusal(error: BlockedError, removed: Mapping[str, str]) -> ParedownError:
    """Return the error for a pin that removes what is used."""
    first = error.chain[0]
    reason = escape_name(removed[first.path])
    return ParedownError(
        f"cannot remove {escape_name(first.path)} as the policy asks ({reason}): it is used: "
        + " <- ".join(describe(evidence) for evidence in error.chain),
        hint="drop the pin, or record again without what uses it",
    )


def _rules(pin: Pin, rulebook: Rulebook) -> list[str]:
    named = [name for name in rulebook.names if _names(pin, name)]
    if not named:
        raise ParedownError(
            f"cannot apply pin {escape_name(pin.target)}{pin.place}: there is no rule of that name"
        )
    return named


def _names(pin: Pin, rule: str) -> bool:
    return pin.rule is not None and fnmatch.fnmatchcase(rule, pin.rule)


def _refuse_nothing(pin: Pin, found: object) -> None:
    if not found:
        raise ParedownError(
            f"cannot apply pin {escape_name(pin.target)}{pin.place}: "
            "the image has nothing of that name"
        )
