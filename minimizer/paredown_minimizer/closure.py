"""What stays, from what was used: how far each kind of evidence reaches.

Primary evidence (traced, root, pinned) and all that it leads to closes over linked, interpreter,
script, rule, derived, and over symlinks both ways. What is only owned, by a package that stays
whole or by nobody, closes over linked and over its own links' targets, no further: closing over the
interpreters of every script that a package brings, or over Depends, would keep half of the image.
Breadth first, so that each path is reached by a shortest chain.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from paredown_minimizer.contents import Contents
from paredown_minimizer.distributions import source_of_bytecode
from paredown_minimizer.elf import Elf
from paredown_minimizer.image.model import join, parent
from paredown_minimizer.loader import Context, Loader
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.rulebook import Firing, Rulebook
from paredown_minimizer.scripts import Shebang
from paredown_minimizer.shell_commands import is_shell
from paredown_minimizer.trim import Granularities, Trim
from paredown_minimizer.yielding import Yielding
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Evidence

# How a traced script was started; and where commands lie (hier(7)), which are started by name.
_STARTED = {"exec", "script", "interpreter"}
_COMMANDS = ("/bin", "/sbin")
# A manager starts no package without those that it depends on: their records must stay.
_NEEDS = "languages/dependency"


class Reach(enum.IntEnum):
    """How far what holds a path reaches; lower is further."""

    PRIMARY = 0
    OWNED = 1
    ALONE = 2  # holds neither a package nor other paths: links to directories, licences, derived


class BlockedError(Exception):
    """Something primary needs a path that a pin removes; the chain starts with that path."""

    def __init__(self, chain: tuple[Evidence, ...]) -> None:
        """Take the chain of evidence."""
        super().__init__(chain)
        self.chain = chain


class Closure:
    """The evidence of one decision, grown until nothing new follows."""

    def __init__(
        self,
        contents: Contents,
        inventory: Inventory,
        loader: Loader,
        rulebook: Rulebook,
        granularities: Granularities,
        trim: Trim,
        blocked: AbstractSet[str] = frozenset(),
        yielding: Yielding | None = None,
    ) -> None:
        """Begin with nothing; ``blocked``: pins remove it."""
        self.evidence: dict[str, Evidence] = {}
        self.reach: dict[str, Reach] = {}
        self.whole_packages: set[str] = set()
        self.trimmed_packages: set[str] = set()
        self._started: set[str] = set()  # the packages of which something is held
        self._contents = contents
        self._tree = contents.image.tree
        self._inventory = inventory
        self._loader = loader
        self._rulebook = rulebook
        self._granularities = granularities
        self._trim = trim
        self._blocked = blocked
        self.yielding = yielding or Yielding({}, {})
        self._queue: collections.deque[tuple[str, Context | None]] = collections.deque()
        self._linked: set[tuple[str, Context]] = set()
        self._read_by_shell: set[str] = set()
        self._used: set[str] = set()  # the packages of which something primary is held

    def hold(self, name: str, reach: Reach, kind: Evidence) -> bool:
        """Hold what ``name`` leads to, with the links passed on the way.

        ``kind`` is the evidence, its path still to be resolved. Returns False if nothing is there,
        or the policy lets it go.
        """
        resolved = self._tree.resolve(name, follow_last=False)
        if resolved is None:
            return False
        self._add(resolved.path, reach, dataclasses.replace(kind, path=resolved.path))
        if resolved.path not in self.reach:
            return False
        for link in resolved.links:
            self._add(link, Reach.ALONE, Evidence(link, "symlink", resolved.path, "on its way"))
        return True

    @property
    def staying_packages(self) -> AbstractSet[str]:
        """Return the packages that stay: whole, or but for what no program reads."""
        return self.whole_packages | self.trimmed_packages

    def hold_by_rules(self) -> None:
        """Hold what every image keeps."""
        for firing in self._rulebook.of_image():
            for name in firing.names:
                self.hold(name, Reach.PRIMARY, Evidence("", "rule", None, firing.rule))

    def run(self) -> None:
        """Follow everything held until nothing new follows."""
        while self._queue:
            path, context = self._queue.popleft()
            entry = self._tree[path]
            reach = self.reach[path]
            if entry.type == "symlink":
                self._follow_link(path, entry.target or "", reach)
            elif entry.type == "file":
                self._follow_file(path, reach, context)
            if reach == Reach.PRIMARY and entry.type != "directory":
                self._follow_primary(path)
            if reach != Reach.ALONE and not self._tree.leads_to_directory(path):
                self._hold_packages(path)

    def fork(self) -> Closure:
        """Return a closure that begins with all that this one holds, and may grow on its own.

        It holds no packages, and nothing that it needs is blocked or gives way.
        """
        other = Closure(
            self._contents,
            self._inventory,
            self._loader,
            self._rulebook,
            Granularities("file"),
            Trim(self._rulebook.facts),
        )
        other.evidence, other.reach = dict(self.evidence), dict(self.reach)
        other._linked, other._started = set(self._linked), set(self._started)
        return other

    def chain(self, path: str) -> tuple[Evidence, ...]:
        """Return the evidence from ``path`` to what nothing else has to hold."""
        chain = []
        while path in self.evidence and self.evidence[path] not in chain:
            chain.append(self.evidence[path])
            path = chain[-1].by or ""
        return tuple(chain)

    def _add(
        self, path: str, reach: Reach, evidence: Evidence, context: Context | None = None
    ) -> None:
        if path in self._blocked:
            if reach == Reach.PRIMARY:
                raise BlockedError((evidence, *self.chain(evidence.by or "")))
            return
        if self._gives_way(evidence, reach):
            return
        known = self.reach.get(path)
        if known is None or reach < known:
            self.reach[path] = reach
            self.evidence[path] = evidence
            self._queue.append((path, context))
        elif context is not None and (path, context) not in self._linked:
            self._queue.append((path, context))

    def _gives_way(self, evidence: Evidence, reach: Reach) -> bool:
        def is_firm() -> bool:
            # A library's name is a link as a rule.
            links = self.chain(evidence.by or "") if evidence.kind == "symlink" else ()
            return reach == Reach.PRIMARY or any(e.kind == "linked" for e in (evidence, *links))

        return self.yielding.gives_way(evidence, is_firm)

    def _follow_link(self, path: str, target: str, reach: Reach) -> None:
        name = target if target.startswith("/") else join(parent(path), target)
        # A link to a directory keeps the directory, so that it does not dangle, and no more.
        reach = Reach.ALONE if self._tree.leads_to_directory(path) else reach
        self.hold(name, reach, Evidence("", "symlink", path, "its target"))

    def _follow_file(self, path: str, reach: Reach, context: Context | None) -> None:
        if reach == Reach.ALONE:
            return
        elf = self._contents.elf(path)
        if elf is not None:
            self._follow_elf(path, elf, reach, context or self._loader.context(elf))
        elif reach == Reach.PRIMARY:
            self._follow_script(path)

    def _follow_elf(self, path: str, elf: Elf, reach: Reach, context: Context) -> None:
        if (path, context) in self._linked:
            return
        self._linked.add((path, context))
        if elf.interpreter:
            self.hold(elf.interpreter, reach, Evidence("", "linked", path, "PT_INTERP"))
        below = self._loader.inherited(path, elf, context)
        for soname in (*elf.needed, *elf.dlopened):
            for name in self._loader.find(path, elf, soname, context):
                self.hold(name, reach, Evidence("", "linked", path, soname))
                resolved = self._tree.resolve(name)
                if below != Context("glibc") and resolved is not None:
                    evidence = Evidence(resolved.path, "linked", path, soname)
                    self._add(resolved.path, reach, evidence, below)

    def _follow_script(self, path: str) -> None:
        shebang = self._contents.shebang(path)
        if shebang is not None and self._is_started(path):
            self.hold(shebang.interpreter, Reach.PRIMARY, Evidence("", "interpreter", path))
            if shebang.command:
                evidence = Evidence("", "interpreter", path, shebang.command)
                for name in self._rulebook.facts.commands(shebang.command):
                    self.hold(name, Reach.PRIMARY, evidence)
        if self._is_run_by_shell(path, shebang):
            self._follow_shell(path)

    def _is_run_by_shell(self, path: str, shebang: Shebang | None) -> bool:
        """Say whether a shell reads a script, started by its first line, or as its argument."""
        of_shell = shebang is not None and is_shell(shebang.interpreter, shebang.command)
        if of_shell and self._is_started(path):
            return True
        evidence = self.evidence[path]
        read = evidence.kind in ("root", "pinned") or any(is_shell(e) for e in evidence.exes)
        return read and (of_shell or (shebang is None and path.endswith(".sh")))

    def _follow_shell(self, script: str) -> None:
        """Hold what a script names, whether or not a run took the branch that it stands in."""
        facts = self._rulebook.facts
        pending = [script]
        while pending:
            path = pending.pop()
            if path in self._read_by_shell or self._contents.elf(path) is not None:
                continue
            self._read_by_shell.add(path)
            named = self._contents.named(path)
            for command in named.commands:
                for name in facts.commands(command):
                    self._hold_named(name, Evidence("", "script", path, command))
            for source in named.sourced:
                for name in facts.sourced(source):
                    self._hold_named(name, Evidence("", "script", path, source))
                    pending.append(self._tree.canonical(name))

    def _hold_named(self, name: str, evidence: Evidence) -> None:
        """Hold what a script names, unless a pin removes it: naming is not using."""
        resolved = self._tree.resolve(name)
        if resolved and self._blocked.isdisjoint([*resolved.links, resolved.path]):
            self.hold(name, Reach.PRIMARY, evidence)

    def _is_started(self, path: str) -> bool:
        """Say whether the kernel would read a script's first line, and not a program its text.

        Many a module is executable and begins with a shebang; importing it starts nothing.
        """
        evidence = self.evidence[path]
        if not self._tree[path].mode & 0o111:
            return False
        if evidence.kind == "traced":
            return not _STARTED.isdisjoint(evidence.how)
        if evidence.kind in ("rule", "symlink", "derived", "linked"):
            return parent(path).endswith(_COMMANDS)
        return True

    def _follow_primary(self, path: str) -> None:
        # A rule names the paths that programs use; of a traced file nobody knows by which name.
        for link in self._links_to.get(path, ()) if self.evidence[path].kind != "rule" else ():
            self._add(link, Reach.PRIMARY, Evidence(link, "symlink", path, "links to it"))
        for source in self._sources(path):
            if source in self._tree:
                self._add(source, Reach.PRIMARY, Evidence(source, "derived", path, "its source"))
        if self._trim.spare_for(path):
            for package in sorted(self.trimmed_packages):
                self._keep_trimmed(package)
        elf = self._contents.elf(path) if self._tree[path].type == "file" else None
        for firing in self._rulebook.of_path(path, elf):
            self._hold_firing(path, firing)

    def _hold_firing(self, path: str, firing: Firing) -> None:
        for name in firing.names:
            if not (firing.yields and name in self._blocked):
                self.hold(name, Reach.PRIMARY, Evidence("", "rule", path, firing.rule))

    def _sources(self, path: str) -> Iterator[str]:
        """What a used path was made from stays: paths, and of packages what says that they do."""
        for source in sorted(self._inventory.derived.get(path, ())):
            yield source if source.startswith("/") else self._face(source)
        if (compiled_from := source_of_bytecode(path)) is not None:
            yield compiled_from

    def _face(self, package: str) -> str:
        """Return the path that holds a package of which no single path is used."""
        files = sorted(
            p for p in self._inventory.owned[package] if not self._tree.leads_to_directory(p)
        )
        licence = [path for path in files if path.endswith("/copyright")]
        return next(iter(licence + files), "")

    def _hold_packages(self, path: str) -> None:
        owners = self._inventory.owners.get(path, frozenset())
        for package in sorted(owners - self._used) if self.reach[path] == Reach.PRIMARY else ():
            self._used.add(package)
            for firing in self._rulebook.of_used(self._inventory.packages[package].name):
                self._hold_firing(path, firing)
        for package in sorted(owners - self._started):
            self._started.add(package)
            for need in sorted(self._inventory.needs.get(package, ())):
                for record in sorted(self._inventory.records[need]):
                    self._add(record, self.reach[path], Evidence(record, "rule", path, _NEEDS))
        for package in sorted(owners):
            granularity = self._granularities.of(package)
            if granularity == "package":
                self.keep_whole(package)
            elif granularity == "trim" and package not in self.trimmed_packages:
                self.trimmed_packages.add(package)
                self._keep_trimmed(package)

    def _keep_trimmed(self, package: str) -> None:
        """Hold all that a package owns, but for what no program that is used reads."""
        owned = self._inventory.owned[package]
        self.hold_all((path for path in owned if self._trim.kind(path) is None), package)

    def keep_whole(self, package: str) -> None:
        """Hold all that a package owns."""
        if package not in self.whole_packages:
            self.whole_packages.add(package)
            self.hold_all(self._inventory.owned[package], package)

    def hold_all(self, paths: Iterable[str], package: str | None) -> None:
        """Hold what stays as one whole: a package's files, or the application's."""
        for path in sorted(paths):
            if self._tree[path].type != "directory":
                self._add(path, Reach.OWNED, Evidence(path, "owned", package))

    @functools.cached_property
    def _links_to(self) -> Mapping[str, list[str]]:
        """Every link by the file it resolves to; no recorder sees links."""
        links: dict[str, list[str]] = {}
        for path, entry in self._tree.items():
            if entry.type == "symlink" and (resolved := self._tree.resolve(path)) is not None:
                links.setdefault(resolved.path, []).append(path)
        return links


def describe(evidence: Evidence, scenarios: Sequence[str] = ()) -> str:
    """Return one piece of evidence as a person reads it; a traced path's with its ``scenarios``."""
    words = [f"{escape_name(evidence.path)}: {evidence.kind}"]
    if evidence.by:
        words.append(f"by {escape_name(evidence.by)}")
    if evidence.detail:
        words.append(f"({escape_name(evidence.detail)})")
    if scenarios:
        words.append(f"in {', '.join(map(escape_name, scenarios))}")
    return " ".join(words)
