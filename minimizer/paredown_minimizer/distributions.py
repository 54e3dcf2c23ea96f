"""Installed Python distributions: which files belong to the one that a module comes from.

Followed: the PyPA specification "Recording installed projects" (dist-info, RECORD), and
setuptools' egg-info with top_level.txt, which Debian's packages still have.
"""

from __future__ import annotations

import csv
import posixpath
import re

from paredown_minimizer.contents import Contents
from paredown_minimizer.globs import expand
from paredown_minimizer.image.model import join
from paredown_schemas.names import escape_name

_PYCACHE = re.compile(r"(.*)/__pycache__/([^/]+?)\.[^./]+(\.opt-[^./]+)?\.pyc")
_INFO = (".dist-info", ".egg-info")


def source_of_bytecode(path: str) -> str | None:
    """Return the .py that a .pyc was compiled from (PEP 3147, or beside it); None for others."""
    if not path.endswith(".pyc"):
        return None
    if match := _PYCACHE.fullmatch(path):
        return f"{match[1]}/{match[2]}.py"
    return path[:-1]


def files_of_module(contents: Contents, site: str, module: str) -> list[str]:
    """Return all files of the distributions in ``site`` that bring the top-level ``module``."""
    tree = contents.image.tree
    found: list[str] = []
    for info in tree.children.get(tree.canonical(site), []):
        if not info.endswith(_INFO):
            continue
        files = _files(contents, site, info)
        if any(_top_level(file, site) == module for file in files):
            found += files
    return found


def _files(contents: Contents, site: str, info: str) -> list[str]:
    tree = contents.image.tree
    own = expand(tree, f"{info}/**") if tree[info].type == "directory" else [info]
    names = _recorded(contents, join(info, "RECORD"))
    if names:
        return own + [path for path in (_inside(site, name) for name in names) if path in tree]
    modules = contents.text(join(info, "top_level.txt")).split()
    return own + [
        path
        for module in modules
        for pattern in (f"{site}/{module}/**", f"{site}/{module}.py", f"{site}/{module}.*.so")
        for path in expand(tree, pattern)
    ]


def _recorded(contents: Contents, record: str) -> list[str]:
    lines = contents.text(record, limit=16 << 20).splitlines()
    try:
        return [row[0] for row in csv.reader(lines) if row]
    except csv.Error as error:  # a NUL, before Python 3.11, or a field of 128 KiB
        contents.warnings.append(f"{escape_name(record)} was not looked into: {error}")
        return []


def _inside(site: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(site, name))


def _top_level(path: str, site: str) -> str:
    return path.removeprefix(site + "/").split("/")[0].split(".")[0]
