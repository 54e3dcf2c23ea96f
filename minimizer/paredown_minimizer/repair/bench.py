"""What a repair works with for real: plans of an image, applied beside it, tested by trials."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeGuard

from paredown_minimizer.apply import apply_plan
from paredown_minimizer.asked import asked_and_found
from paredown_minimizer.image.engine import forget_stored
from paredown_minimizer.image.slim import Provenance
from paredown_minimizer.image.source import open_image, write_image
from paredown_minimizer.output import write_output
from paredown_minimizer.planning import Inputs, make_plan
from paredown_minimizer.policy import Pin
from paredown_minimizer.policyedit import with_pins
from paredown_minimizer.policyfile import parse_policy
from paredown_minimizer.trial import Launch, Suite
from paredown_minimizer.verify import verify_soft, verify_strict
from paredown_minimizer.yamlfile import read_text
from paredown_schemas import __version__
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan, dump_plan
from paredown_schemas.trace import File, Lookup, Record, read_trace
from paredown_schemas.verification import Verification

_EMPTY = "version: 1\n"


@dataclasses.dataclass(frozen=True)
class Places:
    """What a repair replaces, and where it leaves traces and logs."""

    policy: Path  # made where there is none
    plan: Path
    space: Path
    keep_layers: bool = False  # of the image, as ``apply --keep-layers`` does


class ImageBench:
    """See ``rounds.Bench``. The image that ``launch`` names is made again after every round."""

    def __init__(
        self,
        inputs: Inputs,
        launch: Launch,
        places: Places,
        work: Path,
        suite: Suite,
        original: str | None,
    ) -> None:
        """Take what plans are made of; the policy in it gives way to that of ``places``.

        In ``work`` lie slim images while they are tested. ``original`` is what the engine calls it,
        or a directory; None where it is in none.
        """
        self._launch = launch
        self._places = places
        self._suite = suite
        self._work = work
        self._original = original
        self._soft: Verification | None = None
        self._what = f"cannot add pins to {escape_name(str(places.policy))}"
        self._text = self._written = self._read()
        # Pins are added to the policy as it was at first: those of a round are in its file then.
        first = work / "policy.yaml"
        first.write_text(self._text)
        self._inputs = dataclasses.replace(inputs, policy=first)

    @property
    def destination(self) -> str:
        """Return the DEST that the image is."""
        return self._spec(self._launch.image)

    def plan(self, pins: Sequence[Pin]) -> Plan:
        """Return the plan with more pins than the policy had at first."""
        return make_plan(dataclasses.replace(self._inputs, pins=tuple(pins))).plan

    def test(self, plan: Plan) -> Verification:
        """Apply ``plan`` beside the image, and run the tests there."""
        with self._scratch(plan) as image:
            launch = dataclasses.replace(self._launch, image=image)
            return verify_strict(plan, launch, self._suite, self._places.space)

    def listed(self) -> frozenset[str]:
        """Return the directories whose entries were asked for in the last test."""
        trace = self._places.space / "slim.trace"
        records = (
            [r for run in read_trace(trace).runs for r in run.records] if trace.exists() else []
        )
        return frozenset(record.path for record in records if _lists(record))

    def soft(self, plan: Plan) -> Verification | None:
        """Run the tests on the original, once, and tell what of it they used and ``plan`` removes.

        None where it cannot be started as the image is.
        """
        if self._original is None:
            return None
        if self._soft is None:
            launch = dataclasses.replace(self._launch, image=self._original)
            self._soft = verify_soft(plan, launch, self._suite, self._places.space)
        if self._soft.plan == plan.id or not self._soft.traces:
            return self._soft
        (run,) = read_trace(self._places.space / "original.trace").runs
        missing = asked_and_found(plan, run)
        return dataclasses.replace(self._soft, plan=plan.id, missing=missing)

    def settle(self, pins: Sequence[Pin], plan: Plan) -> None:
        """Write policy, plan and image, each whole or not at all.

        Raises:
            ParedownError: somebody changed the policy meanwhile; or something cannot be written.
        """
        if self._read() != self._written:
            raise ParedownError(
                f"{self._what}: it was changed meanwhile", hint="start again with it as it is now"
            )
        if pins:
            policy = parse_policy(self._text, self._what)
            self._written = with_pins(self._text, policy, pins, self._what)
            write_output(str(self._places.policy), self._written, force=True)
        write_output(str(self._places.plan), dump_plan(plan), force=True)
        self._write(plan, self.destination, keep_layers=self._places.keep_layers)

    def _read(self) -> str:
        policy = self._places.policy
        return read_text(policy, self._what) if policy.exists() else _EMPTY

    @contextlib.contextmanager
    def _scratch(self, plan: Plan) -> Iterator[str]:
        """Yield the name of an image that vanishes."""
        if self._launch.target == "rootfs":
            place = self._work / "slim"
            try:
                self._write(plan, self._spec(str(place)))
                yield str(place)
            finally:
                shutil.rmtree(place, ignore_errors=True)
            return
        reference = f"paredown-repair:{plan.id.rpartition(':')[2][:12]}"
        try:
            self._write(plan, self._spec(reference))
            yield reference
        finally:
            forget_stored(self._engine, reference)

    def _write(self, plan: Plan, spec: str, *, keep_layers: bool = False) -> None:
        with contextlib.closing(open_image(self._inputs.source, plan.platform)) as image:
            provenance = Provenance(plan.image, plan.id, __version__)
            slim = apply_plan(plan, image)
            write_image(slim, spec, provenance, force=True, keep_layers=keep_layers)

    def _spec(self, image: str) -> str:
        return f"dir:{image}" if self._launch.target == "rootfs" else f"{self._engine}:{image}"

    @property
    def _engine(self) -> str:
        return "podman" if self._launch.target == "podman" else "docker"


def _lists(record: Record) -> TypeGuard[File | Lookup]:
    if isinstance(record, Lookup):
        return record.call == "list" and record.error is None
    return isinstance(record, File) and record.how == "directory"
