"""Hardening one image: record, plan, apply, verify, compare CVEs, report; held to the policy.

Each step is a function of the library, done in ``steps`` where something that it is made of
changed. What fails the gates or the tests is told at the end, with a report of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from paredown_minimizer import planning, report
from paredown_minimizer.apply import apply_plan
from paredown_minimizer.cves.compare import compare
from paredown_minimizer.gates import Result, run_gates
from paredown_minimizer.image.slim import Provenance
from paredown_minimizer.image.source import open_image, write_image
from paredown_minimizer.material import ReportInputs
from paredown_minimizer.output import human_size, plural, today
from paredown_minimizer.pipeline import images, scanning, starting, testing
from paredown_minimizer.pipeline.project import (
    CVES,
    PLAN,
    REPORT,
    VERIFICATION,
    Command,
    ImageConfig,
)
from paredown_minimizer.pipeline.state import digest_of, file_digest
from paredown_minimizer.pipeline.steps import Made, Progress, Step, Steps, opened
from paredown_minimizer.policyfile import read_policy
from paredown_minimizer.trial.run import run_trial
from paredown_schemas import __version__
from paredown_schemas.cves import Cves, dump_cves, read_cves
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan, dump_plan, read_plan
from paredown_schemas.verification import Verification, dump_verification, read_verification

# What a recording tells beside the files: it takes little, and the report says what follows.
_ALSO = ("capabilities", "syscalls", "exists")


@dataclasses.dataclass
class Hardened:
    """What became of an image; what was not come to is None."""

    config: ImageConfig
    plan: Plan | None = None
    verification: Verification | None = None
    cves: Cves | None = None
    gates: Sequence[Result] = ()
    report: Path | None = None

    @property
    def passed(self) -> bool:
        """Say whether tests and gates passed."""
        return self.verification is not None and not any(self.failures())

    def failures(self) -> Iterator[str]:
        """Yield what did not pass, in words."""
        for gate in self.gates:
            if not gate.passed:
                yield f"gate {gate.name} failed: {gate.told}, {gate.bound}"
        if self.verification is not None and self.verification.outcome != "passed":
            yield f"tests {self.verification.outcome}: {self.verification.why}"
        yield from _unseen(self.cves) if self.cves is not None else ()


def harden(hardened: Hardened, progress: Progress, *, force: bool) -> None:
    """Do what is to be done for one image, filling ``hardened``.

    Paths count from the working directory. With ``force`` nothing is as before, and what the
    output names is replaced.

    Raises:
        ParedownError: a step cannot be done; those before it are.
    """
    with opened(hardened.config.evidence, progress, force=force) as steps:
        _Chain(hardened.config, steps).run(hardened)


class _Chain:
    """The steps in their order, each with what it is made of."""

    def __init__(self, config: ImageConfig, steps: Steps) -> None:
        self._config = config
        self._steps = steps
        source = images.identify(config.source)
        if source is None:
            raise ParedownError(f"cannot harden {config.name}: there is no {config.source}")
        self._source = {config.source: source}

    def run(self, hardened: Hardened) -> None:
        traces = [self._record(scenario) for scenario in self._config.scenarios]
        self._steps.do(self._plan_step(traces))
        hardened.plan = self._plan
        hardened.gates = self._gates(hardened.plan)
        if not all(gate.passed for gate in hardened.gates):
            self._tell_gates(hardened.gates)
            return
        self._steps.do(self._apply_step())
        hardened.verification = self._verify(traces)
        hardened.plan = self._plan
        hardened.cves = self._compare_cves()
        hardened.gates = self._gates(hardened.plan, hardened.cves, last=True)
        self._tell_gates(hardened.gates)
        hardened.report = self._report(traces, hardened)

    @property
    def _plan(self) -> Plan:
        return read_plan(self._config.evidence / PLAN)

    def _record(self, scenario: Command) -> str:
        """Return the trace's name in the evidence directory."""
        trace = f"traces/{scenario.name}.trace"

        def record(work: Path) -> Made:
            (work / "traces").mkdir()
            trial = run_trial(
                starting.launch(self._config, self._config.source),
                starting.suite(self._config, [scenario]),
                work / trace,
                also=_ALSO,
                scenario=scenario.name,
            )
            if trial.outcome != "passed" or trial.run is None:
                return Made(f"{trial.outcome}: {trial.why}", passed=False)
            run = trial.run
            reasons = "; ".join(map(escape_name, run.reasons))
            whole = run.verdict == "complete" or self._config.accept_partial
            told = f"{run.verdict}, {plural(sum(1 for _ in run.files()), 'file')}"
            return Made(f"{told}: {reasons}" if reasons else told, passed=whole)

        made = self._steps.do(
            Step(
                f"record {scenario.name}",
                {**self._source, **starting.settings(self._config, [scenario])},
                [trace, f"{trace}.log", f"{trace}.tests.log"],
                record,
            )
        )
        if not made.passed:
            log = escape_name(str(self._config.evidence / f"{trace}.tests.log"))
            raise ParedownError(
                f"cannot record {scenario.name}: {made.told}",
                hint=f"what it said is in {log}",
            )
        return trace

    def _plan_step(self, traces: Sequence[str]) -> Step:
        def plan(work: Path) -> Made:
            decision = planning.make_plan(self._inputs(traces))
            (work / PLAN).write_text(dump_plan(decision.plan), "utf-8")
            return Made(_totals(decision.plan), warnings=decision.warnings)

        settings = digest_of([self._config.granularity, self._config.accept_partial])
        inputs = {**self._source, **self._policy(), "settings": settings, "paredown": __version__}
        return Step("plan", {**inputs, **dict(map(self._steps.file, traces))}, [PLAN], plan)

    def _inputs(self, traces: Sequence[str]) -> planning.Inputs:
        config = self._config
        return planning.Inputs(
            source=config.source,
            traces=[str(config.evidence / trace) for trace in traces],
            policy=config.policy,
            granularity=config.granularity,
            accept_partial=config.accept_partial,
        )

    def _apply_step(self) -> Step:
        config = self._config

        def apply(work: Path) -> Made:
            del work
            plan = self._plan
            taken = images.digest(config.output) is not None
            self._steps.claim(config.output, taken=taken)
            with contextlib.closing(open_image(config.source, plan.platform)) as image:
                slim = apply_plan(plan, image)
                provenance = Provenance(plan.image, plan.id, __version__)
                keep = config.keep_layers
                write_image(slim, config.output, provenance, force=True, keep_layers=keep)
            return Made(f"wrote {escape_name(config.output)}")

        inputs = {**self._source, **dict([self._steps.file(PLAN)])}
        inputs |= {"keep_layers": str(config.keep_layers), "paredown": __version__}
        return Step("apply", inputs, [], apply, config.output, images.digest)

    def _verify(self, traces: Sequence[str]) -> Verification:
        """Verify, and where that repaired something take over what it made."""
        self._steps.do(self._verify_step(traces))
        verification = read_verification(self._config.evidence / VERIFICATION)
        if any(turn.pins for turn in verification.rounds) and verification.outcome == "passed":
            self._steps.adopt(self._plan_step(traces), _totals(self._plan))
            self._steps.adopt(self._apply_step(), f"wrote {escape_name(self._config.output)}")
            self._steps.adopt(self._verify_step(traces), _told(verification).told)
        return verification

    def _verify_step(self, traces: Sequence[str]) -> Step:
        config = self._config

        def verify(work: Path) -> Made:
            verification = testing.verify(config, self._inputs(traces), self._plan, work)
            (work / VERIFICATION).write_text(dump_verification(verification), "utf-8")
            return _told(verification)

        inputs = {**self._source, **self._slim(), **dict([self._steps.file(PLAN)])}
        inputs |= {**starting.settings(config, config.tests), "paredown": __version__}
        inputs["repair"] = str(config.repair)
        files = [VERIFICATION, *testing.FILES]
        return Step("verify", inputs, files, verify)

    def _compare_cves(self) -> Cves | None:
        config = self._config
        if config.scan is None and config.osv is None:
            return None
        scans = ("scan-before.json", "scan-after.json")

        def scan(work: Path) -> Made:
            before, after = [], []
            if config.scan is not None:
                before, after = ([work / name] for name in scans)
                scanning.scan(config.scan, config.source, before[0], config.timeout)
                scanning.scan(config.scan, config.output, after[0], config.timeout)
            cves = compare(self._plan, before, after, config.osv, config.output)
            (work / CVES).write_text(dump_cves(cves), "utf-8")
            return Made(_counted(cves), not _unseen(cves), [*cves.warnings, *_unseen(cves)])

        inputs = {**self._source, **self._slim(), **dict([self._steps.file(PLAN)])}
        inputs |= {"scan": digest_of(config.scan), "osv": scanning.records_digest(config.osv)}
        self._steps.do(Step("cves", {**inputs, "paredown": __version__}, [*scans, CVES], scan))
        return read_cves(config.evidence / CVES)

    def _gates(self, plan: Plan, cves: Cves | None = None, *, last: bool = False) -> list[Result]:
        """Hold the plan to the policy; before anything is scanned to all but its CVEs.

        Dates are today's, so that it is never as before.
        """
        if self._config.policy is None:
            return []
        policy = read_policy(self._config.policy)
        if not last:
            gates = tuple(gate for gate in policy.gates if gate.rule != "max_cves")
            policy = dataclasses.replace(policy, gates=gates)
        return run_gates(policy, plan, today(), cves)

    def _tell_gates(self, results: Sequence[Result]) -> None:
        if results:
            failed = [
                f"{each.name}: {each.told}, {each.bound}" for each in results if not each.passed
            ]
            told = f"{len(results) - len(failed)} of {plural(len(results), 'gate')} passed"
            self._steps.tell("gates", Made(told, passed=not failed, warnings=failed))

    def _report(self, traces: Sequence[str], hardened: Hardened) -> Path:
        config = self._config
        cves = None if hardened.cves is None else config.evidence / CVES

        def write(work: Path) -> Made:
            written = report.write_report(
                ReportInputs(
                    plan=config.evidence / PLAN,
                    directory=work / REPORT,
                    verification=config.evidence / VERIFICATION,
                    cves=cves,
                    policy=config.policy,
                    traces=[config.evidence / trace for trace in traces],
                    source=config.source,
                    slim=config.output,
                    author=config.author,
                )
            )
            return Made(plural(len(written.files), "document"))

        names = [PLAN, VERIFICATION, *([CVES] if cves else []), *traces]
        inputs = {
            **dict(map(self._steps.file, names)),
            **self._policy(),
            "author": config.author or "",
            "paredown": __version__,
        }
        files = [f"{REPORT}/{name}" for name in report.FILES]
        self._steps.do(Step("report", inputs, files, write))
        return config.evidence / REPORT

    def _policy(self) -> dict[str, str]:
        path = self._config.policy
        return {} if path is None else {str(path): file_digest(path) or ""}

    def _slim(self) -> dict[str, str]:
        return {self._config.output: images.digest(self._config.output) or ""}


