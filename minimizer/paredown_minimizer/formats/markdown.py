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
# Of a document of chapters, which lies in a file: GitHub shows one as text beyond 512 KB.
DOCUMENT_LIMIT = 400_000
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


def report(page: Page) -> str:
    """Return the Markdown of a document of chapters."""
    return _text(page)


def _text(page: Page) -> str:
    sections = [section for section in page.sections if section.words]
    shown = _shares(sections, DOCUMENT_LIMIT if page.chapters else LIMIT)
    lines = [f"{'#' if page.chapters else '###'} {_inline(page.title)}", ""]
    if page.answers:
        lines += [*map(_answer, page.answers.rows), ""]
    lines += [
        *_table(page.totals, page.totals.rows),
        "",
        *(f"- {_plain(label)}: {_inline(text)}" for label, text in page.facts),
    ]
    layout = _part if page.chapters else _section
    for section, count in zip(sections, shown, strict=True):
        lines += ["", *layout(section, count)]
    return "\n".join(lines) + "\n"


def _answer(row: Row) -> str:
    first, *others = row.cells
    return f"- {_plain(row.mark)} **{_plain(first)}**: {_inline(' '.join(others), limit=None)}"


def _part(section: Section, count: int) -> Iterator[str]:
    """Lay out a part of a document: its head is shown, the rest is folded."""
    yield f"{'##' if section.chapter else '###'} {_inline(section.title)}"
    yield ""
    for text in (*section.prose, *filter(None, [section.note])):
        yield from (_inline(text, limit=None), "")
    if section.rows:
        head = min(count, section.head)
        yield from _rows(section, section.rows[:head])
        if rest := len(section.rows) - head:
            yield from (f"<details><summary>{'and ' if head else ''}{rest:,} more</summary>", "")
            yield from _rows(section, section.rows[head:count])
            yield from _left_out(section, count)
            yield from ("</details>", "")
    if section.code:
        yield from (*_fenced(section.code), "")


def _fenced(code: str) -> list[str]:
    """A fence is longer than any in it (CommonMark 4.5): nothing within is markup."""
    ticks = max((len(found) for found in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, ticks + 1)
    return [f"{fence}sh", *code.rstrip("\n").split("\n"), fence]


def _shares(sections: Sequence[Section], limit: int) -> list[int]:
    """Return how many rows of each section fit: first what is worth most of each, then the rest."""
    left = limit - _FRAME * (len(sections) + 2)
    left -= sum(len("".join((*section.prose, section.code)).encode()) for section in sections)
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


def _section(section: Section, count: int) -> Iterator[str]:
    title = _inline(section.title)
    if section.first:
        yield f"**{title}**"
    else:
        yield f"<details><summary>{title}</summary>"
    yield ""
    yield from _rows(section, section.rows[:count])
    yield from _left_out(section, count)
    if section.note:
        yield _plain(section.note)
        yield ""
    if not section.first:
        yield "</details>"


def _rows(section: Section, rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        yield from _table(section, rows)
        yield ""


def _left_out(section: Section, count: int) -> Iterator[str]:
    if rest := len(section.rows) - count:
        shown = "and " if count else ""
        yield f"{shown}{rest:,} more: <code>paredown diff PLAN --format list</code>"
        yield ""


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


def _inline(text: str, limit: int | None = _CELL) -> str:
    return _code(text, limit) if _ACTIVE.search(text) else _plain(text, limit)


def _code(text: str, limit: int | None = _CELL) -> str:
    return f"<code>{_plain(text, limit)}</code>" if text else ""


def _plain(text: str, limit: int | None = _CELL) -> str:
    text = text if limit is None or len(text) <= limit else text[: limit - 1] + "…"
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", text)
