"""Whether an image must be hardened again: what was hardened, held against what there is today.

Nothing is recorded, and an image is read only where its identity is another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

from paredown_minimizer.cves.compare import compare
from paredown_minimizer.image.source import open_image
from paredown_minimizer.output import today
from paredown_minimizer.pipeline import images, scanning
from paredown_minimizer.pipeline.changes import Change, Now, Then, changes
from paredown_minimizer.pipeline.project import CVES, PLAN, VERIFICATION, ImageConfig
from paredown_minimizer.policy import Policy
from paredown_minimizer.policyfile import read_policy
from paredown_schemas.cves import Cves, read_cves
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan, read_plan
from paredown_schemas.verification import read_verification


@dataclasses.dataclass(frozen=True)
class Documents:
    """The files of a hardening."""

    plan: Path
    cves: Path | None
    verification: Path | None
    policy: Path | None


@dataclasses.dataclass(frozen=True)
class Status:
    """What is known of one image; ``never`` says why there is nothing to compare with."""

    name: str
    changes: Sequence[Change] = ()
    never: str | None = None

    @property
    def again(self) -> bool:
        """Say whether it must be hardened again."""
        return self.never is not None or any(change.over for change in self.changes)


def status_of_image(config: ImageConfig) -> Status:
    """Return the status of an image of paredown.yaml; its scan command is run.

    Raises:
        ParedownError: something cannot be read, or the scan fails.
    """
    documents = Documents(
        config.evidence / PLAN,
        config.evidence / CVES,
        config.evidence / VERIFICATION,
        config.policy,
    )
    if (never := _never(documents)) is not None:
        return Status(config.name, never=never)
    with tempfile.TemporaryDirectory(prefix="paredown-status-") as space:
        scan = None
        if config.scan is not None:
            scan = Path(space, "scan.json")
            scanning.scan(config.scan, config.output, scan, config.timeout)
        return _status(config.name, documents, config.source, scan, config.osv)


def status_of_plan(documents: Documents, source: str, scan: Path | None) -> Status:
    """Return the status of a plan's image; ``scan`` is one of the slim image, today.

    Raises:
        ParedownError: something cannot be read.
    """
    return _status(source, documents, source, scan, None)


def _never(documents: Documents) -> str | None:
    if not documents.plan.exists() or documents.verification is None:
        return "not hardened yet"
    if not documents.verification.exists():
        return "not verified yet"
    plan, verification = read_plan(documents.plan), read_verification(documents.verification)
    if verification.plan != plan.id:
        return "not verified yet: the tests were of another plan"
    if verification.outcome != "passed":
        return f"its tests did not pass: {verification.outcome}"
    return None


def _status(
    name: str, documents: Documents, source: str, scan: Path | None, osv: Path | None
) -> Status:
    plan = read_plan(documents.plan)
    cves = documents.cves
    verification = documents.verification
    then = Then(
        plan,
        read_cves(cves) if cves is not None and cves.exists() else None,
        read_verification(verification).started if verification is not None else None,
    )
    policy = read_policy(documents.policy) if documents.policy is not None else Policy()
    identity = images.identify(source)
    if identity is None:
        raise ParedownError(f"cannot tell the status of {escape_name(source)}: it is not there")
    with contextlib.ExitStack() as stack:
        image = None
        if identity != plan.image:
            image = stack.enter_context(contextlib.closing(open_image(source, plan.platform)))
        now = Now(identity, image, _cves_now(plan, scan, osv), today())
        return Status(name, changes(then, now, policy))


def _cves_now(plan: Plan, scan: Path | None, osv: Path | None) -> Cves | None:
    """Return what is found in the slim image today, by a scan of it or by records and the plan."""
    if scan is None and osv is None:
        return None
    scans = [scan] if scan is not None else []
    return compare(plan, scans, scans, osv)
