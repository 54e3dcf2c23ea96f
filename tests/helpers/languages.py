"""Trees with language packages: decided by what a test says was used, and applied."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from decisions import runs_of
from paredown_minimizer.apply import apply_plan
from paredown_minimizer.decide import Decision, decide
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.image.slim import Provenance
from paredown_minimizer.image.source import write_image
from paredown_minimizer.packages.registry import find_managers
from paredown_minimizer.policyfile import parse_policy
from paredown_schemas.plan import Plan, dump_plan, load_plan
from paredown_schemas.trace import File


@dataclasses.dataclass(frozen=True)
class Slim:
    """What became of a tree."""

    decision: Decision
    root: Path

    @property
    def plan(self) -> Plan:
        """Return the plan."""
        return self.decision.plan

    def actions(self, manager: str) -> dict[str, str]:
        """Return what happens to the packages of a manager, by name and place."""
        found = [package for package in self.plan.packages if package.manager == manager]
        names = [package.name for package in found]
        return {
            p.name if names.count(p.name) == 1 else f"{p.name} {p.location}": p.action
            for p in found
        }

    def files(self) -> set[str]:
        """Return what is left and no directory."""
        return files_of(self.root)


def files_of(root: Path) -> set[str]:
    """Return the paths below a directory that are no directories themselves."""
    paths = [path for path in root.rglob("*") if path.is_symlink() or not path.is_dir()]
    return {f"/{path.relative_to(root)}" for path in paths}


def handed(*managers: str, pins: str = "") -> str:
    """Return a policy that lets the packages of these managers be decided."""
    entries = "".join(f"- {{manager: {name}, reason: r}}\n" for name in managers)
    listed = f"language_packages:\n{entries}" if managers else ""
    return f"version: 1\n{listed}{pins}"


def slim(
    root: Path,
    used: Iterable[str | File],
    policy: str = "version: 1",
    granularity: Any = "package",
) -> Slim:
    """Plan, by all managers that are known, write the plan and read it, and apply it to a copy."""
    image = open_directory(str(root))
    try:
        runs = runs_of(root, used)
        decision = decide(image, find_managers(image), runs, parse_policy(policy), granularity)
        plan = load_plan(dump_plan(decision.plan), "plan")
        assert plan == decision.plan
        target = root.with_name(f"{root.name}-slim")
        write_image(
            apply_plan(plan, image),
            f"dir:{target}",
            Provenance(plan.image, plan.id, "0"),
            force=True,
        )
    finally:
        image.close()
    return Slim(decision, target)
