"""A table that a person reads from top to bottom in a terminal; long sections are folded."""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.comparison import Comparison
from paredown_minimizer.output import align
from paredown_minimizer.pages import Page, Section
from paredown_minimizer.pages.comparison import comparison_page
from paredown_minimizer.pages.review import review_page
from paredown_minimizer.review import Review


def review(review: Review) -> str:
    """Return the table of a plan's review."""
    return _text(review_page(review))


def comparison(comparison: Comparison) -> str:
    """Return the table of what changed between two plans."""
    return _text(comparison_page(comparison))


def _text(page: Page) -> str:
    return "".join(line + "\n" for line in _lines(page))


def _lines(page: Page) -> Iterator[str]:
    yield from align(page.facts)
    yield ""
    yield from _rows(page.totals)
    for section in page.sections:
        if not section.words:
            continue
        yield ""
        yield section.title
        yield from _rows(section)
        if section.note:
            yield f"  {section.note}"


def _rows(section: Section) -> Iterator[str]:
    shown = section.rows[: section.head]
    headings = [tuple(column.title for column in section.columns)] if section.headed else []
    right = [n for n, column in enumerate(section.columns) if column.kind == "number"]
    table = [*headings, *(row.cells for row in shown)]
    lines = align(table, right) if table else []
    marks = ["" for _ in headings] + [f"{row.mark} " if row.mark else "" for row in shown]
    yield from (mark + line for mark, line in zip(marks, lines, strict=True))
    if rest := len(section.rows) - len(shown):
        yield f"  {'and ' if shown else ''}{rest:,} {'more' if shown else 'places'}: --format list"
