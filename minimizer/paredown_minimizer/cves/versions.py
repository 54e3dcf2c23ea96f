"""The order of versions, as each package manager has it.

univers is right about dpkg's and rpm's (tests/unit/test_versions.py compares it with both), and
not about apk's: it refuses suffixes such as _git, and its <= and >= compare texts. So apk's order
is here, and nothing but < is asked of the others.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

# apk-tools, src/version.c: digits, a letter, suffixes, a commit's hash, the revision.
_APK = re.compile(
    r"(?P<numbers>\d+(?:\.\d+)*)(?P<letter>[a-z]?)(?P<suffixes>(?:_[a-z]+\d*)*)"
    r"(?:~[0-9a-f]+)?(?:-r(?P<revision>\d+))?"
)
_SUFFIX = re.compile(r"_([a-z]+)(\d*)")
_SUFFIXES = {
    **{name: rank for rank, name in enumerate(("alpha", "beta", "pre", "rc"), -4)},
    **{name: rank for rank, name in enumerate(("cvs", "svn", "git", "hg", "p"), 1)},
}
_LIMIT = 256  # what is longer is no version, and Maven's order takes a call for each part
# What univers raises of texts that are no versions.
_DAMAGE = (ValueError, TypeError, AttributeError, IndexError, OverflowError)


class UnknownVersionError(Exception):
    """A text that is no version of its kind."""


def key(manager: str, version: str) -> Any:
    """Return what sorts as the version does among those of one package manager, by ``<`` alone.

    Raises:
        UnknownVersionError: it is no version.
    """
    try:
        return _key(manager, version)
    except _DAMAGE as error:
        raise UnknownVersionError(version) from error


@functools.lru_cache(maxsize=1 << 16)
def _key(manager: str, version: str) -> Any:
    if len(version) > _LIMIT:
        raise ValueError(version)
    return _KEYS[manager](version)


def _apk(version: str) -> Any:
    match = _APK.fullmatch(version)
    if match is None:
        raise ValueError(version)
    first, *others = match["numbers"].split(".")
    numbers = ((int(first), 0), *map(_component, others))
    suffixes = [
        (_SUFFIXES.get(name, 0), int(number or 0))
        for name, number in _SUFFIX.findall(match["suffixes"])
    ]
    return numbers, match["letter"], (*suffixes, (0, 0)), int(match["revision"] or 0)


def _component(digits: str) -> tuple[int, int]:
    """Behind the first dot, zeros in front make a number smaller than any without: 1.02 < 1.1."""
    rest = digits.lstrip("0")
    zeros = len(digits) - len(rest)
    return (-zeros, int(rest or -1)) if zeros else (int(digits), 0)


def _univers(name: str) -> Callable[[str], Any]:
    def make(version: str) -> Any:
        from univers import versions  # noqa: PLC0415 - 0.1 s, for those who have records

        return getattr(versions, name)(version).value

    return make


_KEYS: dict[str, Callable[[str], Any]] = {
    "apk": _apk,
    "composer": _univers("ComposerVersion"),
    "dpkg": _univers("DebianVersion"),
    "gem": _univers("RubygemsVersion"),
    "java": _univers("MavenVersion"),
    "npm": _univers("SemverVersion"),
    "python": _univers("PypiVersion"),
    "rpm": _univers("RpmVersion"),
}
