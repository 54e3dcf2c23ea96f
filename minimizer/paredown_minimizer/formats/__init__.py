"""How a review is written: one module per format, found by name and imported when asked for."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from paredown_minimizer.comparison import Comparison
from paredown_minimizer.review import Review

# What a person asks for, and the module here that writes it.
FORMATS = {
    "table": "table",
    "list": "listing",
    "json": "document",
    "markdown": "markdown",
    "html": "html",
}


class Format(Protocol):
    """A module that writes reviews."""

    def review(self, review: Review) -> str:
        """Return the text of a plan's review."""
        ...

    def comparison(self, comparison: Comparison) -> str:
        """Return the text of what changed between two plans."""
        ...


def find_format(name: str) -> Format:
    """Return the format called ``name``, one of ``FORMATS``."""
    return cast("Format", importlib.import_module(f"{__name__}.{FORMATS[name]}"))
