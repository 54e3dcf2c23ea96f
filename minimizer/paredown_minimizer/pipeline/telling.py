"""How the steps go, for people: on a terminal what is being done, elsewhere a line per step."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from paredown_minimizer.output import say
from paredown_minimizer.pipeline.steps import Made
from paredown_schemas.names import escape_name

_SHOWN = 10


class Lines:
    """Lines on standard error; ``status`` is rich's, where that is a terminal."""

    def __init__(self, image: str, status: Any = None) -> None:
        self._image = escape_name(image)
        self._status = status

    def begins(self, step: str, why: str) -> None:
        """Say what is being done, and why again."""
        line = f"{self._image}: {escape_name(step)}" + (f" ({why})" if why else "")
        if self._status is None:
            say(f"{line} …")
        else:
            from rich.text import Text  # noqa: PLC0415

            self._status.update(Text(line))
            self._status.start()

    def as_before(self, step: str, told: str) -> None:
        """Say that nothing was to be done."""
        say(f"{self._image}: {escape_name(step)}: as before: {told}")

    def ended(self, step: str, made: Made | None, seconds: float) -> None:
        """Say what it came to; an error is told by who catches it."""
        if self._status is not None:
            self._status.stop()
        took = f" ({seconds:.1f} s)" if seconds else ""
        if made is None:
            say(f"{self._image}: {escape_name(step)}: came to nothing{took}")
            return
        refused = "" if made.passed else "FAILED: "
        say(f"{self._image}: {escape_name(step)}: {refused}{made.told}{took}")
        for warning in made.warnings[:_SHOWN]:
            say(f"    {warning}")
        if len(made.warnings) > _SHOWN:
            say(f"    and {len(made.warnings) - _SHOWN:,} more")


@contextlib.contextmanager
def progress(image: str) -> Iterator[Lines]:
    """Yield who tells of an image's steps."""
    if not sys.stderr.isatty():
        yield Lines(image)
        return
    from rich.console import Console  # noqa: PLC0415 - takes as long as a small image

    status = Console(stderr=True).status("", spinner="line")
    try:
        yield Lines(image, status)
    finally:
        status.stop()
