"""Markdown for a pull request's comment or a CI job's summary: GitHub's and GitLab's dialect.

A comment of GitHub takes 65,536 characters, a summary 1 MiB. What does not fit is counted, never
left out in silence. Names come from hostile images: every character that could be markup is written
as a character reference, which CommonMark (section 2.5) never takes for markup, and what the site
itself would turn into a mention, a reference or a link stands in <code>, where it looks for none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from paredown_minimizer.comparison import Comparison
from paredown_minimizer.pages import Column, Page, Row, Section
from paredown_minimizer.pages.comparison import comparison_page
from paredown_minimizer.pages.review import review_page
from paredown_minimizer.review import Review

LIMIT = 60_000  # bytes
_CELL = 240  # characters: a hostile name must not take the room of everything else
# Titles, headings and what is said about the rest, per section.
_FRAME = 800
_MARKUP = re.compile(r"[^\w ,.:;()/…+%?!-]|_")
# Mentions, references (GitLab knows many), links, emoji.
_ACTIVE = re.compile(r"[@#!~%$&^](?=\S)|[\[\]]|//|www\.|:\S*:|gh-\d|[0-9a-f]{40}", re.IGNORECASE)


def review(review: Review) -> str:
    """Return the Markdown of a plan's review."""
    return _text(review_page(review))


def comparison(comparison: Comparison) -> str:
    """Return the Markdown of what changed between two plans."""
    return _text(comparison_page(comparison))


def _text(page: Page) -> str:
    shown = _shares(page.sections)
    lines = [
        f"### {_plain(page.title)}",
        "",
        *_table(page.totals, page.totals.rows),
        "",
        *(f"- {_plain(label)}: {_inline(text)}" for label, text in page.facts),
    ]
    for section, count in zip(page.sections, shown, strict=True):
        lines += ["", *_section(section, section.rows[:count])]
    return "\n".join(lines) + "\n"


def _shares(sections: Sequence[Section]) -> list[int]:
    """Return how many rows of each section fit: first what is worth most of each, then the rest."""
    left = LIMIT - _FRAME * (len(sections) + 2)
    counts = [0] * len(sections)
    for whole in (False, True):
        for number, section in enumerate(sections):
            end = len(section.rows) if whole else section.head
            for row in section.rows[counts[number] : end]:
                left -= len(_row(section.columns, row).encode()) + 1
                if left < 0:
                    return counts
                counts[number] += 1
    return counts


def _section(section: Section, rows: Sequence[Row]) -> Iterator[str]:
    title = _inline(section.title)
    if section.first:
        yield f"**{title}**"
    else:
        yield f"<details><summary>{title}</summary>"
    yield ""
    if rows:
        yield from _table(section, rows)
        yield ""
    if rest := len(section.rows) - len(rows):
        shown = "and " if rows else ""
        yield f"{shown}{rest:,} more: <code>paredown diff PLAN --format list</code>"
        yield ""
    if section.note:
        yield _plain(section.note)
        yield ""
    if not section.first:
        yield "</details>"


def _table(section: Section, rows: Sequence[Row]) -> Iterator[str]:
    marked = any(row.mark for row in section.rows)
    titles = [*([""] if marked else []), *(column.title for column in section.columns)]
    yield "| " + " | ".join(_plain(title) or " " for title in titles) + " |"
    rules = [*(["---"] if marked else []), *map(_rule, section.columns)]
    yield "|" + "|".join(rules) + "|"
    yield from (_row(section.columns, row) for row in rows)


def _rule(column: Column) -> str:
    return "--:" if column.kind == "number" else "---"


def _row(columns: Sequence[Column], row: Row) -> str:
    cells = [
        _code(cell) if column.kind == "name" else _inline(cell)
        for column, cell in zip(columns, row.cells, strict=True)
    ]
    return "| " + " | ".join([*([_plain(row.mark)] if row.mark else []), *cells]) + " |"


def _inline(text: str) -> str:
    return _code(text) if _ACTIVE.search(text) else _plain(text)


def _code(text: str) -> str:
    return f"<code>{_plain(text)}</code>" if text else ""


def _plain(text: str) -> str:
    text = text if len(text) <= _CELL else text[: _CELL - 1] + "…"
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", text)
