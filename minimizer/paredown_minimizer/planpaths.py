"""What a plan alone says about paths, by whichever of their names they are asked for."""

from __future__ import annotations

import functools

from paredown_minimizer.image.model import parents
from paredown_schemas.plan import ListedPaths, Plan


class PlanPaths:
    """The paths of one plan."""

    def __init__(self, plan: Plan) -> None:
        """Take a plan; its listings are unfolded when they are first asked for."""
        self._plan = plan

    @functools.cached_property
    def _targets(self) -> dict[str, str]:
        return {link.path: link.target for link in self._plan.links}

    @functools.cached_property
    def _removed(self) -> dict[str, str | None]:
        return _by_path(self._plan.removed)

    @functools.cached_property
    def _kept(self) -> dict[str, str | None]:
        return _by_path(self._plan.kept)

    def canonical(self, path: str) -> str:
        """Return the name that the plan has for ``path``: /bin/sh is /usr/bin/sh on merged /usr."""
        here = ""
        *directories, name = path.lstrip("/").split("/")
        for component in directories:
            step = f"{here}/{component}"
            here = self._targets.get(step, step).rstrip("/")
        return f"{here}/{name}"

    def goes(self, path: str) -> bool:
        """Say whether ``path`` goes, or what it lies in: a directory, or an archive."""
        path = self.canonical(path)
        return any(each in self._removed for each in (path, *parents(path)))

    def owner(self, path: str) -> str | None:
        """Return the key of the package that has ``path``, or what it lies in."""
        path = self.canonical(path)
        for each in (path, *parents(path)):
            for listed in (self._kept, self._removed):
                if each in listed:
                    return listed[each]
        return None


def _by_path(listed: tuple[ListedPaths, ...]) -> dict[str, str | None]:
    return {path: record.package for record in listed for path in record.paths()}
