"""Why a plan keeps or removes something, and what follows from it, from the plan alone."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Sequence, Sized

from paredown_minimizer.chains import Chains, Held
from paredown_minimizer.image.model import is_below, parent
from paredown_minimizer.output import human_size, plural
from paredown_minimizer.pages.phrases import says, some
from paredown_minimizer.planpaths import PlanPaths
from paredown_minimizer.review import PackageReview, RiskReview, review_plan
from paredown_minimizer.risks.levels import Levels
from paredown_minimizer.rulebook import Rule, load_rules
from paredown_minimizer.trim import trimmed_as
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Evidence, ListedPaths, PackageDecision, Plan

RULE = "rule:"
_SHOWN = 10


def explain(plan: Plan, subject: str) -> list[str]:
    """Return the explanation of a path (``/…``), a rule (``rule:…``) or a package, in lines.

    Raises:
        ParedownError: the plan knows no such package, or nobody such a rule.
    """
    if subject.startswith("/"):
        return list(_path(plan, "/" + "/".join(filter(None, subject.split("/")))))
    if subject.startswith(RULE):
        return list(_rule(plan, subject.removeprefix(RULE)))
    found = [
        review
        for reviews in review_plan(plan).packages.values()
        for review in reviews
        if subject in _names(review)
    ]
    if not found:
        raise ParedownError(
            f"cannot explain {escape_name(subject)}: the image has no such package",
            hint="a path begins with a slash, a rule with rule:",
        )
    chains = Chains(plan)
    return [line for review in found for line in _package(chains, review)]


def _names(review: PackageReview) -> tuple[str, str, str]:
    name = review.decision.name
    return review.key, name, f"{review.decision.manager}:{name}"


def _path(plan: Plan, path: str) -> Iterator[str]:
    path = PlanPaths(plan).canonical(path)
    gone, owner = _find(plan.removed, path)
    if gone:
        yield from _gone_path(plan, path, owner)
        return
    name = escape_name(path)
    chains = Chains(plan)
    owned, owner = _find(plan.kept, path)
    record = chains.evidence.get(path)
    yield f"{name} stays:" if owned or record else f"{name}: no package has it"
    if record:
        yield from chains.up(record)
        yield from _held(chains.down([path]))
    elif owner:
        yield from chains.up(Evidence(path, "owned", owner))
    else:
        yield "  if the image has it, it stays: with what it was made from, or the application"


def _gone_path(plan: Plan, path: str, owner: str | None) -> Iterator[str]:
    name = escape_name(path)
    reasons = [record.reason for record in plan.paths if record.path == path and record.reason]
    of = f", of {escape_name(owner)}," if owner else ""
    if reasons:
        yield f"{name} goes: {escape_name(reasons[0])}"
    elif kind := _trimmed_kind(plan, path, owner):
        yield f"{name}{of} goes: {kind}, which no program reads at run time"
    else:
        yield f"{name}{of} goes: nothing that was used leads to it"
        yield from _handed(plan, path, owner)
    for each in plan.unless_used:
        if path in each.gone:
            yield f"  {each.what}, removed unless used; policy: {escape_name(each.reason)}"
    for way in plan.gave_way:
        if way.path == path:
            yield f"  rule {escape_name(way.rule)} would hold it; policy: {escape_name(way.reason)}"
    # Those of a directory, or of the whole package, among them.
    about = {
        (risk.level, risk.package, risk.path) for risk in Levels(plan.risks).about(path, owner)
    }
    risks = review_plan(plan).risks
    yield from _risky([risk for risk in risks if (risk.level, risk.package, risk.path) in about])


def _trimmed_kind(plan: Plan, path: str, owner: str | None) -> str | None:
    owners = (package for package in plan.packages if package.key == owner)
    return trimmed_as(path, (trimmed.kind for package in owners for trimmed in package.trimmed))


def _handed(plan: Plan, path: str, owner: str | None) -> Iterator[str]:
    """Say that the policy handed something over, which stays otherwise."""
    reasons = [package.handed for package in plan.packages if package.key == owner]
    if owner is None:
        reasons = [
            group.handed
            for group in plan.unowned
            if parent(path) == group.directory or (group.whole and is_below(path, group.directory))
        ]
    yield from (f"  handed over by the policy: {escape_name(why)}" for why in reasons if why)


def _find(listed: Iterable[ListedPaths], path: str) -> tuple[bool, str | None]:
    owners = (record.package for record in listed if path in record.paths())
    owner = next(owners, "")
    return owner != "", owner or None


def _package(chains: Chains, review: PackageReview) -> Iterator[str]:
    decision = review.decision
    key, version = escape_name(review.key), escape_name(decision.version)
    if decision.action == "remove":
        yield f"{key} {version} goes: nothing that was used leads to any of its files"
        if decision.handed:
            yield f"  handed over by the policy: {escape_name(decision.handed)}"
        yield from _risky(review.risks)
        return
    if decision.action == "keep":
        yield f"{key} {version} stays whole ({plural(decision.files, 'file')})"
    else:
        files = f"{decision.kept_files} of {decision.files} files"
        yield f"{key} {version} is trimmed to {files}"
        for kind in decision.trimmed:
            count = f"{plural(kind.files, 'file')}, {human_size(kind.bytes)}"
            yield f"  without {escape_name(kind.kind)}: {count}"
    yield from _holders(chains, review)
    yield from _risky(review.risks)


def _holders(chains: Chains, review: PackageReview) -> Iterator[str]:
    own = chains.of[review.key]
    if review.strongest is None:
        default = "  nothing used it; language packages stay unless the policy hands them over"
        yield default if review.by_default else "  beside what stays"
        return
    if phrase := chains.runs.of(*own).phrase:
        yield f"  {phrase}"
    yield from chains.up(review.strongest)
    others = [record for record in own if record != review.strongest]
    yield from (f"  also {chains.describe(record)}" for record in others[:_SHOWN])
    yield from _rest(others)
    yield from _held(chains.down([record.path for record in own], but=review.key))


def _rule(plan: Plan, name: str) -> Iterator[str]:
    known = next((rule for rule in load_rules() if rule.name == name), None)
    held = [r for r in plan.evidence if r.kind == "rule" and r.detail == name]
    ways = [way for way in plan.gave_way if way.rule == name]
    if not (known or held or ways):
        raise ParedownError(
            f"cannot explain {RULE}{escape_name(name)}: there is no such rule",
            hint="diff names the rules that hold something, such as rule:time-zone/python",
        )
    holds = f"holds {plural(len(held), 'path')}" if held else "holds nothing"
    yield f"rule {escape_name(name)} {holds} in this plan"
    yield from _grounds(known)
    chains = Chains(plan)
    triggers = sorted({record.by for record in held if record.by})
    for path in triggers[:_SHOWN]:
        yield "  triggered by"
        record = chains.evidence.get(path)
        yield from (
            f"  {line}" for line in (chains.up(record) if record else [f"  {escape_name(path)}"])
        )
    yield from _rest(triggers)
    paths: dict[str | None, list[str]] = collections.defaultdict(list)
    for record in held:
        paths[record.package].append(record.path)
    most = sorted(paths, key=lambda package: (-len(paths[package]), package or ""))
    for package in most[:_SHOWN]:
        yield f"  holds of {escape_name(package or 'no package')}: {some(paths[package], 3)}"
    yield from _rest(most)
    for way in ways[:_SHOWN]:
        yield f"  would hold {escape_name(way.path)}; policy: {escape_name(way.reason)}"
    yield from _rest(ways)
    yield from _held(chains.down([record.path for record in held]))


def _grounds(rule: Rule | None) -> Iterator[str]:
    if rule is None:
        yield "  not of the knowledge base: the policy's own, or the package manager's"
        return
    yield f"  {rule.why}"
    yield from (f"  source: {source}" for source in rule.sources)


def _held(held: Held) -> Iterator[str]:
    """Say what stays because of the subject, the largest first."""
    size = sum(package.kept_bytes for package in held.alone)
    told = [
        *([f"{plural(len(held.alone), 'package')}, {human_size(size)}"] if held.alone else []),
        *([f"{plural(len(held.paths), 'path')} of no package"] if held.paths else []),
    ]
    if told:
        yield f"  because of it stay {', and '.join(told)}:"
        yield from (f"    {_sized(package)}" for package in held.alone[:_SHOWN])
        yield from _rest(held.alone, "    ")
        yield from (f"    {escape_name(path)}" for path in held.paths[:_SHOWN])
        yield from _rest(held.paths, "    ")
    if held.shared:
        names = [package.key for package in held.shared]
        yield f"  it holds a part of what holds {some(names, _SHOWN)}"


def _sized(package: PackageDecision) -> str:
    return f"{escape_name(package.key)} {human_size(package.kept_bytes)}"


def _risky(risks: Sequence[RiskReview]) -> Iterator[str]:
    for risk in risks[:_SHOWN]:
        yield f"  {risk.level} risk: {escape_name(risk.path) if risk.path else 'it'} {says(risk)}"
    yield from _rest(risks)


def _rest(found: Sized, indent: str = "  ") -> Iterator[str]:
    if len(found) > _SHOWN:
        yield f"{indent}and {len(found) - _SHOWN:,} more"
