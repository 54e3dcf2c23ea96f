"""Pictures as geometry, for a template to draw: a treemap of sizes, the curve of a profile."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

from paredown_minimizer.output import human_size
from paredown_minimizer.pages.phrases import pattern_of
from paredown_minimizer.review import Review
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Profile

Kind = Literal["go", "trim", "stay", "own"]
_SHOWN = 200  # boxes of a group
_SEEN = 0.5  # area that can be seen; of the shares of smaller ones no rectangle can be made
_TITLE = 22  # height of a group's title
_LETTER = 7.3  # width of a letter of the labels, at 12 units
_LABEL = 16, 30  # heights that take a name, and a size below it


@dataclasses.dataclass(frozen=True, slots=True)
class Leaf:
    """Something with a size; ``key`` is of the package that it is or is a part of."""

    name: str
    size: int
    kind: Kind
    key: str | None = None
    version: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, its label as far as it fits, and its whole title."""

    x: float
    y: float
    width: float
    height: float
    kind: Kind
    title: str
    label: str = ""
    size: str = ""
    key: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Treemap:
    """What goes and what stays, each a titled group of boxes whose areas are bytes."""

    width: int
    height: int
    titles: Sequence[Box]
    boxes: Sequence[Box]


def treemap(review: Review, width: int, height: int) -> Treemap | None:
    """Return the treemap of a plan; None if it has no bytes."""
    leaves = list(_leaves(review))
    leaves += _derived(review, leaves)
    groups = [
        (title, [leaf for leaf in leaves if (leaf.kind == "go") == goes and leaf.size > 0])
        for title, goes in (("Goes", True), ("Stays", False))
    ]
    whole = sum(leaf.size for _, group in groups for leaf in group)
    sized = [(title, group, sum(leaf.size for leaf in group)) for title, group in groups]
    filled = [each for each in sized if each[2] * min(width, height) > whole]
    filled.sort(key=lambda group: -group[2])
    titles: list[Box] = []
    boxes: list[Box] = []
    places = _squarify([size for _, _, size in filled], 0, 0, width, height)
    for (title, group, size), (x, y, dx, dy) in zip(filled, places, strict=True):
        label = f"{title}: {human_size(size)}"
        kind: Kind = "go" if title == "Goes" else "stay"
        sides = _rounded(x, y, dx, min(_TITLE, dy))
        titles.append(Box(*sides, kind, label, _fitting(label, dx)))
        if dy > _TITLE:
            seen = [leaf for leaf in group if leaf.size * dx * (dy - _TITLE) > size * _SEEN]
            boxes += _boxes(_largest(seen), x, y + _TITLE, dx, dy - _TITLE)
    return Treemap(width, height, titles, boxes) if titles else None


def _leaves(review: Review) -> Iterator[Leaf]:
    for decision in review.plan.packages:
        name, version = escape_name(decision.name), escape_name(decision.version)
        yield Leaf(name, decision.bytes - decision.kept_bytes, "go", decision.key, version)
        kind: Kind = "trim" if decision.action == "trim" else "stay"
        yield Leaf(name, decision.kept_bytes, kind, decision.key, version)
    for group in review.plan.unowned:
        name = escape_name(pattern_of(group))
        yield Leaf(name, group.bytes - group.kept_bytes, "go")
        yield Leaf(name, group.kept_bytes, "own")


def _derived(review: Review, leaves: Sequence[Leaf]) -> Iterator[Leaf]:
    """Yield what nobody lists: caches, bytecode and the like, which go with what they are of."""
    before, after = review.plan.before.bytes, review.plan.after.bytes
    told = {goes: sum(a.size for a in leaves if (a.kind == "go") == goes) for goes in (True, False)}
    yield Leaf("made from packages", max(0, before - after - told[True]), "go")
    yield Leaf("made from packages", max(0, after - told[False]), "stay")


def _largest(group: Sequence[Leaf]) -> list[Leaf]:
    ranked = sorted(group, key=lambda leaf: (-leaf.size, leaf.name))
    rest = ranked[_SHOWN:]
    if rest:
        size = sum(leaf.size for leaf in rest)
        ranked = [*ranked[:_SHOWN], Leaf(f"{len(rest):,} smaller ones", size, rest[0].kind)]
    return sorted(ranked, key=lambda leaf: -leaf.size)


def _boxes(leaves: Sequence[Leaf], x: float, y: float, dx: float, dy: float) -> Iterator[Box]:
    places = _squarify([leaf.size for leaf in leaves], x, y, dx, dy)
    for leaf, (left, top, width, height) in zip(leaves, places, strict=True):
        size = human_size(leaf.size)
        label = _fitting(leaf.name, width) if height >= _LABEL[0] else ""
        below = _fitting(size, width) if label and height >= _LABEL[1] else ""
        title = f"{leaf.name} {leaf.version}".strip() + f": {size}"
        below = below if below == size else ""
        sides = _rounded(left, top, width, height)
        if all(sides[2:]):
            yield Box(*sides, leaf.kind, title, label, below, leaf.key)


def _rounded(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return round(x, 1), round(y, 1), round(width, 1), round(height, 1)


def _fitting(text: str, width: float) -> str:
    letters = int((width - 8) / _LETTER)
    if len(text) <= letters:
        return text
    return text[: letters - 1] + "…" if letters >= 4 else ""


def _squarify(
    sizes: Sequence[int], x: float, y: float, dx: float, dy: float
) -> list[tuple[float, float, float, float]]:
    import squarify  # noqa: PLC0415 - only a page takes it

    normed = squarify.normalize_sizes(sizes, dx, dy)
    return [
        (box["x"], box["y"], box["dx"], box["dy"])
        for box in squarify.squarify(normed, x, y, dx, dy)
    ]


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    """How many paths were known after how long, over all runs; ``runs`` are where each begins."""

    points: str  # of an SVG polyline
    runs: Sequence[float]
    files: Sequence[tuple[float, int]]  # ticks of the y axis
    seconds: int
    rows: Sequence[tuple[int, int, int]]  # run, seconds, files: the same as a table


def curve(profile: Profile, width: int, height: int) -> Curve | None:
    """Return the curve of ``profile`` in a box of this size; None without two points."""
    rows = [(point.run, point.seconds, point.files) for point in profile.curve]
    if len(rows) < 2:
        return None
    starts: dict[int, int] = {}
    end, placed = 0, []
    for run, seconds, files in rows:
        start = starts.setdefault(run, end)
        end = max(end, start + seconds)
        placed.append((start + seconds, files))
    most = max(files for _, files in placed) or 1
    across, up = width / (end or 1), height / most
    points = " ".join(f"{x * across:.1f},{height - y * up:.1f}" for x, y in placed)
    ticks = sorted({0, most // 2, most})
    return Curve(
        points,
        [round(start * across, 1) for start in starts.values()],
        [(round(height - tick * up, 1), tick) for tick in ticks],
        end,
        rows,
    )
