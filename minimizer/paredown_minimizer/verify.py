"""Verification: the tests on the slim image, or on the original, and what they missed of the plan.

*Strict* runs them on the slim image: what was looked up there in vain and is there in the original
explains what failed. *Soft* runs them on the original, to its end whatever is missed, and tells
everything that they used of what goes.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from pathlib import Path

from paredown_minimizer.asked import Asked, asked_and_found, asked_in_vain
from paredown_minimizer.misses import refuse_other_image
from paredown_minimizer.output import plural
from paredown_minimizer.trial import Launch, Suite, Trial, run_trial
from paredown_minimizer.trial.identity import Stored, refuse_other_slim, refuse_slim, stored
from paredown_minimizer.unstarted import never_started
from paredown_schemas import __version__
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan
from paredown_schemas.verification import Missing, Mode, Outcome, TraceFile, Verification


def verify_strict(
    plan: Plan, launch: Launch, suite: Suite, space: Path, *, original: str | None = None
) -> Verification:
    """Run the tests on the slim image that ``launch`` starts; with ``original`` on that one, too.

    ``space`` is a directory, in which the traces and logs stay: ``slim.trace``, ``original.trace``.

    Raises:
        DamagedInputError: it is not the slim image of ``plan``.
        ParedownError: as ``run_trial`` does.
    """
    started = _now()
    image = stored(launch)
    refuse_other_slim(plan, launch, image)
    trial = run_trial(launch, suite, space / "slim.trace")
    asked = _asked(plan, launch, trial)
    other = None
    if original is not None:
        at = dataclasses.replace(launch, image=original)
        refuse_slim(at, stored(at))
        other = run_trial(at, suite, space / "original.trace")
        if other.run is not None:
            refuse_other_image(plan, [other.run])
            asked = _confirmed(plan, asked, other)
    verification = _verification(plan, launch, trial, "strict", started, image)
    return dataclasses.replace(
        verification,
        why=_why_strict(trial, asked, other),
        original=other.outcome if other else None,
        missing=asked.missing,
        traces=tuple(_trace_file(each) for each in (trial, other) if each and each.trace),
    )


def verify_soft(plan: Plan, launch: Launch, suite: Suite, space: Path) -> Verification:
    """Run the tests on the original, which ``launch`` starts, and ask what of it goes.

    What was only looked up and found is told, and fails nothing. ``space`` as in ``verify_strict``.

    Raises:
        DamagedInputError: it is not the original of ``plan``.
        ParedownError: as ``run_trial`` does.
    """
    started = _now()
    image = stored(launch)
    refuse_slim(launch, image)
    trial = run_trial(launch, suite, space / "original.trace")
    missing: tuple[Missing, ...] = ()
    if trial.run is not None:
        refuse_other_image(plan, [trial.run])
        missing = asked_and_found(plan, trial.run)
    used = [each for each in missing if each.held_by is not None]
    reasons = [f"on the original, too, {trial.why}"] if trial.why else []
    reasons += [f"the plan removes {plural(len(used), 'path')} that they used"] if used else []
    outcome: Outcome = "failed" if trial.outcome == "passed" and used else trial.outcome
    verification = _verification(plan, launch, trial, "soft", started, image)
    return dataclasses.replace(
        verification,
        outcome=outcome,
        why="; ".join(reasons) or None,
        original=trial.outcome,
        missing=missing,
    )


def _verification(
    plan: Plan, launch: Launch, trial: Trial, mode: Mode, started: str, image: Stored | None
) -> Verification:
    recorded = trial.run.image.identity if trial.run and trial.run.image else None
    return Verification(
        paredown=__version__,
        plan=plan.id,
        image=plan.image,
        slim=recorded if mode == "strict" else None,
        digest=None if image is None else image.digest,
        mode=mode,
        target=launch.target,
        started=started,
        run=launch.run,
        outcome=trial.outcome,
        why=trial.why,
        original=None,
        tests=trial.cases,
        traces=(_trace_file(trial),) if trial.trace else (),
    )


def _asked(plan: Plan, launch: Launch, trial: Trial) -> Asked:
    more = never_started(plan, launch, trial) if trial.outcome != "passed" else ()
    return asked_in_vain(plan, trial.run, more)


def _why_strict(trial: Trial, asked: Asked, other: Trial | None) -> str | None:
    """Say in words what is known of a failure."""
    if trial.why is None:
        return None
    reasons = [trial.why]
    unrecorded = trial.run.coverage()["missing"] if trial.run else None
    if asked.missing:
        reasons.append(f"missing here: {plural(len(asked.missing), 'path')} of the original")
    elif unrecorded is not None:
        reasons.append(f"what was missing is not known: {unrecorded}")
    else:
        reasons.append("nothing that the plan removes was asked for in vain")
    if asked.maybe and not asked.missing:
        shown = ", ".join(escape_name(each.path) for each in asked.maybe[:3])
        reasons.append(f"files may have been made in directories that go: {shown}")
    if other is not None and other.why is not None:
        reasons.append(f"on the original, too, {other.why}")
    return "; ".join(reasons)


def _confirmed(plan: Plan, asked: Asked, other: Trial) -> Asked:
    """Settle what may have been made, by what the original's run made."""
    used = asked_and_found(plan, other.run) if other.run is not None else ()
    made = {each.path for each in used if each.held_by is not None}
    sure = {each.path: each for each in (*asked.maybe, *asked.missing)}
    known = {each.path for each in asked.missing} | made
    missing = (each for path, each in sure.items() if path in known)
    return Asked(tuple(sorted(missing, key=lambda each: (each.package or "", each.path))))


def _trace_file(trial: Trial) -> TraceFile:
    assert trial.run is not None and trial.trace is not None  # noqa: S101, PT018 - callers looked
    digest = hashlib.sha256(trial.trace.read_bytes()).hexdigest()
    return TraceFile(trial.run.header.run, digest, trial.run.verdict)


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
