"""What all runs together needed beside their files, for the plan: the material of ``runtime``.

What hangs on the image is settled here, as the plan alone is what is left later: which directories
can lie in memory and which hold what is used, which used files are not for everybody, and which
programs that a run started have privileges of their own.
"""

from __future__ import annotations

import collections
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from paredown_minimizer.contents import Contents
from paredown_minimizer.image.model import Image, Tree, is_below, parent, parents, path_key
from paredown_minimizer.needs import port_text
from paredown_minimizer.surface.members import members
from paredown_schemas.plan import Need, NeedKind, Unrecorded
from paredown_schemas.trace import Capability, File, Port, Process, Run, Syscall

_RUN = ("exec", "library", "loader", "interpreter", "script")

_GROUP_ID = re.compile(r"[0-9]{1,10}", re.ASCII)

_Key = tuple[NeedKind, str, str | None]
_Found = dict[_Key, set[str]]


def find_needs(runs: Sequence[Run], contents: Contents) -> tuple[Need, ...]:
    """Return what the runs needed of the kernel and of the image's permissions, sorted."""
    found: _Found = collections.defaultdict(set)
    image = contents.image
    uses, groups = _Uses(image.tree), _Groups(contents)
    for run in runs:
        _of_processes(run, groups, found)
        for file in run.files():
            if not file.truncated and not uses.knows(file):
                uses.add(file)
    for directory, exes in uses.written.items():
        found["written", directory, _owner(image.tree, directory)] |= exes
    _writable_mounts(image, uses, found)
    _privileged(image, uses, found)
    if any(kind == "user" and value.startswith("0:") for kind, value, _ in found):
        _restricted(image, uses, found)
    needs = (Need(*key[:2], tuple(sorted(exes)), key[2]) for key, exes in found.items())
    return tuple(sorted(needs, key=lambda need: (need.kind, need.value, need.detail or "")))


def find_unrecorded(runs: Sequence[Run]) -> tuple[Unrecorded, ...]:
    """Return what at least one run did not record, with every reason, sorted."""
    return tuple(
        sorted(
            {
                Unrecorded(facet, why)
                for run in runs
                for facet, why in run.coverage().items()
                if why is not None
            }
        )
    )


class _Uses:
    """What the runs did with the image's paths, and where they made others."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.written: dict[str, set[str]] = collections.defaultdict(set)  # exes by directory
        self.used: dict[str, set[str]] = collections.defaultdict(set)  # the image's own
        # Of those: what holds nothing, or is a log (FHS 3.0, 5.10), and is written anew.
        self.replaceable: set[str] = set()
        self.started: dict[str, set[str]] = collections.defaultdict(set)
        self.made_code: set[str] = set()  # what was run and is not the image's

    def knows(self, file: File) -> bool:
        """Say whether a record tells nothing new: most runs of one load use the same."""
        return file.how not in ("write", "exec") and file.exe in self.used.get(file.path, ())

    def add(self, file: File) -> None:
        """Take note of one record."""
        exes = {file.exe} if file.exe else set()
        entry = self._tree.get(file.path)
        if file.how == "write":
            self.written[self._directory(file)] |= exes
            if entry is not None and (not entry.size or is_below(file.path, "/var/log")):
                self.replaceable.add(file.path)
        if entry is not None:
            self.used[file.path] |= exes
        elif file.how in _RUN:
            self.made_code.add(file.path)
        if file.how == "exec" and entry is not None:
            self.started[file.path] |= exes

    def _directory(self, file: File) -> str:
        """The image's directory nearest to where something was written."""
        path = file.path if file.kind == "directory" else parent(file.path)
        while path not in self._tree:
            path = parent(path)
        return path


class _Groups:
    """The groups that the image's own files put a user in (passwd(5), group(5))."""

    def __init__(self, contents: Contents) -> None:
        self._users = [line.split(":") for line in contents.text("/etc/passwd").splitlines()]
        self._groups = [line.split(":") for line in contents.text("/etc/group").splitlines()]

    def beside(self, uid: int, gid: int | None) -> str | None:
        """Return the numbers of those beside ``gid``: "44,101"."""
        names = {user[0] for user in self._users if user[2:3] == [str(uid)]}
        numbers = {
            int(group[2])
            for group in self._groups
            if len(group) == 4
            and _GROUP_ID.fullmatch(group[2])
            and not names.isdisjoint(group[3].split(","))
        }
        return ",".join(map(str, sorted(numbers - {gid}))) or None


