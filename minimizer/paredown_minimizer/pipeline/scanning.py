"""Scans by the user's own command, and what OSV records there are."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from pathlib import Path

from paredown_minimizer.pipeline.images import in_commands
from paredown_minimizer.pipeline.state import file_digest
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

_IMAGE = "{image}"


def scan(command: str, image: str, output: Path, seconds: int) -> None:
    """Write to ``output`` what a command line prints of an image.

    ``{image}`` in it stands for the image's reference, or the directory of a ``dir:``.

    Raises:
        ParedownError: it fails, or takes longer.
        OSError: the output cannot be written.
    """
    line = command.replace(_IMAGE, shlex.quote(in_commands(image)))
    what = f"cannot scan {escape_name(image)}"
    with output.open("wb") as file:
        try:
            done = subprocess.run(
                ["sh", "-c", line],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.PIPE,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise ParedownError(f"{what}: no end within {seconds} s") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ParedownError(f"{what}: status {done.returncode}: {escape_name(said)}")


def records_digest(directory: Path | None) -> str:
    """Return a digest of a directory of records: of the names and contents of its files."""
    digest = hashlib.sha256()
    for parent, directories, names in os.walk(directory) if directory is not None else ():
        directories.sort()
        for name in sorted(names):
            path = Path(parent, name)
            digest.update(f"{path}\0{file_digest(path)}\n".encode("utf-8", "surrogateescape"))
    return "sha256:" + digest.hexdigest()
