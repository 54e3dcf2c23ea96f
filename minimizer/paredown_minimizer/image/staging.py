"""Outputs appear whole or not at all: written beside their final name, flushed, then renamed.

What stands under its final name is on the disk: the output's content is flushed before the rename
(fsync(2); of a directory by syncfs(2), which Python has not: file by file would cost more than
writing them), the directory that it stands in after it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from paredown_minimizer.image.model import is_below
from paredown_schemas.errors import ParedownError, UsageError
from paredown_schemas.names import decode_name, escape_name


@contextlib.contextmanager
def staged_file(path: str, *, force: bool) -> Iterator[BinaryIO]:
    """Yield a new file to write, which takes the name ``path`` when all went well.

    Raises:
        UsageError: something has that name, and not ``force``.
        ParedownError: it cannot be written, a full disk for one; nothing is left behind then.
    """
    final = Path(os.path.abspath(path))
    _refuse_existing(final, force=force)
    with _clear_errors(final):
        descriptor, name = _staged(final, _new_file)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                yield file
            os.fchmod(descriptor, 0o666 & ~_umask())
            os.fsync(descriptor)
            os.rename(name, final)
        except BaseException:
            os.unlink(name)
            raise
        finally:
            os.close(descriptor)
        flush_directory(final.parent)


@contextlib.contextmanager
def staged_directory(path: str, *, force: bool) -> Iterator[Path]:
    """Yield a new directory that takes the name ``path`` when all went well; raises as above.

    What was there before goes once the new one stands.
    """
    final = Path(os.path.abspath(path))
    _refuse_existing(final, force=force)
    with _clear_errors(final):
        _refuse_mounts(final)
    with stage_beside(final) as stage:
        new, old = stage / "new", stage / "old"
        new.mkdir()
        yield new
        flush(stage)
        if os.path.lexists(final):
            final.rename(old)
        try:
            new.rename(final)
        except OSError:
            if os.path.lexists(old):
                old.rename(final)
            raise
        flush_directory(final.parent)


@contextlib.contextmanager
def stage_beside(final: Path) -> Iterator[Path]:
    """Yield a new directory beside ``final`` that nobody else uses; it goes in the end.

    Raises:
        ParedownError: ``final`` cannot be written.
    """
    with _clear_errors(final):
        descriptor, name = _staged(final, _new_directory)
        stage = Path(name)
        try:
            yield stage
        finally:
            # shutil.rmtree calls itself for each level, and trees may be deeper than Python.
            try:
                _run("remove", stage, "rm", "-rf")
            finally:
                os.close(descriptor)


def flush(stage: Path) -> None:
    """Have all that was written to the filesystem of ``stage`` on the disk."""
    _run("flush", stage, "sync", "--file-system")


def _staged(final: Path, make: Callable[[str, Path], tuple[int, str]]) -> tuple[int, str]:
    """Return a new, locked stage beside ``final``; what killed ones left of theirs goes."""
    prefix = f".{final.name[:200]}.paredown-"
    for name in os.listdir(final.parent):
        if name.startswith(prefix):
            _remove_left(final.parent / name, final)
    while True:
        descriptor, name = make(prefix, final.parent)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.lexists(name):
            return descriptor, name
        os.close(descriptor)  # somebody took it for left, before it was locked


def _new_file(prefix: str, directory: Path) -> tuple[int, str]:
    return tempfile.mkstemp(prefix=prefix, dir=directory)


def _new_directory(prefix: str, directory: Path) -> tuple[int, str]:
    name = tempfile.mkdtemp(prefix=prefix, dir=directory)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), name


def _remove_left(stage: Path, final: Path) -> None:
    # Not ours, vanished, or still being written: none of it keeps anybody from writing.
    with contextlib.suppress(OSError, ParedownError):
        descriptor = os.open(stage, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.lexists(stage / "old") and not os.path.lexists(final):
                (stage / "old").rename(final)  # killed between its two renames
            _run("remove", stage, "rm", "-rf")
        finally:
            os.close(descriptor)


def _refuse_existing(path: Path, *, force: bool) -> None:
    """Raise UsageError where something would be overwritten without ``force``."""
    if force or not os.path.lexists(path):
        return
    if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
        return
    raise UsageError(
        f"cannot write {escape_name(str(path))}: it exists", hint="--force overwrites it"
    )


def flush_directory(directory: Path) -> None:
    """Have the names in ``directory`` on the disk."""
    with contextlib.suppress(PermissionError):  # one may write to a directory and not read it
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _run(what: str, stage: Path, *command: str) -> None:
    done = subprocess.run([*command, "--", stage], capture_output=True, check=False)
    if done.returncode:
        cause = escape_name(decode_name(done.stderr.strip().rpartition(b"\n")[2]))
        raise ParedownError(f"cannot {what} {escape_name(str(stage))}: {cause}")


def _refuse_mounts(final: Path) -> None:
    """Replacing a tree deletes the old one, and would delete what is mounted in it."""
    here = decode_name(os.fsencode(os.path.realpath(final)))
    mounts = Path("/proc/self/mountinfo").read_bytes().splitlines()
    for line in mounts:
        raw = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), line.split(b" ")[4])
        place = decode_name(raw)
        if is_below(place, here):
            raise ParedownError(
                f"cannot write {escape_name(str(final))}: {escape_name(place)} is mounted there"
            )


@contextlib.contextmanager
def _clear_errors(final: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ParedownError(f"cannot write {escape_name(str(final))}: {error.strerror}") from error


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