def _of_processes(run: Run, groups: _Groups, found: _Found) -> None:
    # A person's look around, and a probe, choose their user themselves.
    injected = {s.id for s in run.sessions().values() if s.kind == "injected"}
    for record in run.records:
        if isinstance(record, File):
            continue
        if isinstance(record, Process):
            if record.uid is None or record.session in injected:
                continue
            ids = f"{record.uid}:{'?' if record.gid is None else record.gid}"
            key: _Key = "user", ids, groups.beside(record.uid, record.gid)
        elif isinstance(record, Port):
            key = "port", port_text(record.protocol, record.address, record.port), None
        elif isinstance(record, Capability):
            key = "capability" if record.granted else "refused-capability", record.name, None
        elif isinstance(record, Syscall):
            name = str(record.number) if record.name is None else record.name
            key = "syscall", f"{record.architecture} {name}", None
        else:
            continue
        found[key].update({record.exe} if record.exe else ())


def _writable_mounts(image: Image, uses: _Uses, found: _Found) -> None:
    """Where a read-only root takes something that can be written.

    A mount hides what the image has there. Where a run used some of that, or another directory
    there was written to, it takes a volume that is filled from the image; else memory will do.
    """
    tree = image.tree
    volumes = list(_volumes(image))
    for volume in volumes:
        found["volume", volume, "declared by the image"] |= set()
    used = sorted({*uses.used, *uses.written} - uses.replaceable, key=path_key)
    code = {parent(path) for path in uses.made_code}
    mounts = list(volumes)
    for directory in sorted(uses.written, key=path_key):  # what is above comes first
        if directory == "/" or any(is_below(directory, mount) for mount in mounts):
            continue
        mounts.append(directory)
        exes = uses.written[directory]
        held = next(
            (path for path in used if path != directory and is_below(path, directory)), None
        )
        if held is not None:
            found["volume", directory, f"holds {held}, which is used"] |= exes
            continue
        entry = tree[directory]
        # Podman 4.3 knows no uid and gid here.
        owner = f",uid={entry.uid},gid={entry.gid}" if entry.uid or entry.gid else ""
        options = f"mode={entry.mode:04o}{owner}"
        runs_code = any(is_below(path, directory) for path in code)
        found["tmpfs", directory, options + (",exec" if runs_code else "")] |= exes


def _volumes(image: Image) -> Iterator[str]:
    declared = (image.config.get("config") or {}).get("Volumes") or {}
    for volume in sorted(declared):
        resolved = image.tree.resolve(volume)
        yield resolved.path if resolved else volume


def _privileged(image: Image, uses: _Uses, found: _Found) -> None:
    for kind in ("setuid", "file-capability"):
        for path, detail in members(kind, image.tree).items():
            if path in uses.started:
                found["privileged-exec", path, detail] |= uses.started[path]


def _restricted(image: Image, uses: _Uses, found: _Found) -> None:
    """What only its owner, or its group, can use of what the runs read."""
    tree = image.tree
    for path, exes in uses.used.items():
        for place in (path, *parents(path)):
            entry = tree[place]
            if entry.type == "symlink":
                continue
            asked = 0o005 if place == path and entry.type == "directory" else 0o004
            if place != path:
                asked = 0o001
            if entry.mode & asked != asked:
                found["restricted", place, _owner(tree, place)] |= exes


def _owner(tree: Tree, path: str) -> str:
    """Whose it is and for whom: "0:42 -rw-r-----"."""
    entry = tree[path]
    kind = {"file": stat.S_IFREG, "directory": stat.S_IFDIR}.get(entry.type, 0)
    return f"{entry.uid}:{entry.gid} {stat.filemode(kind | entry.mode)}"


def users(needs: Iterable[Need]) -> AbstractSet[tuple[int, int]]:
    """Return the uids and gids that the workload ran as, of those whose both ids are known."""
    pairs = (need.value.split(":") for need in needs if need.kind == "user")
    return {(int(uid), int(gid)) for uid, gid in pairs if gid != "?"}
