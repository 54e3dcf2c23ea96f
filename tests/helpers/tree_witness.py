"""What a tree on disk holds, as the kernel and dpkg say it: witnesses beside our own reading."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from applications import run


def walk(tree: Path) -> dict[str, os.stat_result]:
    """Return the lstat of everything in ``tree``, by its path from "/"."""
    found = {"/": os.lstat(tree)}
    for directory, folders, names in os.walk(tree):
        for name in (*folders, *names):
            path = os.path.join(directory, name)
            found["/" + os.path.relpath(path, tree)] = os.lstat(path)
    return found


def files(tree: Path) -> dict[str, os.stat_result]:
    """Return the regular files only."""
    return {path: status for path, status in walk(tree).items() if stat.S_ISREG(status.st_mode)}


def regular_bytes(tree: Path) -> int:
    """Count the bytes of regular files, a hardlink group once."""
    return sum({(s.st_dev, s.st_ino): s.st_size for s in files(tree).values()}.values())


def facts(tree: Path, path: str, status: os.stat_result) -> tuple[object, ...]:
    """Return what must not differ between a path of the original and of the slim tree."""
    place = tree / path.lstrip("/")
    content: object = None
    if stat.S_ISREG(status.st_mode):
        content = place.read_bytes()
    elif stat.S_ISLNK(status.st_mode):
        content = os.readlink(place)
    names = os.listxattr(place, follow_symlinks=False)
    xattrs = {name: os.getxattr(place, name, follow_symlinks=False) for name in names}
    return (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, xattrs, content)


def hardlink_groups(tree: Path, among: set[str]) -> set[frozenset[str]]:
    """Return which of the paths ``among`` share an inode."""
    groups: dict[tuple[int, int], set[str]] = {}
    for path, status in files(tree).items():
        if path in among:
            groups.setdefault((status.st_dev, status.st_ino), set()).add(path)
    return {frozenset(group) for group in groups.values()}


def differing(original: Path, slim: Path) -> list[str]:
    """Return the paths of ``slim`` that differ from ``original``; dpkg's database is left out."""
    before, after = walk(original), walk(slim)
    after = {path: s for path, s in after.items() if not path.startswith("/var/lib/dpkg")}
    same_links = hardlink_groups(original, set(after)) == hardlink_groups(slim, set(after))
    return ([] if same_links else ["hardlink groups"]) + [
        path
        for path, status in after.items()
        if facts(slim, path, status) != facts(original, path, before[path])
    ]


def dangling(original: Path, slim: Path) -> list[str]:
    """Return the links of ``slim`` that lead nowhere, and did not in ``original``."""
    links = [path for path, status in walk(slim).items() if stat.S_ISLNK(status.st_mode)]
    assert links
    return sorted(_resolving(original, links) - _resolving(slim, links))


def listed(tree: Path) -> set[str]:
    """Return the packages that dpkg-query lists."""
    shown = run("dpkg-query", f"--admindir={tree}/var/lib/dpkg", "-W", "-f", "${Package}\n")
    return set(shown.split())


def verify(tree: Path) -> set[str]:
    """Return what ``dpkg -V`` says; it exits 0 whatever it finds."""
    command = ["dpkg", "-V", f"--root={tree}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines())


def owners(tree: Path) -> dict[str, set[str]]:
    """Return the paths in each package's list, their directories' links resolved."""
    root = str(tree.resolve())
    owned: dict[str, set[str]] = {}
    for listing in (tree / "var/lib/dpkg/info").glob("*.list"):
        package = listing.name.removesuffix(".list").partition(":")[0]
        for line in listing.read_text().splitlines():
            directory, _, name = line.rpartition("/")
            real = os.path.realpath(root + directory) + "/" + name
            owned.setdefault(package, set()).add(real.removeprefix(root))
    return owned


def _resolving(tree: Path, links: list[str]) -> set[str]:
    """Follow links as the kernel would with ``tree`` as its root, by chroot in a child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.chroot(tree)
        found = "\0".join(link for link in links if os.path.exists(link))
        with open(writing, "wb") as pipe:
            pipe.write(os.fsencode(found))
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        found = os.fsdecode(pipe.read())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return set(found.split("\0"))
