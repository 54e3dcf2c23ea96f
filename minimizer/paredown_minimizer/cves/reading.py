"""JSON of others, read with its types checked: what is wrong is told with its JSON path.

Reports come from scanners that read hostile images: their size is bounded, and texts are as long
as names and paths are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paredown_schemas.errors import DamagedInputError, ParedownError
from paredown_schemas.names import escape_name

# A report of an image of 2,000 packages, each with its list of files, has some 50 MB.
_LIMIT = 256 << 20
_TEXT_LIMIT = 4096  # PATH_MAX


class Node:
    """A value of a JSON document, and where it stands: "cannot read scan FILE: $.matches[3]".

    No dataclass, and its place is put together where it is asked for: there are millions of them.
    """

    __slots__ = ("_above", "_step", "value", "what")

    def __init__(self, value: Any, what: str, above: Node | None = None, step: str = "$") -> None:
        """Take a value; ``what`` begins messages, ``step`` leads to it from ``above``."""
        self.value = value
        self.what = what
        self._above = above
        self._step = step

    @property
    def path(self) -> str:
        """Return the JSON path."""
        steps = []
        node: Node | None = self
        while node is not None:
            steps.append(node._step)  # noqa: SLF001 - its own
            node = node._above  # noqa: SLF001
        return "".join(reversed(steps))

    def __getitem__(self, key: str) -> Node:
        """Return a member of an object; null where it has none."""
        if isinstance(self.value, dict):
            return Node(self.value.get(key), self.what, self, f".{key}")
        if self.value is not None:
            raise self.error("must be an object")
        return Node(None, self.what, self, f".{key}")

    def __iter__(self) -> Iterator[Node]:
        """Yield the items of a list; none of null."""
        if self.value is not None and not isinstance(self.value, list):
            raise self.error("must be a list")
        for number, value in enumerate(self.value or ()):
            yield Node(value, self.what, self, f"[{number}]")

    def __contains__(self, key: str) -> bool:
        """Say whether an object has a member that is not null."""
        return isinstance(self.value, dict) and self.value.get(key) is not None

    @property
    def text(self) -> str:
        """Return a text; an empty one for null."""
        if self.value is not None and not isinstance(self.value, str):
            raise self.error("must be a text")
        text = self.value or ""
        if len(text) > _TEXT_LIMIT:
            raise self.error(f"is longer than {_TEXT_LIMIT} characters")
        if text.isascii() and "\0" not in text:
            return text
        # NUL stands in no name, and halves of characters, which JSON can make, in no file.
        return text.replace("\0", "").encode("utf-8", "replace").decode()

    @property
    def name(self) -> str:
        """Return a text that must be there."""
        if not self.text:
            raise self.error("must be a text, and not empty")
        return self.text

    @property
    def word(self) -> str:
        """Return a text, or a whole number as one; an empty one for null and 0."""
        if isinstance(self.value, int):
            return str(self.value)[:_TEXT_LIMIT] if self.value else ""
        return self.text

    def texts(self) -> list[str]:
        """Return the texts of a list that are not empty."""
        return [item.text for item in self if item.text]

    def error(self, cause: str) -> DamagedInputError:
        """Return the error that says what is wrong here."""
        return DamagedInputError(f"{self.what}: {escape_name(self.path)} {cause}")


def read_bytes(path: Path, what: str, limit: int = _LIMIT) -> bytes:
    """Return a file's bytes; ``what`` begins messages.

    Raises:
        ParedownError: it cannot be read.
        DamagedInputError: it is longer than ``limit``.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ParedownError(f"{what}: {error.strerror}") from error
    if len(data) > limit:
        raise DamagedInputError(f"{what}: longer than {limit} bytes")
    return data


def parse(data: bytes, what: str) -> Node:
    """Return the root of a JSON document, an object.

    Raises:
        DamagedInputError: it is none.
    """
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DamagedInputError(f"{what}: not JSON: {escape_name(str(error))}") from error
    if not isinstance(value, dict):
        raise DamagedInputError(f"{what}: $ must be an object")
    return Node(value, what)


def sha256(data: bytes) -> str:
    """Return the digest that names a file."""
    return hashlib.sha256(data).hexdigest()
