"""What an image says that it is: os-release (freedesktop.org, os-release(5))."""

from __future__ import annotations

import shlex

from paredown_minimizer.contents import Contents
from paredown_schemas.plan import Distribution

_PLACES = ("/etc/os-release", "/usr/lib/os-release")
_LIMIT = 1 << 16


def distribution(contents: Contents) -> Distribution | None:
    """Return the image's distribution; None where it does not say, or says no ID."""
    text = next(filter(None, (contents.text(place, _LIMIT) for place in _PLACES)), "")
    values = dict(_assignment(line) for line in text.splitlines() if "=" in line)
    if not values.get("ID"):
        return None
    return Distribution(
        values["ID"], values.get("VERSION_ID") or None, values.get("PRETTY_NAME") or None
    )


def _assignment(line: str) -> tuple[str, str]:
    """Quoted as a shell does; what a shell would not take has no value."""
    name, _, value = line.strip().partition("=")
    try:
        words = shlex.split(value)
    except ValueError:
        words = []
    return name, words[0] if len(words) == 1 else ""
