"""Which paths of an image belong to which kind of the attack surface.

Programs go by name, not by content: by name an intruder's script asks for them. A link counts as
what it is called and as what it leads to (editor is vim.basic, nawk is mawk), except where one
file is many programs, as busybox is: there the link's own name alone says which it starts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from paredown_minimizer.image.model import Entry, Tree, is_below, parent
from paredown_minimizer.surface.names import Names, load_names
from paredown_schemas.capabilities import capability_name
from paredown_schemas.plan import SurfaceKind

LAND: SurfaceKind = "living-off-the-land"
_EXECUTE = 0o111
_SHARED_OBJECT = re.compile(r"\.so(\.[0-9.]+)?$")
_PROGRAM_DIRECTORIES = ("bin", "sbin")
_CAPABILITY_XATTR = "security.capability"

Members = Mapping[str, str | None]  # paths, with what more there is to say


def members(kind: SurfaceKind, tree: Tree) -> Members:
    """Return the paths of one kind, sorted, each with its detail.

    Of ``writable`` those that everybody can write; exposure.py adds what the workload's user can.

    Raises:
        KeyError: secrets, which take the content of files, too.
    """
    find = _FINDERS.get(kind)
    found = find(tree) if find else _by_name(tree, kind, load_names())
    return dict(sorted(found))


def _executables(tree: Tree) -> Iterator[tuple[str, None]]:
    for path, entry in tree.items():
        if entry.type == "file" and entry.mode & _EXECUTE and not _SHARED_OBJECT.search(path):
            yield path, None


def _libraries(tree: Tree) -> Iterator[tuple[str, None]]:
    for path, entry in tree.items():
        if entry.type == "file" and entry.size and _SHARED_OBJECT.search(path):
            yield path, None


def _setuid(tree: Tree) -> Iterator[tuple[str, str]]:
    for path, entry in tree.items():
        if entry.type == "file" and (gains := _gains(entry)):
            yield path, gains


def _gains(entry: Entry) -> str:
    """Setgid without execution by the group is something else: mandatory locking (inode(7))."""
    user = [f"setuid to {entry.uid}"] if entry.mode & 0o4000 and entry.mode & _EXECUTE else []
    group = [f"setgid to {entry.gid}"] if entry.mode & 0o2000 and entry.mode & 0o010 else []
    return ", ".join(user + group)


def _file_capabilities(tree: Tree) -> Iterator[tuple[str, str]]:
    for path, entry in tree.items():
        if entry.type == "file":
            for name, value in entry.xattrs:
                if name == _CAPABILITY_XATTR:
                    yield path, capability_text(value)


def capability_text(value: bytes) -> str:
    """Return file capabilities as getcap(8) writes them: "cap_net_raw=ep".

    Followed: struct vfs_ns_cap_data in include/uapi/linux/capability.h, revisions 1 to 3.
    """
    if len(value) < 12:
        return "malformed"
    words = [int.from_bytes(value[i : i + 4], "little") for i in range(0, len(value) - 3, 4)]
    pairs = 1 if words[0] >> 24 == 1 else 2
    permitted = sum(word << 32 * i for i, word in enumerate(words[1::2][:pairs]))
    inheritable = sum(word << 32 * i for i, word in enumerate(words[2::2][:pairs]))
    effective = "e" if words[0] & 1 else ""
    by_flags: dict[str, list[str]] = {}
    for number in range(64):
        of = ("i" if inheritable >> number & 1 else "") + ("p" if permitted >> number & 1 else "")
        if of:
            by_flags.setdefault(effective + of, []).append(capability_name(number).lower())
    text = " ".join(f"{','.join(names)}={flags}" for flags, names in sorted(by_flags.items()))
    root = f" for root {words[5]}" if words[0] >> 24 == 3 and len(words) > 5 else ""
    return (text or "none") + root


def _writable(tree: Tree) -> Iterator[tuple[str, str]]:
    return topmost(tree, lambda entry: "by everybody" if entry.mode & 0o002 else None)


def topmost(tree: Tree, why: Callable[[Entry], str | None]) -> Iterator[tuple[str, str]]:
    """Yield what can be written and lies in nothing that can: the rest goes without saying.

    Devices are left out: a runtime brings its own /dev. Links have no permissions.
    """
    below: str | None = None
    for path, entry in tree.items():  # a directory right before what it holds
        if entry.type not in ("file", "directory", "fifo", "socket"):
            continue
        if (below is None or not is_below(path, below)) and (reason := why(entry)):
            sticky = entry.type == "directory" and entry.mode & 0o1000
            yield path, f"{reason}, sticky" if sticky else reason
            below = path if entry.type == "directory" else below


def _by_name(tree: Tree, kind: SurfaceKind, names: Names) -> Iterator[tuple[str, str | None]]:
    known = names.uses.keys() if kind == LAND else names.kinds[kind]
    for path, entry in tree.items():
        for name in _names_of(tree, path, entry, names):
            if form := names.known_as(name, known):
                yield path, ", ".join(names.uses[form]) if kind == LAND else None
                break


def programs(tree: Tree) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the paths that are programs, each with the names that it is one under."""
    names = load_names()
    for path, entry in tree.items():
        if found := list(_names_of(tree, path, entry, names)):
            yield path, found


def _names_of(tree: Tree, path: str, entry: Entry, names: Names) -> Iterator[str]:
    """The names under which ``path`` is a program; none if it is no program."""
    program = _program(tree, path, entry)
    if program is None or not _may_be_program(path, names):
        return
    name, real = path.rpartition("/")[2], program.path.rpartition("/")[2]
    yield name
    if real != name and names.known_as(real, names.several_in_one) is None:
        yield real


def _program(tree: Tree, path: str, entry: Entry) -> Entry | None:
    """The executable file that ``path`` is, or leads to."""
    if entry.type == "symlink":
        resolved = tree.resolve(path)
        entry = tree[resolved.path] if resolved else entry
    return entry if entry.type == "file" and entry.mode & _EXECUTE else None


def _may_be_program(path: str, names: Names) -> bool:
    directory = parent(path)
    if directory.rpartition("/")[2] in _PROGRAM_DIRECTORIES:
        return True
    return not any(is_below(path, place) for place in names.no_programs)


_FINDERS: Mapping[SurfaceKind, Callable[[Tree], Iterator[tuple[str, str | None]]]] = {
    "executable": _executables,
    "library": _libraries,
    "setuid": _setuid,
    "file-capability": _file_capabilities,
    "writable": _writable,
}
