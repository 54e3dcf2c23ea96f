"""The knowledge base: what a program needs at run time that no trace of one run has to show.

One YAML file per topic in rules/, each with the documents that make it true. Rules fire on primary
evidence only, and never on the C library: everything links it, so nothing follows from it.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import importlib.resources
import itertools
import json
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from paredown_minimizer.data import read_data
from paredown_minimizer.elf import Elf
from paredown_minimizer.facts import FACTS, OF_PROGRAM, PROGRAM, Facts
from paredown_minimizer.globs import compile_pattern, expand, fill, placeholders
from paredown_minimizer.loader import Loader
from paredown_minimizer.packages.base import Package
from paredown_schemas.errors import ParedownError

# The objects of glibc and of musl themselves, by soname.
_C_LIBRARY = re.compile(
    r"(ld-(linux|musl)|ld64|libc\.|lib(m|mvec|pthread|dl|rt|util|anl|resolv|nsl|BrokenLocale"
    r"|c_malloc_debug|memusage|pcprofile|thread_db)\.so|libnss_(files|dns|compat|hesiod)\.so).*"
)
_GO_LIMIT = 1 << 29


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """If something of the primary closure is like this, these paths stay."""

    name: str  # topic/name
    imports: frozenset[str] = frozenset()  # symbols that an ELF file imports
    sonames: tuple[str, ...] = ()  # globs over an ELF file's soname
    functions: frozenset[str] = frozenset()  # functions that a Go program has
    paths: tuple[str, ...] = ()  # patterns of paths, with placeholders
    images: bool = False  # fires for every image that has packages
    packages: bool = False  # fires for every package of which a file is left; holds no package
    used: tuple[str, ...] = ()  # globs over the name of a package of which something is used
    keep: tuple[str, ...] = ()  # patterns of what stays
    except_: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()  # sonames that are loaded by name
    yields: bool = False  # a pin that removes beats it
    why: str = ""
    sources: tuple[str, ...] = ()  # the documents that make its topic true


@dataclasses.dataclass(frozen=True, slots=True)
class Firing:
    """What one rule keeps, for one reason."""

    rule: str
    names: tuple[str, ...]  # paths as a program would name them: links are still to be followed
    yields: bool = False


class Rulebook:
    """Applies rules to one image."""

    def __init__(self, rules: tuple[Rule, ...], facts: Facts, loader: Loader) -> None:
        """Index the rules by what triggers them."""
        self._rules = rules
        self.facts = facts
        self._loader = loader
        self._fired: set[tuple[str, frozenset[tuple[str, str]]]] = set()
        self._by_path = [
            (compile_pattern(pattern), rule) for rule in rules for pattern in rule.paths
        ]

    def of_image(self) -> Iterator[Firing]:
        """Yield what every image with packages keeps."""
        for rule in self._rules:
            if rule.images:
                yield from self._fire(rule, {}, None)

    def of_path(self, path: str, elf: Elf | None) -> Iterator[Firing]:
        """Yield what a path of the primary closure makes stay; each only once."""
        for pattern, rule in self._by_path:
            if match := pattern.fullmatch(path):
                yield from self._fire(rule, match.groupdict(), elf)
        if elf is None:
            return
        if is_c_library(elf, path):
            return
        soname = elf.soname or posixpath.basename(path)
        functions = self._functions(path) if elf.is_go else frozenset()
        for rule in self._rules:
            if (
                not rule.imports.isdisjoint(elf.imports)
                or not rule.functions.isdisjoint(functions)
                or any(fnmatch.fnmatchcase(soname, pattern) for pattern in rule.sonames)
            ):
                captures = {PROGRAM: path} if self._asks_program(rule) else {}
                yield from self._fire(rule, captures, elf)

    def _asks_program(self, rule: Rule) -> bool:
        names = (name for pattern in rule.keep for name in placeholders(pattern))
        return not OF_PROGRAM.isdisjoint(names)

    def _functions(self, path: str) -> frozenset[str]:
        """Return which functions that rules know a Go program has.

        Go's line table names every function that the linker kept, each ended by NUL, in stripped
        programs too: panics print them (Go, src/runtime/symtab.go).
        """
        data = self.facts.contents.data(path, _GO_LIMIT)
        known = frozenset[str]().union(*(rule.functions for rule in self._rules))
        return frozenset(name for name in known if b"\0%b\0" % name.encode() in data)

    def of_used(self, package: str) -> Iterator[Firing]:
        """Yield what stays because something of a package, by name, is of the primary closure."""
        for rule in self._rules:
            if any(fnmatch.fnmatchcase(package, pattern) for pattern in rule.used):
                yield from self._fire(rule, {"package": package}, None)

    def of_package(self, name: str) -> Iterator[Firing]:
        """Yield what stays of a package, by name, of which anything stays; holds nothing."""
        for rule in self._rules:
            if rule.packages:
                yield from self._fire(rule, {"package": name}, None)

    @property
    def names(self) -> list[str]:
        """Return the names of all rules."""
        return [rule.name for rule in self._rules]

    def regardless(
        self, names: Collection[str], packages: Iterable[Package], machines: Collection[Elf]
    ) -> Iterator[Firing]:
        """Yield what rules keep as if their triggers were there.

        That is every path of the image that one of a rule's patterns matches, every package, or an
        ELF file of every one of ``machines``.
        """
        tree = self.facts.contents.image.tree
        for rule in (rule for rule in self._rules if rule.name in names):
            for pattern in (pattern for pattern, other in self._by_path if other is rule):
                for path in tree:
                    if match := pattern.fullmatch(path):
                        is_file = tree[path].type == "file"
                        elf = self.facts.contents.elf(path) if is_file else None
                        yield from self._fire(rule, match.groupdict(), elf)
            for package in packages if rule.packages else ():
                yield from self._fire(rule, {"package": package.name}, None)
            if not rule.paths and not rule.packages:
                for machine in machines or (None,):
                    yield from self._fire(rule, {}, machine)

    def _fire(self, rule: Rule, captures: Mapping[str, str], elf: Elf | None) -> Iterator[Firing]:
        # Libraries hang on the machine that asks for them.
        machine = {"": str(elf.machine)} if elf and rule.libraries else {}
        key = (rule.name, frozenset({**captures, **machine}.items()))
        if key in self._fired:
            return
        self._fired.add(key)
        tree = self.facts.contents.image.tree
        excepted = [compile_pattern(p) for p in self._filled(rule.except_, captures)]
        names = [
            name
            for pattern in self._filled(rule.keep, captures)
            for name in expand(tree, pattern)
            if not any(exception.fullmatch(name) for exception in excepted)
        ]
        if elf:
            for soname in self._filled(rule.libraries, captures):
                names += self._loader.find_anywhere(elf, soname)
        if names:
            yield Firing(rule.name, tuple(names), rule.yields)

    def _filled(self, patterns: tuple[str, ...], captures: Mapping[str, str]) -> Iterator[str]:
        for pattern in patterns:
            names = placeholders(pattern)
            choices = [
                [captures[name]] if name in captures else FACTS[name](self.facts, captures)
                for name in names
            ]
            for values in itertools.product(*choices):
                yield fill(pattern, dict(zip(names, values, strict=True)))


def is_c_library(elf: Elf, path: str) -> bool:
    """Say whether an ELF file is part of glibc's or musl's C library itself."""
    return _C_LIBRARY.fullmatch(elf.soname or posixpath.basename(path)) is not None


@functools.cache
def load_rules() -> tuple[Rule, ...]:
    """Read every topic of the knowledge base.

    Raises:
        ParedownError: a file is not as rules/rules.schema.json says, or names an unknown fact.
    """
    import fastjsonschema  # noqa: PLC0415 - late, as it costs 50 ms
    import yaml  # noqa: PLC0415

    directory = importlib.resources.files("paredown_minimizer") / "rules"
    schema = json.loads((directory / "rules.schema.json").read_text("utf-8"))
    validate = fastjsonschema.compile(schema)
    rules: list[Rule] = []
    for file in sorted(directory.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".yaml"):
            continue
        try:
            topic = read_data("rules", file.name)
            validate(topic)
            name, sources = file.name.removesuffix(".yaml"), tuple(topic["sources"])
            rules += [parse_rule(name, record, sources) for record in topic["rules"]]
        except (yaml.YAMLError, fastjsonschema.JsonSchemaException, KeyError) as error:
            raise ParedownError(f"cannot read rules {file.name}: {error}") from error
    return tuple(rules)


def parse_rule(topic: str, record: Mapping[str, Any], sources: tuple[str, ...] = ()) -> Rule:
    """Return the rule that a record says; the schema has been checked.

    Raises:
        KeyError: it names an unknown fact.
    """
    when = record["when"]
    rule = Rule(
        name=f"{topic}/{record['name']}",
        imports=frozenset(when.get("imports", ())),
        sonames=tuple(when.get("sonames", ())),
        functions=frozenset(when.get("functions", ())),
        paths=tuple(when.get("paths", ())),
        images=when.get("every") == "image",
        packages=when.get("every") == "package",
        used=tuple(when.get("packages", ())),
        keep=tuple(record.get("keep", ())),
        except_=tuple(record.get("except", ())),
        libraries=tuple(record.get("libraries", ())),
        yields=record.get("yields", False),
        why=record["why"],
        sources=sources,
    )
    for pattern in rule.keep + rule.libraries + rule.except_:
        for name in placeholders(pattern):
            captured = (rule.packages or bool(rule.used)) and name == "package"
            captured = captured or any(name in placeholders(path) for path in rule.paths)
            if not captured and name not in FACTS:
                raise KeyError(f"{rule.name}: unknown {{{name}}}")
    return rule
