"""policy.yaml, version 1: read, and every mistake told with its line and JSON path.

The schema is policy-1.schema.json; docs/decisions.md shows a whole file.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from paredown_minimizer.globs import compile_pattern
from paredown_minimizer.policy import (
    Gate,
    HandOver,
    PackageGranularity,
    Pin,
    Policy,
    UnlessUsed,
    Unused,
)
from paredown_minimizer.rulebook import Rule, parse_rule
from paredown_minimizer.yamlfile import Document, parse_document, read_text
from paredown_schemas.names import escape_name

_UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "d": 1}


def read_policy(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        ParedownError: unreadable, not YAML or not a policy; with line and JSON path.
    """
    what = f"cannot read policy {escape_name(str(path))}"
    return parse_policy(read_text(path, what), what)


def parse_policy(text: str, what: str = "cannot read policy") -> Policy:
    """Read a policy's text; ``what`` begins the messages. Raises as ``read_policy`` does."""
    document = parse_document(text, what, "policy-1.schema.json")
    return Policy(
        pins=tuple(_pins(document)),
        granularities=tuple(
            PackageGranularity(e["package"], e["granularity"], e["reason"], place=place)
            for e, place in document.entries("granularity")
        ),
        language_packages=_hand_overs(document, "language_packages"),
        unowned=_hand_overs(document, "unowned"),
        leave_out=tuple(
            Unused(e.get("session"), e.get("exe"), e.get("scenario"), e["reason"], place=place)
            for e, place in document.entries("leave_out")
        ),
        rules=tuple(_rules(document)),
        unless_used=tuple(
            UnlessUsed(e["what"], e["reason"], place=place)
            for e, place in document.entries("remove_unless_used")
        ),
        gates=tuple(_gates(document, "gates")),
        renew=tuple(_gates(document, "renew")),
    )


def _pins(document: Document) -> Iterator[Pin]:
    for number, (entry, place) in enumerate(document.entries("pins")):
        action: Literal["keep", "remove"] = "keep" if "keep" in entry else "remove"
        expires = entry.get("expires")
        try:
            dt.date.fromisoformat(expires or "2000-01-01")
        except ValueError as error:
            message = f"must be a date that there is: {error}"
            raise document.error(message, "pins", number, "expires") from error
        alone = entry.get("alone", False)
        yield Pin(action, entry[action], entry["reason"], expires, alone, place=place)


def _hand_overs(document: Document, name: str) -> tuple[HandOver, ...]:
    return tuple(
        HandOver(entry.get("manager"), entry.get("path"), entry["reason"], place=place)
        for entry, place in document.entries(name)
    )


def _rules(document: Document) -> Iterator[Rule]:
    names: set[str] = set()
    for number, (entry, _) in enumerate(document.entries("rules")):
        if entry["name"] in names:
            raise document.error("is there twice", "rules", number, "name")
        names.add(entry["name"])
        try:
            rule = parse_rule("policy", entry)
            for pattern in rule.paths:
                compile_pattern(pattern)
        except (KeyError, re.error) as error:
            raise document.error(f"cannot be: {error.args[0]}", "rules", number) from error
        yield rule


def _gates(document: Document, section: str) -> Iterator[Gate]:
    gates: dict[str, Any] = document.data.get(section) or {}
    for rule, value in gates.items():
        if rule == "forbid":
            for number, kind in enumerate(value):
                yield Gate(rule, 0, kind, place=document.place(section, rule, number))
        elif isinstance(value, dict):
            for level, bound in value.items():
                yield Gate(rule, bound, level, place=document.place(section, rule, level))
        else:
            place = document.place(section, rule)
            yield Gate(rule, _bound(value), place=place)


def _bound(value: str | float) -> float:
    if not isinstance(value, str):
        return value
    if value == "forbid":
        return 0
    unit = value.lstrip("0123456789. ")
    return round(float(value.removesuffix(unit)) * _UNITS[unit])
