"""What decisions read out of an image's files, each file read once."""

from __future__ import annotations

from collections.abc import Sequence

from paredown_minimizer import elf, scripts, shell_reader
from paredown_minimizer.elf import Elf, MalformedElfError
from paredown_minimizer.image.model import Image, read
from paredown_minimizer.scripts import Shebang
from paredown_minimizer.shell_commands import Named
from paredown_minimizer.shell_reader import ShellReader, UnreadableError
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

# The largest programs known are a few hundred MB; beyond it lief's copy might not fit.
_ELF_LIMIT = 1 << 29
# The smallest ELF header (ELFCLASS32) has 52 bytes.
_SMALLEST = 52


class Contents:
    """Reads ELF headers, first lines and texts of an image.

    ``warnings`` collects what could not be read, in words for the user: a decision goes on
    without it, and says so.
    """

    def __init__(self, image: Image) -> None:
        """Read nothing yet."""
        self.image = image
        self.warnings: list[str] = []
        self._elf: dict[str, Elf | None] = {}
        self._shebang: dict[str, Shebang | None] = {}
        self._shell_reader = ShellReader()

    def elf(self, path: str) -> Elf | None:
        """Return a path's ELF facts; None if it is no ELF file, or a damaged one."""
        if path not in self._elf:
            self._look(path)
        return self._elf[path]

    def shebang(self, path: str) -> Shebang | None:
        """Return what starts a path if it is a script."""
        if path not in self._elf:
            self._look(path)
        return self._shebang.get(path)

    def data(self, path: str, limit: int) -> bytes:
        """Return a regular file's content; nothing if it is missing, too long or unreadable."""
        entry = self.image.tree.get(path)
        if entry is None or entry.type != "file" or entry.size == 0:
            return b""
        try:
            return read(self.image, path, limit)
        except (ParedownError, OSError) as error:
            self.warnings.append(f"{escape_name(path)} was not looked into: {error}")
            return b""

    def text(self, path: str, limit: int = 1 << 20) -> str:
        """Return a configuration file's text, following links; empty if there is none."""
        resolved = self.image.tree.resolve(path)
        if resolved is None:
            return ""
        return self.data(resolved.path, limit).decode("utf-8", "surrogateescape")

    def named(self, path: str) -> Named:
        """Return what a shell script names; nothing if it cannot be read."""
        return self._read_shell(escape_name(path), self.data(path, shell_reader.LENGTH_LIMIT))

    def named_by_words(self, what: str, words: Sequence[str]) -> Named:
        """Return what a command line names; ``what`` it is, for a warning."""
        return self._read_shell(what, words)

    def _read_shell(self, what: str, text: bytes | Sequence[str]) -> Named:
        reader = self._shell_reader
        try:
            return reader.script(text) if isinstance(text, bytes) else reader.words(text)
        except UnreadableError as error:
            self.warnings.append(f"the commands of {what} are not known: {error}")
            return Named()

    def _look(self, path: str) -> None:
        self._elf[path] = None
        entry = self.image.tree.get(path)
        if entry is None or entry.type != "file" or entry.size < len(scripts.MAGIC) + 1:
            return
        try:
            with self.image.open(path) as file:
                head = file.read(scripts.LINE_LIMIT)
                if not head.startswith(elf.MAGIC) or entry.size < _SMALLEST:
                    self._shebang[path] = scripts.parse_shebang(head)
                elif entry.size > _ELF_LIMIT:
                    raise MalformedElfError(f"longer than {_ELF_LIMIT} bytes")
                else:
                    self._elf[path] = elf.parse_elf(file)
        except (ParedownError, OSError) as error:
            self.warnings.append(f"{escape_name(path)} counts as no ELF file: {error}")
