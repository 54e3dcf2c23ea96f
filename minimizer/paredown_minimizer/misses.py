"""What runs used and a plan removes, and the pins that would keep it."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Iterable, Sequence

from paredown_minimizer.image.model import parent
from paredown_minimizer.leftout import counted
from paredown_minimizer.output import plural
from paredown_minimizer.policy import Pin
from paredown_schemas.errors import DamagedInputError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import PackageDecision, Plan
from paredown_schemas.trace import File, Run

_NAMED = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Miss:
    """A path that a run used and the plan removes."""

    package: str | None
    path: str
    how: tuple[str, ...]
    exes: tuple[str, ...]
    scenarios: tuple[str, ...]


def refuse_other_image(plan: Plan, runs: Sequence[Run]) -> None:
    """Raise DamagedInputError if a run is known to be of another image than the plan."""
    for run in runs:
        identity = run.image.identity if run.image else None
        for what, ours, theirs in (
            ("image", plan.image, identity or plan.image),
            ("platform", plan.platform, run.header.platform),
        ):
            if ours != theirs:
                raise DamagedInputError(
                    f"cannot check run {escape_name(run.header.run)}: it is of {what} "
                    f"{escape_name(theirs)}, the plan of {escape_name(ours)}"
                )


class Removed:
    """What a plan removes, and what of it a use means."""

    def __init__(self, plan: Plan) -> None:
        """Look at ``plan``."""
        self.packages = {path: record.package for record in plan.removed for path in record.paths()}
        self._catalogue = {path for record in plan.catalogue for path in record.paths()}

    def __contains__(self, path: str) -> bool:
        """Say whether ``path`` goes, and is missed by whoever asks for it."""
        return path in self.packages and path not in self._catalogue

    def meant(self, file: File) -> list[str]:
        """Return the paths that go and that a use is of.

        A truncated path means every path that goes and ends so; one that a run made, the directory
        that it was made in.
        """
        if not file.truncated:
            # What the image has below a directory that goes is among the paths itself.
            path = file.path
            while path != "/" and path not in self.packages:
                path = parent(path)
            return [path] if path in self else []
        ending = "/" + file.path.lstrip("/")
        return [path for path in self.packages if path.endswith(ending) and path in self]


def find_misses(plan: Plan, runs: Sequence[Run]) -> list[Miss]:
    """Return what the runs used of what ``plan`` removes, by package and path.

    What the plan left out of its own traces is left out here, too.
    """
    removed = Removed(plan)
    uses: dict[str, list[tuple[Run, File]]] = {}
    for run in runs:
        for file in counted(plan, run):
            for path in removed.meant(file):
                uses.setdefault(path, []).append((run, file))
    misses = [_miss(removed.packages[path], path, uses[path]) for path in uses]
    return sorted(misses, key=lambda miss: (miss.package or "", miss.path))


def _miss(package: str | None, path: str, uses: Iterable[tuple[Run, File]]) -> Miss:
    pairs = list(uses)
    return Miss(
        package=package,
        path=path,
        how=tuple(sorted({file.how for _, file in pairs})),
        exes=tuple(sorted({file.exe for _, file in pairs if file.exe is not None})),
        scenarios=tuple(sorted({run.header.scenario or run.header.run for run, _ in pairs})),
    )


def pins_of(plan: Plan, misses: Sequence[Miss], verb: str = "used") -> list[Pin]:
    """Return pins that keep what was missed: packages that stay or go as a whole, else paths.

    ``verb`` begins their reasons.
    """
    whole = {each.key: each for each in plan.packages if is_whole(plan, each)}
    missed: dict[str, list[Miss]] = {}
    for miss in misses:
        package = whole.get(miss.package or "")
        target = glob.escape(miss.path) if package is None else package_target(plan, package)
        missed.setdefault(target, []).append(miss)
    return [Pin("keep", target, _reason(same, verb)) for target, same in missed.items()]


def is_whole(plan: Plan, package: PackageDecision) -> bool:
    """Say whether a package stays or goes as a whole."""
    return (package.granularity or plan.granularity) == "package"


def package_target(plan: Plan, package: PackageDecision) -> str:
    """Return what a pin calls a package: its name where it is the only one, else its key."""
    name = package.name if package.location is None else f"{package.manager}:{package.name}"
    same = [p for p in plan.packages if (p.name, p.manager) == (package.name, package.manager)]
    return f"package:{name if len(same) == 1 else package.key}"


def _reason(misses: Sequence[Miss], verb: str) -> str:
    named = sorted({name for miss in misses for name in miss.scenarios})
    scenarios = ", ".join(named[:_NAMED]) + (" and others" if named[_NAMED:] else "")
    exes = ", ".join(sorted({exe for miss in misses for exe in miss.exes})) or "an unknown program"
    others = f" and {plural(len(misses) - 1, 'other')}" if len(misses) > 1 else ""
    return escape_name(f"{verb} in {scenarios} by {exes}: {misses[0].path}{others}")
