"""How completely the runs of a plan show what the application uses."""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

from paredown_minimizer.image.model import Tree
from paredown_minimizer.output import plural
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.richness import METHOD, estimate, next_brings
from paredown_minimizer.sessions import Sessions
from paredown_schemas.plan import CurvePoint, Evidence, Plan, Profile
from paredown_schemas.ranges import unfold
from paredown_schemas.trace import Run

_POINTS = 100
_SECOND = 1_000_000_000

_T = TypeVar("_T")
_Seen = Mapping[str, frozenset[int]]  # the runs that saw a file


def profile(
    runs: Sequence[Run],
    sessions: Sessions,
    traced: Iterable[Evidence],
    tree: Tree,
    inventory: Inventory,
) -> Profile | None:
    """Return the profile of ``runs``, whose ``traced`` evidence is given; None without any."""
    seen = _runs_by_file(traced, sessions, tree)
    if not seen:
        return None
    found = collections.Counter(map(frozenset, seen.values()))
    estimated = estimate(len(runs), found)
    return Profile(
        files=len(seen),
        packages=len({owner for path in seen for owner in inventory.owners.get(path, ())}),
        once=sum(files for where, files in found.items() if len(where) == 1),
        twice=sum(files for where, files in found.items() if len(where) == 2),
        method=METHOD if estimated else None,
        unseen=round(estimated.unseen) if estimated else None,
        unseen_at_most=math.ceil(estimated.at_most) if estimated else None,
        curve=_thinned(
            [_curve_of(*each) for each in zip(runs, _new(seen, len(runs)), strict=True)]
        ),
        unseen_at_least=math.floor(estimated.at_least) if estimated else None,
    )


def sentence(plan: Plan) -> str:
    """Return how complete the plan's profile is, in one plain sentence for a reviewer."""
    found, runs = plan.profile, len(plan.traces)
    if found is None:
        return "No run used anything of this image."
    used = f"{plural(runs, 'run')} used {plural(found.files, 'file')} of this image"
    if found.unseen is None:
        return f"{used}; what was missed cannot be estimated from fewer than three runs."
    most = f"{found.unseen_at_most or 0:,}"
    if not found.unseen:
        return f"{used}; nothing hints at more that loads like these would use (at most {most})."
    more = f"{found.unseen:,} more (interval {found.unseen_at_least or 0:,} to {most})"
    brings = round(next_brings(runs, found.once, found.unseen))
    following = f"the next run about {brings:,}" if brings else "the next run hardly any"
    return f"{used}; loads like these would use at least about {more}, {following}."


def _runs_by_file(traced: Iterable[Evidence], sessions: Sessions, tree: Tree) -> _Seen:
    """Return which runs used each file of the image; what was made in it is none of its files."""
    runs: dict[str, frozenset[int]] = {}  # many files were seen by the same
    seen = {}
    for evidence in traced:
        if evidence.seen and not evidence.detail and tree[evidence.path].type != "directory":
            if evidence.seen not in runs:
                numbers = unfold(evidence.seen, len(sessions.all))
                runs[evidence.seen] = frozenset(sessions.all[number].run for number in numbers)
            seen[evidence.path] = runs[evidence.seen]
    return seen


def _new(seen: _Seen, runs: int) -> list[set[str]]:
    """Return what each run used that no earlier one had."""
    new: list[set[str]] = [set() for _ in range(runs)]
    for path, where in seen.items():
        new[min(where)].add(path)
    return new


def _curve_of(run: Run, new: AbstractSet[str]) -> list[tuple[int, int]]:
    """Return by the second how many of the ``new`` files a run had shown."""
    first: dict[str, int] = {}
    for file in run.files():
        # What lacks its beginning is not new: it may be what was seen before.
        if file.path in new and file.time < first.get(file.path, file.time + 1):
            first[file.path] = file.time
    last = run.trailer.time if run.trailer else max(first.values(), default=0)
    seconds = collections.Counter(time // _SECOND for time in first.values())
    known = itertools.accumulate(seconds[second] for second in sorted(seconds))
    points = list(zip(sorted(seconds), known, strict=True))
    end = max(last // _SECOND, points[-1][0] if points else 0)
    return [*(point for point in points if point[0] < end), (end, len(new))]


def _thinned(curves: Sequence[Sequence[tuple[int, int]]]) -> tuple[CurvePoint, ...]:
    """Return the runs' curves on top of each other, each with its end, and about 100 points."""
    each = max(1, _POINTS // len(curves))
    before = list(itertools.accumulate((curve[-1][1] for curve in curves), initial=0))
    points = [
        CurvePoint(run, seconds, before[run] + files)
        for run, curve in enumerate(curves)
        for seconds, files in _some(curve, each)
    ]
    return tuple(_some(points, _POINTS)) if each == 1 else tuple(points)


def _some(items: Sequence[_T], count: int) -> list[_T]:
    """Return ``count`` of the items at even distances, the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[(number + 1) * len(items) // count - 1] for number in range(count)]
