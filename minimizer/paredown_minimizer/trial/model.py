"""What a trial is made of, and what becomes of it."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

from paredown_schemas.errors import UsageError
from paredown_schemas.names import escape_name
from paredown_schemas.trace import Run
from paredown_schemas.verification import Case, Outcome, Target

IMAGE = "{image}"


@dataclasses.dataclass(frozen=True, slots=True)
class Launch:
    """How an image is started.

    ``run`` is the user's own ``docker run …`` or ``podman run …``, "{image}" in the image's place;
    for a root filesystem the command that runs in it. ``dataclasses.replace(launch, image=…)``
    starts another image the same way.
    """

    target: Target
    run: str
    image: str  # reference; a directory for "rootfs"
    compose: Path | None = None  # the compose file, and which of its services is meant
    service: str | None = None

    def words(self) -> list[str]:
        """Return the command line, as a shell would split it, with the image in its place.

        Raises:
            UsageError: it has a quote that is not closed, or nothing in it.
        """
        try:
            words = shlex.split(self.run)
        except ValueError as error:
            cause = str(error).lower()
            raise UsageError(f"cannot start {escape_name(self.run)}: {cause}") from error
        if not words:
            raise UsageError("cannot start the image: --run says no command")
        return [word.replace(IMAGE, self.image) for word in words]


@dataclasses.dataclass(frozen=True, slots=True)
class TestCommand:
    """One command of the tests; ``command`` is a line for ``sh -c``."""

    __test__ = False  # for pytest, which collects classes of such names

    name: str
    command: str


@dataclasses.dataclass(frozen=True, slots=True)
class Suite:
    """The tests. Without commands the container's own run, to its end, is the test."""

    commands: tuple[TestCommand, ...] = ()
    ready: str | None = None  # a line for ``sh -c``, asked again until it exits with 0
    seconds: int = 600  # limit of each command
    ready_seconds: int = 60


@dataclasses.dataclass(frozen=True)
class Trial:
    """What became of a trial.

    Without ``trace`` nothing ran that could be recorded: the container's program is not there.
    """

    outcome: Outcome
    why: str | None  # in words, where it did not pass
    cases: tuple[Case, ...]  # each command, followed by its phases
    trace: Path | None
    log: Path  # what the container wrote
    output: Path  # what the tests wrote
    run: Run | None = None  # what the trace holds
