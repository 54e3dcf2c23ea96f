"""What goes along with what: licences, derived files, links, directories.

Nothing here holds a package. It settles what stays beside the evidence, so that what is left is a
tree that fits together: no link dangles that resolved before, and every directory has a reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from paredown_minimizer.closure import Closure, Reach
from paredown_minimizer.handed import Handed, is_unowned
from paredown_minimizer.image.model import Tree, is_below, parents
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.rulebook import Rulebook
from paredown_schemas.plan import Evidence

# Where distributions' maintainer scripts put links (hier(7)); elsewhere links are the application's
# own, such as a virtual environment's python.
_DISTRIBUTION = ("/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/sbin", "/usr", "/var")
_LOCAL = ("/usr/local",)


class Fate:
    """Settles one decision, once the closure of its evidence is complete."""

    def __init__(
        self,
        tree: Tree,
        inventory: Inventory,
        closure: Closure,
        rulebook: Rulebook,
        blocked: AbstractSet[str],
        handed: Handed,
    ) -> None:
        """Settle nothing yet; ``blocked`` paths go, ``handed`` ones may, by a person's decision."""
        self._tree = tree
        self._inventory = inventory
        self._closure = closure
        self._rulebook = rulebook
        self._blocked = blocked
        self._handed = handed

    def hold_application(self) -> None:
        """Hold what no package of the system lists and nothing derives, but for what is handed.

        That is the application, one whole, and the packages that its language's manager installed.
        """
        for key, package in self._inventory.packages.items():
            if package.location is not None and key not in self._handed.packages:
                self._closure.keep_whole(key)
        unowned = (path for path in self._tree if is_unowned(path, self._inventory))
        staying = (path for path in unowned if path not in self._handed.paths)
        self._closure.hold_all((p for p in staying if not made_by_scripts(p, self._tree)), None)
        self._closure.run()

    def settle(self) -> set[str]:
        """Return every path that stays; to be called when the closure has run."""
        self._hold_aliases()
        steps = (
            self._hold_licences,
            self._hold_records,
            self._hold_derived,
            self._hold_script_links,
        )
        while any(step() for step in steps):
            self._closure.run()
        kept = {p for p in self._closure.reach if p not in self._blocked}
        kept |= self._inventory.database
        kept |= self._directories(kept)
        for link in self._links_to_directories(kept):
            kept |= {link, *parents(link)}
        self._drop_dangling(kept)
        return kept

    def left(self, *, licences: bool) -> set[str]:
        """Return the packages of which a file is held; ``licences`` alone count if true."""
        return {
            package
            for path, reach in self._closure.reach.items()
            if licences or reach != Reach.ALONE
            for package in self._inventory.owners.get(path, ())
            if not self._tree.leads_to_directory(path)
        }

    def _hold(self, path: str, evidence: Evidence) -> bool:
        if path in self._closure.reach or path in self._blocked:
            return False
        return self._closure.hold(path, Reach.ALONE, evidence)

    def _hold_aliases(self) -> None:
        """A link to a directory through which something used may have been reached stays."""
        used: dict[str, str] = {}
        for path, evidence in self._closure.evidence.items():
            if self._closure.reach[path] == Reach.PRIMARY and evidence.kind != "rule":
                for directory in (path, *parents(path)):
                    used.setdefault(directory, path)
        for path, entry in self._tree.items():
            if entry.type == "symlink" and (resolved := self._tree.resolve(path)) is not None:
                by = used.get(resolved.path)
                if by is not None and self._tree[resolved.path].type == "directory":
                    self._hold(path, Evidence("", "symlink", by, "a way to it"))
        self._closure.run()

    def _hold_licences(self) -> bool:
        changed = False
        for key in sorted(self.left(licences=True)):
            package = self._inventory.packages[key]
            if package.location is not None:  # whose licences are records
                continue
            firings = list(self._rulebook.of_package(package.name))
            by = self._first_held(key) if firings else None
            for firing in firings:
                for name in firing.names:
                    changed |= self._hold(name, Evidence("", "rule", by, firing.rule))
        return changed

    def _hold_records(self) -> bool:
        """A language's package says that it is installed for as long as anything of it is."""
        changed = False
        for key in sorted(self.left(licences=True) & self._inventory.records.keys()):
            by = self._first_held(key)
            for path in sorted(self._inventory.records[key]):
                changed |= self._hold(path, Evidence("", "derived", by, "says what is installed"))
        return changed

    def _first_held(self, package: str) -> str | None:
        held = self._inventory.owned[package] & self._closure.evidence.keys()
        return min((p for p in held if not self._tree.leads_to_directory(p)), default=None)

    def _hold_derived(self) -> bool:
        left = self.left(licences=False)
        changed = False
        for path, sources in self._inventory.derived.items():
            stays = (s for s in sorted(sources) if s in left or s in self._closure.reach)
            by = next(stays, None)
            if by is not None and self._target_stays(path):
                changed |= self._hold(path, Evidence("", "derived", by))
        return changed

    def _hold_script_links(self) -> bool:
        changed = False
        for path in self._tree:
            if self._is_link_of_scripts(path) and self._target_stays(path):
                changed |= self._hold(path, Evidence("", "symlink", None, "its target stays"))
        return changed

    def _is_link_of_scripts(self, path: str) -> bool:
        return made_by_scripts(path, self._tree) and is_unowned(path, self._inventory)

    def _target_stays(self, path: str) -> bool:
        """Say so of a link whose file is held, or that dangled before; and of all that is no link.

        Links to directories are judged when it is known which directories stay.
        """
        if self._tree[path].type != "symlink":
            return True
        resolved = self._tree.resolve(path)
        return resolved is None or resolved.path in self._closure.reach

    def _directories(self, kept: AbstractSet[str]) -> set[str]:
        """A directory stays with what is in it, and with a package or person that made it empty."""
        stays: set[str] = {place for path in kept for place in parents(path)}
        left = self.left(licences=True)
        for path in reversed(list(self._tree)):
            if path in kept or path in stays or self._tree[path].type != "directory":
                continue
            owners = self._inventory.owners.get(path)
            if owners:
                own = not owners.isdisjoint(left)
            else:
                made = path in self._inventory.derived or path in self._handed.paths
                own = not made and not self._tree.children.get(path)
            if own and path not in self._blocked:
                stays |= {path, *parents(path)}
        return stays

    def _links_to_directories(self, kept: AbstractSet[str]) -> Iterator[str]:
        """A link to a directory that stays shares the fate of an empty directory."""
        left = self.left(licences=True)
        for path in self._tree:
            if path in kept or path in self._blocked or self._tree[path].type != "symlink":
                continue
            own = not left.isdisjoint(self._inventory.owners.get(path, ()))
            own = own or self._is_link_of_scripts(path)
            resolved = self._tree.resolve(path)
            if own and resolved is not None and resolved.path in kept:
                yield path

    def _drop_dangling(self, kept: set[str]) -> None:
        """Let links go whose target goes; each may be on another's way."""
        links = [path for path in kept if self._tree[path].type == "symlink"]
        while dangling := [path for path in links if path in kept and self._dangles(path, kept)]:
            kept.difference_update(dangling)

    def _dangles(self, path: str, kept: AbstractSet[str]) -> bool:
        resolved = self._tree.resolve(path)
        return resolved is not None and not kept >= {resolved.path, *resolved.links}


def made_by_scripts(path: str, tree: Tree) -> bool:
    """Say whether a path that nobody owns is a link as maintainer scripts make them."""
    return (
        tree[path].type == "symlink"
        and any(is_below(path, area) for area in _DISTRIBUTION)
        and not any(is_below(path, area) for area in _LOCAL)
    )
