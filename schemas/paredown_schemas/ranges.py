"""Sets of small numbers as text: ``0-3,7``."""

from __future__ import annotations

from collections.abc import Iterable


def fold(numbers: Iterable[int]) -> str:
    """Return the text of a set of numbers that are not negative: ``0-3,7``."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def unfold(text: str, below: int) -> frozenset[int]:
    """Return the numbers less than ``below`` that ``text`` names; raises ValueError if it is none.

    What a text claims beyond ``below`` takes no memory.
    """
    found: set[int] = set()
    for part in text.split(",") if text else ():
        low, _, high = part.partition("-")
        found.update(range(int(low), min(int(high or low), below - 1) + 1))
    return frozenset(found)
