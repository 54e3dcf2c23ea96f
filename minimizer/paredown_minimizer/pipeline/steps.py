"""Doing steps one after the other, and none twice.

What a step makes is made in a directory of its own, ``.work``, and takes its final name once it is
whole; the step is noted as done after that. What a killed run left in ``.work`` goes first thing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from paredown_minimizer.pipeline.state import (
    Done,
    State,
    Thing,
    changed,
    file_digest,
    read_state,
    replace_file,
    things,
    write_state,
)
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

_WORK = ".work"


class Progress(Protocol):
    """Who is told how the steps go."""

    def begins(self, step: str, why: str) -> None:
        """A step begins, as something that it is made of changed, or for the first time."""

    def as_before(self, step: str, told: str) -> None:
        """Nothing had to be done."""

    def ended(self, step: str, made: Made | None, seconds: float) -> None:
        """A step was done; None for what the exception tells that ended it."""


@dataclasses.dataclass(frozen=True)
class Made:
    """What a step came to, in words; one that did not pass is done again by the next run."""

    told: str
    passed: bool = True
    warnings: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Step:
    """One step. ``run`` makes ``files``, or some of them, in the directory that it is given.

    ``inputs`` are digests by name; an output of an earlier step has the name that it has there.
    ``image`` is one that it writes, and ``identify`` its digest, None where there is none.
    """

    name: str
    inputs: Mapping[str, str]
    files: Sequence[str]
    run: Callable[[Path], Made]
    image: str | None = None
    identify: Callable[[str], str | None] = lambda _: None


class Steps:
    """The steps of one image, in its evidence directory, which is locked meanwhile."""

    def __init__(self, directory: Path, progress: Progress, *, force: bool) -> None:
        """With ``force`` nothing is as before. Call it through ``opened``."""
        self.directory = directory
        self._progress = progress
        self._force = force
        self._state = read_state(directory)

    def do(self, step: Step) -> Made:
        """Do a step unless it is as before.

        Raises:
            ParedownError: what the step raises, or a file cannot be written, on a full disk say.
        """
        before = self._state.find(step.name)
        why = self._changed(step, before)
        if before is not None and why is None:
            self._progress.as_before(step.name, before.told)
            return Made(before.told)
        self._progress.begins(step.name, why or "")
        begin = time.monotonic()
        made = None
        try:
            made = self._do(step)
        finally:
            self._progress.ended(step.name, made, time.monotonic() - begin)
        return made

    def _do(self, step: Step) -> Made:
        self._note(self._state.without([step.name]))
        self._remove(step.files)
        inputs = things(step.inputs)
        outputs: tuple[Thing, ...] = ()
        try:
            made = self._run(step)
            outputs = self._outputs(step)
        finally:
            self._forget_made_of(
                {**dict.fromkeys(step.files), **{t.name: t.digest for t in outputs}}
            )
        self._note(self._state.with_step(Done(step.name, made.told, made.passed, inputs, outputs)))
        return made

    def adopt(self, step: Step, told: str) -> None:
        """Note a step as done as things are now: a later one did it again, and passed."""
        inputs, outputs = things(step.inputs), self._outputs(step)
        self._note(self._state.with_step(Done(step.name, told, True, inputs, outputs)))

    def tell(self, name: str, made: Made) -> None:
        """Tell of something that takes no time and is looked at in every run."""
        self._progress.ended(name, made, 0)

    def file(self, name: str) -> tuple[str, str]:
        """Return an output as a later step's input: its name and digest."""
        return name, file_digest(self.directory / name) or ""

    def claim(self, image: str, *, taken: bool) -> None:
        """Take an image's name as the pipeline's own, to replace what it names from now on.

        Raises:
            UsageError: something else has it.
        """
        if self._state.claimed == image:
            return
        if taken and not self._force:
            raise ParedownError(
                f"cannot write {escape_name(image)}: it exists, and is not what harden made",
                hint="--force replaces it",
            )
        self._note(dataclasses.replace(self._state, claimed=image))

    def _changed(self, step: Step, before: Done | None) -> str | None:
        """Return why a step has to be done again, or None."""
        if before is None:
            return None
        if self._force:
            return "--force"
        if not before.passed:
            return "did not pass"
        names = changed(before.inputs, things(step.inputs))
        names += changed(before.outputs, self._outputs(step))
        return f"changed: {', '.join(map(escape_name, names))}" if names else None

    def _forget_made_of(self, outputs: Mapping[str, str | None]) -> None:
        """Documents that lie here fit together: what was made of others goes."""
        outdated = self._state.made_of(outputs)
        self._note(self._state.without([done.name for done in outdated]))
        self._remove(each.name for done in outdated for each in done.outputs)

    def _remove(self, files: Iterable[str]) -> None:
        for name in files:
            with contextlib.suppress(OSError):  # an image's name is no file's
                (self.directory / name).unlink()

    def _outputs(self, step: Step) -> tuple[Thing, ...]:
        found = {name: file_digest(self.directory / name) for name in step.files}
        if step.image is not None:
            found[step.image] = step.identify(step.image)
        return things({name: digest or "" for name, digest in found.items()})

    def _run(self, step: Step) -> Made:
        work = self.directory / _WORK
        shutil.rmtree(work, ignore_errors=True)
        try:
            work.mkdir()
            made = step.run(work)
            for name in step.files:
                if (work / name).exists():
                    (self.directory / name).parent.mkdir(exist_ok=True)
                    replace_file(work / name, self.directory / name)
        except OSError as error:
            cause = error.strerror or str(error)
            raise ParedownError(f"cannot {escape_name(step.name)}: {cause}") from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return made

    def _note(self, state: State) -> None:
        if state != self._state:
            write_state(self.directory, state)
            self._state = state


@contextlib.contextmanager
def opened(directory: Path, progress: Progress, *, force: bool) -> Iterator[Steps]:
    """Yield the steps of an evidence directory, which is made if need be, and nobody else's now.

    Raises:
        ParedownError: another run has it, or it cannot be made or read.
    """
    what = f"cannot use {escape_name(str(directory))}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ParedownError(f"{what}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ParedownError(f"{what}: another paredown harden is at work there") from error
        shutil.rmtree(directory / _WORK, ignore_errors=True)
        yield Steps(directory, progress, force=force)
    finally:
        os.close(descriptor)
