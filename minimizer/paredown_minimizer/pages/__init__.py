"""A page to review, as every format shows it: facts, totals, and sections of rows.

What is shown, in which order and in which words is decided where a page is made (the modules
here); a format only lays it out. All texts have had ``escape_name``: no format has to
care for what does not show, but each escapes what is markup to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal

from paredown_schemas.plan import Action, PathAction

# What happens to something ("!": it may be missed), and how something turned out.
Mark = Literal["", "-", "~", "+", "!", "✓", "✗", "?"]
Picture = Literal["", "map", "curve"]
MARKS: dict[Action | PathAction, Mark] = {"remove": "-", "trim": "~", "keep": "+"}
# So many rows of a section are read; who wants more asks for all.
TOP = 25


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column; a name is something of the image, a number ends flush."""

    title: str
    kind: Literal["text", "name", "number"] = "text"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line; ``key`` is of the package that it tells about."""

    cells: tuple[str, ...]
    mark: Mark = ""
    key: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Section:
    """One part of a page; ``name`` is its anchor, ``note`` says what to do about it.

    ``prose`` are paragraphs before the rows, ``code`` are lines to copy after them. ``top`` is how
    many rows are worth a reader's time before the others. A ``chapter`` begins one: the sections up
    to the next are its parts. A format that can draw shows the ``picture``.
    """

    name: str
    title: str
    columns: tuple[Column, ...] = ()
    rows: Sequence[Row] = ()
    note: str = ""
    prose: tuple[str, ...] = ()
    code: str = ""
    picture: Picture = ""
    top: int = TOP
    headed: bool = False  # without the columns' titles the rows say nothing
    first: bool = False  # belongs into the first minute: is never folded away
    detailed: bool = False  # each row is a package, about which a format with room tells more
    chapter: bool = False

    @property
    def head(self) -> int:
        """Return how many rows to show first: a line that says "1 more" could be that row."""
        count = len(self.rows)
        return count if self.top > 0 and count <= self.top + 2 else min(self.top, count)

    @property
    def words(self) -> bool:
        """Say whether it has anything but a picture."""
        return bool(self.rows or self.prose or self.code)


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """All of it; ``answers`` say in a few rows what a reader came to ask."""

    title: str
    facts: Sequence[tuple[str, str]]
    totals: Section
    sections: Sequence[Section]  # those that have something to say
    answers: Section | None = None
    maker: str = "paredown diff"  # the command

    @property
    def chapters(self) -> bool:
        """Say whether it is a document of chapters, and not one list of sections."""
        return any(section.chapter for section in self.sections)


def lean(sections: Iterable[Section]) -> list[Section]:
    """Return the sections that say something, without the columns that do not."""
    return [
        _without_empty(section) if section.rows else section
        for section in sections
        if section.words or section.picture
    ]


def _without_empty(section: Section) -> Section:
    full = [n for n in range(len(section.columns)) if any(row.cells[n] for row in section.rows)]
    rows = [
        dataclasses.replace(row, cells=tuple(row.cells[n] for n in full)) for row in section.rows
    ]
    columns = tuple(section.columns[n] for n in full)
    return dataclasses.replace(section, columns=columns, rows=rows)
