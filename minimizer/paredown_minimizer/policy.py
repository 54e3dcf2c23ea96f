"""What people decided about an image, with their reasons; policyfile.py reads it from policy.yaml.

A pin that keeps is primary evidence. One that removes beats what is kept by default; where
something used needs what it removes, the plan is refused rather than broken. Where two pins name
the same path, keeping wins. What ``language_packages`` and ``unowned`` name is decided like the
system's packages, instead of staying as the application.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import glob
from collections.abc import Iterator
from typing import Literal

from paredown_minimizer.globs import expand
from paredown_minimizer.image.model import Tree
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.rulebook import Rule
from paredown_minimizer.yamlfile import Place
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Granularity, SurfaceKind

_PACKAGE = "package:"
_RULE = "rule:"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """Something that the file says; where it stands there is no part of what it says."""

    place: Place = dataclasses.field(default=Place(), compare=False, kw_only=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Pin(Entry):
    """One decision of a person."""

    action: Literal["keep", "remove"]
    target: str  # a path pattern, package: and what packages_named takes, or rule:TOPIC/NAME
    reason: str
    expires: str | None = None  # the last day of it, 2027-01-31
    alone: bool = False  # the path and nothing that it needs: it is looked up and never used

    @property
    def rule(self) -> str | None:
        """Return the pattern of rules' names, where the pin names rules and not paths."""
        return self.target[len(_RULE) :] if self.target.startswith(_RULE) else None

    def paths(self, tree: Tree, inventory: Inventory) -> Iterator[str]:
        """Yield the paths that the pin names; of directories, all that is below them.

        Directories that a package lists are not its own: many list /usr/bin.
        """
        if self.target.startswith(_PACKAGE):
            for key in packages_named(self.target[len(_PACKAGE) :], inventory):
                owned = sorted(inventory.owned[key])
                yield from (path for path in owned if not tree.leads_to_directory(path))
            return
        yield from named_paths(tree, self.target)


@dataclasses.dataclass(frozen=True, slots=True)
class HandOver(Entry):
    """Language packages of a manager, in a place or anywhere; or unowned files in a place."""

    manager: str | None
    path: str | None  # a path pattern
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class PackageGranularity(Entry):
    """How much of a used package stays, where that is not what the command line says for all."""

    package: str  # as packages_named takes it
    granularity: Granularity
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Unused(Entry):
    """Uses that are no evidence: of a kind of session, by a program, or both."""

    session: str | None  # a kind
    exe: str | None  # a path pattern
    scenario: str | None  # only in runs of this one
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class UnlessUsed(Entry):
    """A kind of programs of which all go that nothing was seen to use."""

    what: SurfaceKind
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Gate(Entry):
    """One bound on a plan: at least it for ``min_gone``, at most it for all others."""

    rule: str  # as the policy names it: max_size
    bound: float
    of: str | None = None  # a kind of the attack surface, a level of risk, a severity


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """What a policy file says."""

    pins: tuple[Pin, ...] = ()
    granularities: tuple[PackageGranularity, ...] = ()
    language_packages: tuple[HandOver, ...] = ()
    unowned: tuple[HandOver, ...] = ()
    leave_out: tuple[Unused, ...] = ()
    unless_used: tuple[UnlessUsed, ...] = ()
    rules: tuple[Rule, ...] = ()  # the user's own
    gates: tuple[Gate, ...] = ()
    renew: tuple[Gate, ...] = ()  # bounds of ``status``


def granularities(policy: Policy, inventory: Inventory) -> dict[str, tuple[Granularity, str]]:
    """Return, by package key, the granularity that ``policy`` names, and its reason.

    The first entry that names a package counts.

    Raises:
        ParedownError: an entry names no package of the image.
    """
    found: dict[str, tuple[Granularity, str]] = {}
    for entry in policy.granularities:
        keys = packages_named(entry.package, inventory)
        if not keys:
            raise ParedownError(
                f"cannot set the granularity of {escape_name(entry.package)}{entry.place}: "
                "the image has no package of that name"
            )
        for key in keys:
            found.setdefault(key, (entry.granularity, entry.reason))
    return found


def packages_named(target: str, inventory: Inventory) -> list[str]:
    """Return the keys of the packages that ``target`` names, in the inventory's order.

    A package is named by its key or by NAME, a language's by MANAGER:NAME; any of them may be a
    pattern with ``*``, ``?`` and ``[]``. What is a package's very name stands for that one alone:
    keys of languages' packages hold paths, which may hold anything.
    """
    names = {key: _names(key, inventory) for key in inventory.packages}
    exact = [key for key, known in names.items() if target in known]
    return exact or [
        key
        for key, known in names.items()
        if any(fnmatch.fnmatchcase(name, target) for name in known)
    ]


def _names(key: str, inventory: Inventory) -> tuple[str, str]:
    package = inventory.packages[key]
    if package.location is None:
        return key, package.name
    return key, f"{package.manager}:{package.name}"


def named_paths(tree: Tree, pattern: str) -> Iterator[str]:
    """Yield the paths that a pattern names; of directories, all that is below them."""
    for path in expand(tree, pattern):
        yield path
        if tree[tree.canonical(path)].type == "directory":
            yield from expand(tree, f"{glob.escape(path)}/**")
