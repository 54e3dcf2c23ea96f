"""Images of a container engine, ``docker:REF`` and ``podman:REF``, by its own command line."""

from __future__ import annotations

import subprocess
import tempfile
from typing import IO

from paredown_minimizer.image.docker_archive import read_archive
from paredown_minimizer.image.docker_archive_write import write_archive_file
from paredown_minimizer.image.model import Image
from paredown_minimizer.image.slim import Provenance
from paredown_schemas.errors import ParedownError, UsageError
from paredown_schemas.names import escape_name


def open_stored(engine: str, reference: str) -> Image:
    """Read an image that ``engine``, docker or podman, has; its environment is honoured.

    Raises:
        ParedownError: the engine is not there or has no such image; or see ``read_archive``.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the image closes it
    try:
        what = f"read image {escape_name(reference)}"
        _run([engine, "save", "--", reference], what, stdout=file)
    except BaseException:
        file.close()
        raise
    return read_archive(file, f"{engine}:{reference}")


def write_stored(
    engine: str, image: Image, reference: str, provenance: Provenance, *, force: bool
) -> None:
    """Load ``image`` into ``engine``, docker or podman, as ``reference``.

    Raises:
        UsageError: the engine has an image of that name, and not ``force``.
        ParedownError: the engine is not there, or refuses it.
    """
    what = f"write image {escape_name(reference)}"
    if not force and _exists(engine, reference):
        raise UsageError(f"cannot {what}: it exists", hint="--force replaces it")
    with tempfile.TemporaryFile() as file:
        try:
            write_archive_file(image, file.fileno(), reference, provenance)
        except OSError as error:
            raise ParedownError(
                f"cannot {what}: {error.strerror}", hint="TMPDIR names where temporary files go"
            ) from error
        file.seek(0)
        _run([engine, "load", "--quiet"], what, stdin=file, stdout=subprocess.DEVNULL)


def _exists(engine: str, reference: str) -> bool:
    command = [engine, "image", "inspect", "--", reference]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False  # loading will say what is wrong


def _run(
    command: list[str],
    what: str,
    *,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    stdout: IO[bytes] | int,
) -> None:
    try:
        process = subprocess.run(
            command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, check=False
        )
    except FileNotFoundError as error:
        raise ParedownError(
            f"cannot {what}: there is no {command[0]} command",
            hint=f"install {command[0]}'s command line, or name a dir: or docker-archive:",
        ) from error
    if process.returncode:
        lines = process.stderr.decode("utf-8", "replace").strip().splitlines()
        cause = escape_name(lines[-1].removeprefix("Error response from daemon: ")) if lines else ""
        raise ParedownError(f"cannot {what}: {command[0]}: {cause or process.returncode}")
