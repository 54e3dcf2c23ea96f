"""Programs by name: which kinds of the attack surface a file's name says that it is."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer.data import read_data

# gcc-12, python3.11, perl5.36.0, bash5
_VERSION = re.compile(r"-?[0-9]+(\.[0-9]+)*$")
# x86_64-linux-gnu-gcc, and perl5.36-x86_64-linux-gnu
_PLATFORM = re.compile(r"^[a-z0-9_]+-linux-[a-z0-9]+-|-[a-z0-9_]+-linux-[a-z0-9]+$")


@dataclasses.dataclass(frozen=True)
class Names:
    """The data files of this directory."""

    kinds: Mapping[str, AbstractSet[str]]
    uses: Mapping[str, tuple[str, ...]]  # of what lives off the land, by name
    several_in_one: AbstractSet[str]
    variants: AbstractSet[str]
    no_programs: tuple[str, ...]

    def known_as(self, name: str, known: AbstractSet[str]) -> str | None:
        """Return which of the names in ``known`` a file's name stands for."""
        return next((form for form in self._forms(name) if form in known), None)

    def _forms(self, name: str) -> Iterator[str]:
        """The name itself, then without what tells one build of a program from another."""
        yield name
        name = _PLATFORM.sub("", name)
        stem, _, variant = name.rpartition(".")
        name = stem if stem and variant in self.variants else name
        yield name
        yield _VERSION.sub("", name)


@functools.cache
def load_names() -> Names:
    """Read the data files."""
    programs = read_data("surface", "programs.yaml")
    land = read_data("surface", "living-off-the-land.yaml")["programs"]
    return Names(
        kinds={kind: frozenset(names) for kind, names in programs["kinds"].items()},
        uses={name: tuple(uses) for name, uses in land.items()},
        several_in_one=frozenset(programs["several_in_one"]),
        variants=frozenset(programs["variants"]),
        no_programs=tuple(programs["no_programs"]),
    )
