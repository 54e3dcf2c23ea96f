"""What a report is made from, read and found to be of one plan.

A document that binds a verification to the wrong plan proves nothing: what does not belong
together is refused, never left out.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from paredown_minimizer.evidence.subject import NamedImage, time_of
from paredown_minimizer.image.source import engine_reference
from paredown_minimizer.policy import Policy
from paredown_minimizer.policyfile import read_policy
from paredown_schemas.cves import Cves, read_cves
from paredown_schemas.errors import DamagedInputError, ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan, read_plan
from paredown_schemas.trace import Run, read_trace
from paredown_schemas.verification import Verification, read_verification


@dataclasses.dataclass(frozen=True)
class ReportInputs:
    """What a report is asked to be made from, and where its files go.

    ``source`` and ``slim`` are what people call the original and the slim image, for the commands
    that are shown and for tools that look for them by name; ``author`` is who claims what the VEX
    says.
    """

    plan: Path
    directory: Path
    verification: Path | None = None
    cves: Path | None = None
    policy: Path | None = None
    traces: Sequence[Path] = ()
    source: str | None = None
    slim: str | None = None
    author: str | None = None
    force: bool = False


@dataclasses.dataclass(frozen=True)
class InputFile:
    """A file that the report is made from."""

    role: str  # "plan"
    name: str  # without its directory, which says where somebody works
    sha256: str


@dataclasses.dataclass(frozen=True)
class Material:
    """All of it, of one plan."""

    plan: Plan
    verification: Verification | None = None
    cves: Cves | None = None
    policy: Policy | None = None
    runs: Sequence[Run] = ()  # the plan's, as far as traces were given
    files: Sequence[InputFile] = ()
    source: str | None = None
    slim: str | None = None
    author: str | None = None

    @property
    def time(self) -> str | None:
        """Return the time that the report speaks of: the verification's, else the last run's."""
        return time_of(self.plan, self.verification)

    @property
    def date(self) -> dt.date | None:
        """Return the day of ``time``."""
        try:
            return dt.date.fromisoformat(self.time[:10]) if self.time else None
        except ValueError:  # the 31st of February
            return None

    @property
    def reference(self) -> str | None:
        """Return what people call the original, in their words; None where nobody said."""
        recorded = (run.image.reference for run in self.runs if run.image)
        return self.source or next(filter(None, recorded), None)

    @property
    def original_image(self) -> NamedImage:
        """Return the original under its names."""
        return NamedImage(self.plan.image, engine_reference(self.reference or "") or None)

    @property
    def slim_image(self) -> NamedImage:
        """Return the slim image under its names; its identity is that which was verified."""
        identity = self.verification.slim if self.verification else None
        return NamedImage(identity, engine_reference(self.slim or "") or None)


def read_material(inputs: ReportInputs) -> Material:
    """Read what ``inputs`` name.

    Raises:
        DamagedInputError: one of them is damaged, or of another plan.
        ParedownError: one cannot be read.
    """
    plan = read_plan(inputs.plan)
    verification = read_verification(inputs.verification) if inputs.verification else None
    cves = read_cves(inputs.cves) if inputs.cves else None
    policy = read_policy(inputs.policy) if inputs.policy else None
    for what, document in (("verification", verification), ("list of CVEs", cves)):
        if document is not None and document.plan != plan.id:
            raise DamagedInputError(
                f"cannot report: the {what} is of {escape_name(document.plan)}, "
                f"the plan is {plan.id}",
                hint="make it again from this plan",
            )
    if verification is not None and verification.image != plan.image:
        raise DamagedInputError(
            f"cannot report: the verification is of {escape_name(verification.image)}, "
            f"the plan of {plan.image}"
        )
    if policy is not None:
        _refuse_other_policy(policy, plan)
    return Material(
        plan=plan,
        verification=verification,
        cves=cves,
        policy=policy,
        runs=tuple(_runs(inputs.traces, plan)),
        files=tuple(_files(inputs)),
        source=inputs.source,
        slim=inputs.slim,
        author=inputs.author,
    )


def _refuse_other_policy(policy: Policy, plan: Plan) -> None:
    written = {(pin.action, pin.target, pin.reason, pin.expires) for pin in policy.pins}
    applied = {(pin.action, pin.target, pin.reason, pin.expires) for pin in plan.pins}
    if differing := sorted(f"{pin[0]} {pin[1]}" for pin in written ^ applied):
        raise DamagedInputError(
            "cannot report: the policy is not the one of the plan: they differ in "
            f"{escape_name(differing[0])}",
            hint="plan again with this policy",
        )


def _runs(traces: Sequence[Path], plan: Plan) -> Iterator[Run]:
    """Yield the plan's runs that ``traces`` hold; all of them, if there are any traces."""
    wanted = {trace.run for trace in plan.traces}
    found: dict[str, Run] = {}
    for path in traces:
        runs = {run.header.run: run for run in read_trace(path).runs}
        if wanted.isdisjoint(runs):
            raise DamagedInputError(
                f"cannot report: trace {escape_name(str(path))} holds no run of the plan"
            )
        found.update(runs)
    for trace in plan.traces if traces else ():
        if trace.run not in found:
            raise DamagedInputError(
                f"cannot report: run {escape_name(trace.run)} of the plan is in no trace",
                hint="name all traces that the plan was made from, or none",
            )
        yield found[trace.run]


def _files(inputs: ReportInputs) -> Iterator[InputFile]:
    named = [("plan", inputs.plan), *(("trace", trace) for trace in inputs.traces)]
    single = (
        ("policy", inputs.policy),
        ("verification", inputs.verification),
        ("CVEs", inputs.cves),
    )
    named += [(role, path) for role, path in single if path is not None]
    for role, path in named:
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ParedownError(f"cannot read {role} {path}: {error.strerror}") from error
        yield InputFile(role, path.name, digest)
