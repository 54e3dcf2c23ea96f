"""The file that tells scripts and probes that recording is armed."""

from __future__ import annotations

import contextlib
import os

from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name


class ReadyFile:
    """A file that appears whole, once. Its directory is opened before anything is mounted."""

    def __init__(self, path: str) -> None:
        """Open its directory and remove what an earlier run left; raises ParedownError."""
        self._path = path
        self._name = os.path.basename(path)
        try:
            directory = os.path.dirname(path) or "."
            self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._name, dir_fd=self._directory)
        except OSError as error:
            raise self._error(error) from error

    def appear(self) -> None:
        """Make the file; it holds the agent's pid. Raises ParedownError."""
        temporary = f".{self._name}.{os.getpid()}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o644, dir_fd=self._directory)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            os.close(descriptor)
            os.rename(temporary, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> ParedownError:
        return ParedownError(f"cannot make {escape_name(self._path)}: {error.strerror}")
