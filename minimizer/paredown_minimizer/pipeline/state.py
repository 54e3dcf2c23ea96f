"""Which steps are done: one file in the evidence directory, from which the next run goes on.

A step is as before while what it was made of and what it made are unchanged. The file is replaced
whole, after what it speaks of stands: a run that was killed at any moment leaves a step undone at
worst.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from paredown_minimizer.image.staging import staged_file
from paredown_schemas.documents import dump_document, read_document
from paredown_schemas.errors import DamagedInputError

FORMAT = "paredown-state"
VERSION = 1
FILE = "state.json"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Thing:
    """A file, an image or a setting, and the digest by which a change shows."""

    name: str
    digest: str


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """A step that was done; one that did not pass is done again.

    Files are named from the evidence directory.
    """

    name: str
    told: str  # what it came to, in words
    passed: bool
    inputs: tuple[Thing, ...] = ()
    outputs: tuple[Thing, ...] = ()


@dataclasses.dataclass(frozen=True)
class State:
    """The steps in the order in which they were done.

    ``claimed`` is the image that the pipeline makes: it was not there, or the user gave it away.
    """

    claimed: str | None = None
    steps: tuple[Done, ...] = ()

    def find(self, name: str) -> Done | None:
        """Return a step that is done."""
        return next((done for done in self.steps if done.name == name), None)

    def with_step(self, done: Done) -> State:
        """Return the state with a step that was done, in its place if it was done before."""
        if self.find(done.name) is None:
            return dataclasses.replace(self, steps=(*self.steps, done))
        steps = tuple(done if each.name == done.name else each for each in self.steps)
        return dataclasses.replace(self, steps=steps)

    def without(self, names: Collection[str]) -> State:
        """Return the state without some steps."""
        steps = tuple(done for done in self.steps if done.name not in names)
        return dataclasses.replace(self, steps=steps)

    def made_of(self, outputs: Mapping[str, str | None]) -> list[Done]:
        """Return the steps that were made of such things with another digest, or of what they made.

        ``outputs`` are digests by name, None where there is nothing any more.
        """
        now = dict(outputs)
        found: list[Done] = []
        while more := [done for done in self.steps if done not in found and _differs(done, now)]:
            found += more
            now |= dict.fromkeys(each.name for done in more for each in done.outputs)
        return found


def _differs(done: Done, now: Mapping[str, str | None]) -> bool:
    return any(now.get(each.name, each.digest) != each.digest for each in done.inputs)


def read_state(directory: Path) -> State:
    """Return the state in an evidence directory; nothing is done where there is none.

    Raises:
        DamagedInputError: it is no such file.
        ParedownError: it cannot be read.
    """
    path = directory / FILE
    if not path.exists():
        return State()
    try:
        return read_document(State, path, "state", FORMAT, VERSION)
    except DamagedInputError as error:
        error.hint = "remove it: all steps are then done anew"
        raise


def write_state(directory: Path, state: State) -> None:
    """Replace the state in an evidence directory; raises ParedownError."""
    with staged_file(str(directory / FILE), force=True) as file:
        file.write(dump_document(state, FORMAT, VERSION).encode())


def things(named: Mapping[str, str]) -> tuple[Thing, ...]:
    """Return things by name, sorted."""
    return tuple(sorted(Thing(name, digest) for name, digest in named.items()))


def changed(before: Iterable[Thing], now: Iterable[Thing]) -> list[str]:
    """Return the names of the things that are not as they were."""
    old, new = ({each.name: each.digest for each in side} for side in (before, now))
    return [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]


def digest_of(value: Any) -> str:
    """Return the digest of a setting: anything that JSON can say, dataclasses' fields included."""
    text = json.dumps(value, sort_keys=True, default=dataclasses.asdict, ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str | None:
    """Return the digest of a file's content, None where there is no such file."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
    return "sha256:" + digest.hexdigest()


def replace_file(made: Path, final: Path) -> None:
    """Give a file that is whole its final name, its content on the disk first (fsync(2))."""
    descriptor = os.open(made, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    made.replace(final)
