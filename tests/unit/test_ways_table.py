"""docs/ways.md and the tests of ways say the same."""

from __future__ import annotations

import collections
from pathlib import Path

from ways import document
from ways_table import WAYS

DOCS = Path(__file__).parent.parent.parent / "docs"


def test_the_page_is_the_table() -> None:
    """After a change: python tests/helpers/ways_table.py >docs/ways.md."""
    assert (DOCS / "ways.md").read_text("utf-8") == document(WAYS)


def test_each_way_has_files_of_its_own() -> None:
    assert max(collections.Counter(way.name for way in WAYS).values()) == 1
