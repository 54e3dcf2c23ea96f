"""Installed Python distributions: which files belong to the one that a module comes from.

Followed: the PyPA specification "Recording installed projects" (dist-info, RECORD), and
setuptools' egg-info with installed-files.txt or top_level.txt, which Debian's packages still have.
"""

from __future__ import annotations

import csv
import glob
import posixpath
import re

from paredown_minimizer.contents import Contents
from paredown_minimizer.globs import expand
from paredown_minimizer.image.model import Tree, is_below, join, parent
from paredown_schemas.names import escape_name

INFO = (".dist-info", ".egg-info")

_LIMIT = 16 << 20
_DEPTH = 3  # of a namespace's parts that are told apart: google.cloud.storage
_PYCACHE = re.compile(r"(.*)/__pycache__/([^/]+?)\.[^./]+(\.opt-[^./]+)?\.pyc")
# The installation that a site directory belongs to, and what installers put elsewhere in it.
_SITE = re.compile(r"(?P<prefix>/.+?)/(lib|lib64)/[^/]+/(site|dist)-packages")
_ELSEWHERE = ("bin", "sbin", "etc", "include", "man", "share")


def source_of_bytecode(path: str) -> str | None:
    """Return the .py that a .pyc was compiled from (PEP 3147, or beside it); None for others."""
    if not path.endswith(".pyc"):
        return None
    if match := _PYCACHE.fullmatch(path):
        return f"{match[1]}/{match[2]}.py"
    return path[:-1]


class Site:
    """The distributions of one directory, by the modules that they bring."""

    def __init__(self, contents: Contents, site: str) -> None:
        """Read what is installed in ``site``."""
        tree = contents.image.tree
        here = tree.canonical(site)
        infos = [path for path in tree.children.get(here, ()) if path.endswith(INFO)]
        self._files = [files_of(contents, info) for info in infos]
        self._by_module: dict[tuple[str, ...], set[int]] = {}
        for number, files in enumerate(self._files):
            for file in files:
                for depth in range(1, _DEPTH + 1):
                    self._by_module.setdefault(_module(file, here)[:depth], set()).add(number)

    def files_beside(self, *module: str) -> list[str]:
        """Return all files of the distribution that brings a module, named by its parts.

        Where several bring it, it is a namespace (PEP 420), and only its parts tell more; a part of
        what is none tells nothing new.
        """
        found = self._by_module.get(module, set())
        if module[:-1] and len(self._by_module.get(module[:-1], ())) < 2:
            return []
        if len(found) > 1 and len(module) < _DEPTH:
            return []
        return [file for number in sorted(found) for file in self._files[number]]


def files_of(contents: Contents, info: str) -> list[str]:
    """Return the files of the distribution whose dist-info or egg-info is at ``info``."""
    tree, site = contents.image.tree, parent(info)
    own = expand(tree, f"{glob.escape(info)}/**") if tree[info].type == "directory" else [info]
    if recorded := _recorded(contents, join(info, "RECORD")):
        located = [locate(tree, site, name) for name in recorded]
    elif installed := contents.text(join(info, "installed-files.txt"), _LIMIT).splitlines():
        located = [locate_beside(tree, info, name) for name in installed]
    else:
        located = list(_of_modules(contents, site, info))
    return list(dict.fromkeys([*own, *filter(None, located)]))


def locate(tree: Tree, site: str, name: str) -> str | None:
    """Return the file that a row of RECORD means; None for none, or one that it cannot own.

    A row may climb out of ``site``, to bin and the like of the same installation, and no further:
    what it says is removed with the distribution.
    """
    path = tree.canonical(posixpath.normpath(posixpath.join(site, name)))
    if not _may_own(site, path):
        # pip install --target moves scripts, and leaves ../../bin in RECORD.
        path = f"{site}/bin/{posixpath.basename(name)}"
        if posixpath.basename(posixpath.dirname(name)) != "bin":
            return None
    return path if path in tree and tree[path].type != "directory" else None


def locate_beside(tree: Tree, info: str, name: str) -> str | None:
    """Return the file that a line of installed-files.txt means; see ``locate``."""
    inside = posixpath.relpath(posixpath.join(info, name), parent(info)) if name else ""
    return locate(tree, parent(info), inside) if inside else None


def _may_own(site: str, path: str) -> bool:
    if is_below(path, site):
        return path != site
    match = _SITE.fullmatch(site)
    return match is not None and any(
        is_below(path, f"{match['prefix']}/{name}") for name in _ELSEWHERE
    )


def _of_modules(contents: Contents, site: str, info: str) -> list[str]:
    tree = contents.image.tree
    here = glob.escape(site)
    modules = [glob.escape(name) for name in contents.text(join(info, "top_level.txt")).split()]
    return [
        path
        for module in modules
        if "/" not in module
        for pattern in (f"{here}/{module}/**", f"{here}/{module}.py", f"{here}/{module}.*.so")
        for path in expand(tree, pattern)
    ]


def _recorded(contents: Contents, record: str) -> list[str]:
    lines = contents.text(record, limit=_LIMIT).splitlines()
    try:
        return [row[0] for row in csv.reader(lines) if row]
    except csv.Error as error:  # a NUL, before Python 3.11, or a field of 128 KiB
        contents.warnings.append(f"{escape_name(record)} was not looked into: {error}")
        return []


def _module(path: str, site: str) -> tuple[str, ...]:
    *directories, last = path.removeprefix(site + "/").split("/")
    return (*directories, last.split(".")[0])
