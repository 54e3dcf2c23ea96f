"""What changed since an image was hardened, held to the policy's ``renew`` bounds."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping

from paredown_minimizer.image.model import Image
from paredown_minimizer.output import first_of, plural
from paredown_minimizer.packages.registry import find_managers
from paredown_minimizer.policy import Gate, Policy
from paredown_schemas.cves import Cves, Finding
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan

_ALWAYS = (Gate("changed_image", 0), Gate("expired_pins", 0))
_SEVERITIES = ("critical", "high", "medium", "low", "negligible", "unknown")
_SHOWN = 3
_LEFT = ("stays", "new")  # fates of what is found in the slim image


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One thing that is looked at: ``count`` is how much of it changed, None where nobody knows."""

    what: str
    then: str
    now: str
    count: int | None
    rule: str
    of: str | None = None
    bound: float | None = None

    @property
    def over(self) -> bool:
        """Say whether it is past its bound; what is not known is."""
        return self.bound is not None and (self.count is None or self.count > self.bound)


@dataclasses.dataclass(frozen=True)
class Then:
    """What was known when the image was hardened."""

    plan: Plan
    cves: Cves | None
    tested: str | None  # when, UTC, 2026-01-31T12:00:00Z

    @property
    def date(self) -> dt.date | None:
        """Return the day: of the tests, or of the last run."""
        known = self.tested or max((run.started or "" for run in self.plan.traces), default="")
        try:
            return dt.date.fromisoformat(known[:10])
        except ValueError:
            return None


@dataclasses.dataclass(frozen=True)
class Now:
    """What is known today. ``image`` is read where it is another, and ``cves`` where asked for."""

    identity: str
    image: Image | None
    cves: Cves | None
    today: dt.date


def changes(then: Then, now: Now, policy: Policy) -> list[Change]:
    """Return what changed, each with the bound that the policy sets, if it does."""
    bounds = {(gate.rule, gate.of): gate.bound for gate in policy.renew or _ALWAYS}
    return [
        dataclasses.replace(change, bound=bounds.get((change.rule, change.of)))
        for change in (
            _image(then.plan, now),
            _base(then.plan, now.image),
            _packages(then.plan, now.image),
            *_cves(then.cves, now.cves, bounds),
            _age(then.date, now.today),
            _pins(then.plan, now.today),
        )
    ]


def _image(plan: Plan, now: Now) -> Change:
    same = now.identity == plan.image
    told = "the same" if same else _short(now.identity)
    return Change("image", _short(plan.image), told, int(not same), "changed_image")


def _base(plan: Plan, image: Image | None) -> Change:
    """The layers that are still the first ones; without any of them the base is another."""
    old = [layer.diff_id for layer in plan.layers]
    new = old if image is None else [layer.diff_id for layer in image.layers]
    same = 0
    for one, other in zip(old, new, strict=False):
        if one != other:
            break
        same += 1
    if not old and not new:
        return Change("base", "no layers", "no layers", 0, "changed_base")
    told = "the same" if old == new else f"{plural(same, 'first one')} the same of {len(new)}"
    return Change("base", plural(len(old), "layer"), told, int(not same), "changed_base")


def _packages(plan: Plan, image: Image | None) -> Change:
    old = {package.key: package.version for package in plan.packages}
    new: Mapping[str, str] = old
    if image is not None:
        packages = find_managers(image).read(image).packages
        new = {key: package.version for key, package in packages.items()}
    kinds = {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "of another version": sorted(k for k in old.keys() & new.keys() if old[k] != new[k]),
    }
    told = [f"{len(keys)} {kind} ({_some(keys)})" for kind, keys in kinds.items() if keys]
    number = sum(map(len, kinds.values()))
    said = "; ".join([f"{len(new):,}", *told]) if told else "the same"
    return Change("packages", f"{len(old):,}", said, number, "max_changed_packages")


def _cves(
    then: Cves | None, now: Cves | None, bounds: Mapping[tuple[str, str | None], float]
) -> Iterator[Change]:
    """Yield what was found of each severity that has a bound or of which something was found."""
    old, new = _findings(then), _findings(now)
    for severity in _SEVERITIES:
        then_keys = {key for key, each in old.items() if each.severity == severity}
        now_keys = {key for key, each in new.items() if each.severity == severity}
        added = sorted(now_keys - old.keys())
        if not (then_keys or now_keys or ("max_new_cves", severity) in bounds):
            continue
        known = then is not None and now is not None
        told = f"{len(now_keys):,}"
        if added:
            told += f"; {len(added)} new ({_some(f'{key[0]} {key[1]}' for key in added)})"
        yield Change(
            f"CVEs {severity}",
            f"{len(then_keys):,}" if then is not None else "not known",
            told if now is not None else "not known",
            len(added) if known else None,
            "max_new_cves",
            severity,
        )


def _findings(cves: Cves | None) -> dict[tuple[str, str], Finding]:
    """Return what is found in the slim image, each once."""
    findings = cves.findings if cves is not None else ()
    return {(each.id, each.name): each for each in findings if each.fate in _LEFT}


def _age(date: dt.date | None, today: dt.date) -> Change:
    days = None if date is None else max(0, (today - date).days)
    told = "not known" if days is None else f"{plural(days, 'day')} ago"
    return Change("tested", str(date or "not known"), told, days, "max_age")


def _pins(plan: Plan, today: dt.date) -> Change:
    expired = [f"{pin.target} ({pin.expires})" for pin in plan.pins if pin.expired(today)]
    told = f"{len(expired)} expired ({_some(expired)})" if expired else "none expired"
    return Change("pins", f"{len(plan.pins):,}", told, len(expired), "expired_pins")


def _short(identity: str) -> str:
    return identity.rpartition(":")[2][:12]


def _some(names: Iterable[str]) -> str:
    return first_of(list(map(escape_name, names)), _SHOWN)
