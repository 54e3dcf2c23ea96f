"""The review as Markdown, read by a renderer of its own: what a site would show."""

from __future__ import annotations

import dataclasses
import re

import pytest
from markdown_it import MarkdownIt

from hostile_names import HOSTILE
from paredown_minimizer.formats.markdown import LIMIT, review
from paredown_minimizer.pages.review import review_page
from paredown_minimizer.review import review_plan
from paredown_schemas.plan import Evidence, ListedPaths, Plan
from plans import example_plan, full_plan, package
from shown import Shown

TAGS = {
    *("h3", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "code", "strong"),
    *("details", "summary"),
}


def _read(plan: Plan) -> Shown:
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return Shown(markdown.render(review(review_plan(plan))))


def test_a_renderer_shows_every_cell_as_it_is() -> None:
    plan = full_plan()
    shown = [row for row in _read(plan).rows if row]
    for section in review_page(review_plan(plan)).sections:
        for row in section.rows:
            cells = [*([row.mark] if row.mark else []), *row.cells]
            assert [cell.strip() for cell in cells] in shown


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_no_markup(name: str) -> None:
    odd = package(name, "keep", 1, 2, 100)
    plan = full_plan(
        packages=(odd, dataclasses.replace(odd, name=name + "2", action="remove", kept_files=0)),
        evidence=(Evidence(f"/{name}", "pinned", detail=name, package=odd.key),),
        removed=(ListedPaths(odd.key, f"/{name}", (name, name)),),
        **{
            field: tuple(
                dataclasses.replace(each, **dict.fromkeys(texts, name))
                for each in getattr(full_plan(), field)
            )
            for field, texts in {
                "risks": ("package", "path", "named_by"),
                "pins": ("target", "reason"),
                "left_out": ("exe", "reason"),
                "exposed": ("name", "detail"),
                "unrecorded": ("facet", "why"),
                "layers": ("created_by",),
                "traces": ("scenario",),
                "unowned": ("handed",),
            }.items()
        },
    )
    read = _read(plan)
    assert read.tags <= TAGS
    assert read.attributes <= {"style"}  # the renderer's own, of columns that end flush
    assert not re.search(r"[@#](?=\w)|www\.|://|GH-\d|:tada:|\u202e|\x1b", read.plain)
    assert {len(row) for row in read.rows} <= set(range(2, 9))
    assert len(review(review_plan(plan)).encode()) <= LIMIT


def test_what_does_not_fit_is_counted() -> None:
    packages = tuple(package(f"p{n:05}", "remove", 0, 9, 99) for n in range(3000))
    plan = example_plan(packages=packages, removed=())
    text = review(review_plan(plan))
    assert LIMIT * 0.8 < len(text.encode()) <= LIMIT
    rows = len(re.findall(r"^\| - \| <code>p\d{5}", text, re.MULTILINE))
    assert f"and {3000 - rows:,} more: <code>paredown diff PLAN --format list</code>" in text
    assert text.rstrip().endswith("</details>")


def test_hostile_names_leave_room_for_every_section() -> None:
    """Names as long as a kernel takes them; each section keeps its title and its count."""
    packages = tuple(package(f"{'🦆' * 1000}{n}", "remove", 0, 9, 99) for n in range(3000))
    text = review(review_plan(full_plan(packages=packages)))
    assert len(text.encode()) <= LIMIT
    for section in review_page(review_plan(full_plan())).sections:
        if section.words and section.name not in ("removed", "kept", "trimmed"):
            assert section.title.split(":")[0] in text, section.name
