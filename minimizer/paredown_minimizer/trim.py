"""What of a used package no program reads at run time: documentation, headers, other languages.

trim.yaml holds the kinds of such files, each with the documents that make it true. A kind stays
where a program is used that reads files of it: a compiler keeps headers.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping

from paredown_minimizer.data import read_data
from paredown_minimizer.facts import FACTS, Facts
from paredown_minimizer.globs import any_of, compile_pattern, fill, placeholders
from paredown_schemas.plan import Granularity


@dataclasses.dataclass(frozen=True, slots=True)
class Granularities:
    """How much of each used package stays."""

    default: Granularity
    # What the policy says, with its reason, by package key.
    named: Mapping[str, tuple[Granularity, str]] = dataclasses.field(default_factory=dict)

    def of(self, package: str) -> Granularity:
        """Return that of a package."""
        return self.named[package][0] if package in self.named else self.default


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """Files that no program reads at run time, but for its ``readers``; all are path patterns."""

    name: str
    paths: tuple[str, ...]
    except_: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()


class Trim:
    """Tells what of one image's used packages can go."""

    def __init__(self, facts: Facts) -> None:
        """Read the kinds, and which languages the image asks for."""
        self._kinds = {
            kind.name: (any_of(kind.paths), any_of(tuple(_filled(kind.except_, facts))))
            for kind in load_kinds()
        }
        self._readers = [
            (compile_pattern(pattern), kind.name)
            for kind in load_kinds()
            for pattern in kind.readers
        ]

    def kind(self, path: str) -> str | None:
        """Return the kind of files that nothing reads that ``path`` is one of; None for others."""
        for name, (paths, excepted) in self._kinds.items():
            if paths.fullmatch(path) and not excepted.fullmatch(path):
                return name
        return None

    def spare_for(self, path: str) -> bool:
        """Trim nothing more that the used file at ``path`` reads; say whether that is news."""
        read = {
            name
            for pattern, name in self._readers
            if name in self._kinds
            if pattern.fullmatch(path)
        }
        for name in read:
            del self._kinds[name]
        return bool(read)


def trimmed_as(path: str, kinds: Iterable[str]) -> str | None:
    """Return which of ``kinds``, by name, a path that goes is one of; the image is not asked."""
    names = set(kinds)
    found = (k.name for k in load_kinds() if k.name in names and any_of(k.paths).fullmatch(path))
    return next(found, None)


@functools.cache
def load_kinds() -> tuple[Kind, ...]:
    """Read trim.yaml."""
    return tuple(_kind(record) for record in read_data("trim.yaml"))


def _kind(record: Mapping[str, list[str]]) -> Kind:
    fields = (tuple(record.get(name, ())) for name in ("paths", "except", "readers"))
    return Kind(str(record["kind"]), *fields)


def _filled(patterns: tuple[str, ...], facts: Facts) -> Iterator[str]:
    for pattern in patterns:
        names = placeholders(pattern)
        for values in itertools.product(*(FACTS[name](facts, {}) for name in names)):
            yield fill(pattern, dict(zip(names, values, strict=True)))