def _totals(plan: Plan) -> str:
    before, after = plan.before, plan.after
    return (
        f"keeps {plural(after.packages, 'package')} of {before.packages:,}, "
        f"{human_size(after.bytes)} of {human_size(before.bytes)}"
    )


def _told(verification: Verification) -> Made:
    passed = verification.outcome == "passed"
    tests = [case for case in verification.tests if case.command is not None]
    told = (
        f"{sum(case.outcome == 'passed' for case in tests)} of {plural(len(tests), 'test')} passed"
    )
    missing = [
        f"{miss.package or 'nobody'}: {miss.path} ({', '.join(miss.asked)})"
        for miss in verification.missing
    ]
    why = "" if passed else f"; {verification.why}"
    return Made(told + why, passed, [] if passed else list(map(escape_name, missing)))


def _counted(cves: Cves) -> str:
    before = sum(each.before for each in cves.counts)
    after = sum(each.after for each in cves.counts)
    how = ", projected" if cves.projected else ""
    return f"{before:,} before, {after:,} after{how}"


def _unseen(cves: Cves) -> list[str]:
    """Return what the slim image hides from scanners, which nothing may."""
    lost = [f"{each.id} of {each.name}" for each in cves.findings if each.fate == "lost"]
    return [f"lost from sight: {escape_name(each)}" for each in (*lost, *cves.hidden)]
