"""Verification, version 1: what became of the tests on a slim image, and what they missed.

verification-1.schema.json is the published form. ``verify`` writes it, ``report`` and ``harden``
read it. Times are whole milliseconds.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from paredown_schemas.documents import dump_document, read_document
from paredown_schemas.plan import EvidenceKind

FORMAT = "paredown-verification"
VERSION = 1

Mode = Literal[
    "strict",  # the tests ran on the slim image
    "soft",  # on the original, and the plan was asked what of it they used that goes
]
Target = Literal["docker", "podman", "rootfs", "compose"]
Outcome = Literal[
    "passed",
    "failed",
    "not-started",  # the container ended, or was never ready
    "timed-out",
]
Method = Literal["misses", "bisection"]


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One command of the tests, or one phase that marks told apart while it ran.

    Of a phase nothing but what the tests themselves report says whether it passed: None unknown.
    """

    name: str
    outcome: Outcome | None
    command: str | None = None  # None for a phase
    status: int | None = None  # exit status of the command, 128 + N where signal N ended it
    milliseconds: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Missing:
    """A path that the plan removes and that the tests asked for.

    ``asked`` are ways of use (trace.How) and look-ups (trace.LookupCall). ``held_by`` is the
    evidence that a recording of this would have given; None where none would, as nothing is held by
    being looked up. ``tests`` are the names of the tests that ran meanwhile.
    """

    package: str | None  # key
    path: str
    asked: tuple[str, ...]
    exes: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    held_by: EvidenceKind | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class AddedPin:
    """A pin that repair wrote into the policy."""

    target: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Round:
    """One turn of repair: tests, what they missed, and what was pinned for it."""

    plan: str  # id of the plan that was tested
    outcome: Outcome
    misses: int
    method: Method | None = None  # by which the pins were found; None where none were
    runs: int = 1  # how often the tests ran in it
    milliseconds: int | None = None
    pins: tuple[AddedPin, ...] = ()
    restored_files: int = 0  # by these pins, against the plan before
    restored_bytes: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class TraceFile:
    """A run that was recorded meanwhile."""

    run: str
    sha256: str  # of the trace file
    verdict: Literal["complete", "partial"]


@dataclasses.dataclass(frozen=True)
class Verification:
    """A whole verification: its last round, and those before it."""

    paredown: str
    plan: str  # id
    image: str  # identity of the original
    slim: str | None  # identity of what was tested; None in a soft one
    digest: str | None  # sha256 that the engine names it by, "sha256:…"; None for directories
    mode: Mode
    target: Target
    started: str  # UTC, 2026-01-31T12:00:00Z
    run: str  # how it was started; {image} stands for the image
    outcome: Outcome
    why: str | None  # in words, where it did not pass
    original: Outcome | None  # the same tests on the original; None where they did not run there
    tests: tuple[Case, ...] = ()
    missing: tuple[Missing, ...] = ()
    rounds: tuple[Round, ...] = ()
    traces: tuple[TraceFile, ...] = ()


def dump_verification(verification: Verification) -> str:
    """Return the JSON text."""
    return dump_document(verification, FORMAT, VERSION)


def read_verification(path: Path) -> Verification:
    """Read the file at ``path``; raises as documents.read_document does."""
    return read_document(Verification, path, "verification", FORMAT, VERSION)
