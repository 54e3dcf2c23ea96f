"""What tests asked for and a plan removes, and which test ran meanwhile.

On the slim image that is what was looked up in vain and is there in the original; on the original,
what was used or found. Paths are taken as the kernel took them: through the original's links, with
".." going up from where a link led.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import get_args

from paredown_minimizer.image.model import join, parent
from paredown_minimizer.leftout import counted, counted_lookups
from paredown_minimizer.misses import Removed
from paredown_minimizer.phases import Marks
from paredown_schemas.plan import Plan
from paredown_schemas.trace import How, Lookup, LookupCall, Run
from paredown_schemas.verification import Missing

_NOT_THERE = ("ENOENT", "ENOTDIR")
# What a recording takes for a use: nothing is held by being looked up alone.
_USES: frozenset[How | LookupCall] = frozenset({*get_args(How), "open", "exec", "list"})


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One time that something was asked for that goes."""

    path: str  # that goes
    asked: How | LookupCall
    exe: str | None
    test: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What the tests asked for in vain.

    ``maybe`` were opened below a directory that goes, where the original has nothing either: a
    file that is made there needs the directory, one that is only looked for does not.
    """

    missing: tuple[Missing, ...]
    maybe: tuple[Missing, ...] = ()


def asked_in_vain(plan: Plan, run: Run | None, more: Sequence[Request] = ()) -> Asked:
    """Return what a run on the slim image looked up in vain and the original has.

    ``more`` is what is known from elsewhere. What fails on the original too is not told.
    """
    places = Places(plan)
    certain, maybe = list(more), []
    marks = Marks(run) if run else None
    for lookup in counted_lookups(plan, run) if run else ():
        if lookup.error not in _NOT_THERE:
            continue
        test = marks.test(lookup.time) if marks else None
        if (path := places.missed(lookup)) is not None:
            certain.append(Request(path, lookup.call, lookup.exe, test))
        elif lookup.call == "open" and (path := places.removed_above(lookup)) is not None:
            maybe.append(Request(path, lookup.call, lookup.exe, test))
    return Asked(_merged(places, certain), _merged(places, maybe))


def asked_and_found(plan: Plan, run: Run) -> tuple[Missing, ...]:
    """Return what a run on the original used or found of what goes."""
    places, marks = Places(plan), Marks(run)
    requests = [
        Request(path, file.how, file.exe, marks.test(file.time))
        for file in counted(plan, run)
        for path in places.removed.meant(file)
    ]
    requests += [
        Request(path, lookup.call, lookup.exe, marks.test(lookup.time))
        for lookup in counted_lookups(plan, run)
        if lookup.error is None and (path := places.missed(lookup)) is not None
    ]
    return _merged(places, requests)


class Places:
    """Where the paths that programs name lead in the original, as far as its plan tells."""

    def __init__(self, plan: Plan) -> None:
        """Look at ``plan``."""
        self.removed = Removed(plan)
        self._plan = plan
        self._links = {link.path: link.target for link in plan.links}
        self._kept: set[str] | None = None

    def missed(self, lookup: Lookup) -> str | None:
        """Return the path that a look-up lacks on the slim image and has on the original.

        That is what was asked for; or, where that stays, what goes of the way to it.
        """
        if lookup.truncated:
            ending = "/" + lookup.path.lstrip("/")
            found = [path for path in self.removed.packages if path.endswith(ending)]
            return found[0] if len(found) == 1 and found[0] in self.removed else None
        *way, (named, led) = self._walk(lookup.path)
        for path in (named, led):
            if path in self.removed:
                return path
        through = next((step for step, _ in way if step in self.removed), None)
        return through if through is not None and self._stays(led) else None

    def removed_above(self, lookup: Lookup) -> str | None:
        """Return the directory that goes and that something was looked up right in."""
        if lookup.truncated:
            return None
        *_, (_, led) = self._walk(lookup.path)
        above = parent(led)
        return above if above in self.removed and led not in self.removed.packages else None

    def _walk(self, path: str) -> Iterator[tuple[str, str]]:
        """Yield each step as it is named, and where it leads if that is a directory's link."""
        at = "/"
        yield at, at
        for name in path.split("/"):
            if name in ("", "."):
                continue
            step = parent(at) if name == ".." else join(at, name)
            at = self._links.get(step, step)
            yield step, at

    def _stays(self, path: str) -> bool:
        if self._kept is None:
            self._kept = {path for record in self._plan.kept for path in record.paths()}
        return path in self._kept


def _merged(places: Places, requests: Sequence[Request]) -> tuple[Missing, ...]:
    by_path: dict[str, list[Request]] = {}
    for request in requests:
        by_path.setdefault(request.path, []).append(request)
    missing = (
        Missing(
            package=places.removed.packages.get(path),
            path=path,
            asked=tuple(sorted({each.asked for each in same})),
            exes=tuple(sorted({each.exe for each in same if each.exe is not None})),
            tests=tuple(dict.fromkeys(each.test for each in same if each.test is not None)),
            held_by="traced" if any(each.asked in _USES for each in same) else None,
        )
        for path, same in by_path.items()
    )
    return tuple(sorted(missing, key=lambda each: (each.package or "", each.path)))
