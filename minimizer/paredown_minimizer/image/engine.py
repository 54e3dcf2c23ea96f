"""Images of a container engine, ``docker:REF`` and ``podman:REF``, by its own command line."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

from paredown_minimizer.image.docker_archive import read_image
from paredown_minimizer.image.docker_archive_write import stream_archive
from paredown_minimizer.image.layered import LayeredImage
from paredown_minimizer.image.model import Image
from paredown_minimizer.image.slim import Provenance
from paredown_minimizer.image.store import ArchiveStore, closed_on_error
from paredown_schemas.errors import ParedownError, UsageError
from paredown_schemas.names import escape_name

_CHUNK = 1 << 20


def open_stored(engine: str, reference: str, platform: str | None = None) -> LayeredImage:
    """Read an image that ``engine``, docker or podman, has; its environment is honoured.

    What the engine says is read from a pipe, and kept in memory.

    Raises:
        ParedownError: the engine is not there or has no such image; or see ``read_image``.
    """
    what = f"read image {escape_name(reference)}"
    store = ArchiveStore(f"image {escape_name(f'{engine}:{reference}')}")
    command = [engine, "save", "--", reference]
    with closed_on_error(store):
        with _running(command, what, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            store.read_chunks(_said(process))
        return read_image(store, "", platform)


def _said(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    pipe = process.stdout
    assert pipe is not None  # noqa: S101 - the caller asked for it
    while chunk := pipe.read(_CHUNK):
        yield chunk
    process.wait()


def write_stored(
    engine: str,
    image: Image,
    reference: str,
    provenance: Provenance,
    *,
    force: bool,
    keep_layers: bool,
) -> None:
    """Load ``image`` into ``engine``, docker or podman, as ``reference``, through a pipe.

    Raises:
        UsageError: the engine has an image of that name, and not ``force``; or see ``new_layers``.
        ParedownError: the engine is not there, or refuses it.
    """
    what = f"write image {escape_name(reference)}"
    if not force and _exists(engine, reference):
        raise UsageError(f"cannot {what}: it exists", hint="--force replaces it")
    command = [engine, "load", "--quiet"]
    with _running(command, what, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        pipe = process.stdin
        assert pipe is not None  # noqa: S101 - asked for above
        with contextlib.suppress(BrokenPipeError), pipe:  # an engine that gives up says why
            stream_archive(image, pipe.write, reference, provenance, keep_layers=keep_layers)


def forget_stored(engine: str, reference: str) -> None:
    """Take the name ``reference`` from ``engine``, and the image too if it has no other."""
    with contextlib.suppress(FileNotFoundError):
        subprocess.run([engine, "rmi", "--", reference], capture_output=True, check=False)


def _exists(engine: str, reference: str) -> bool:
    command = [engine, "image", "inspect", "--", reference]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False  # loading will say what is wrong


@contextlib.contextmanager
def _running(
    command: list[str], what: str, *, stdin: int, stdout: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield an engine's command as it runs; raise ParedownError with what it said if it fails."""
    with os.fdopen(os.memfd_create("stderr"), "w+b") as said:
        try:
            process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=said)
        except FileNotFoundError as error:
            raise ParedownError(
                f"cannot {what}: there is no {command[0]} command",
                hint=f"install {command[0]}'s command line, or name a dir: or docker-archive:",
            ) from error
        with process:
            try:
                yield process
            except BaseException:
                if not process.poll():  # else what it says is the cause of what we do
                    process.kill()
                    raise
        if process.returncode:
            said.seek(0)
            lines = said.read().decode("utf-8", "replace").strip().splitlines() or [""]
            cause = escape_name(lines[-1].removeprefix("Error response from daemon: "))
            raise ParedownError(f"cannot {what}: {command[0]}: {cause or process.returncode}")
