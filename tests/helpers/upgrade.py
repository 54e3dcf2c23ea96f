"""A root filesystem in which packages were upgraded: the same image, rebuilt since."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path


@contextlib.contextmanager
def rebuilt(tree: Path, space: Path) -> Iterator[Path]:
    """Give a tree that is ``tree`` and can be changed: an overlay of it in ``space``."""
    upper, work, merged = (space / name for name in ("upper", "work", "merged"))
    for directory in (upper, work, merged):
        directory.mkdir(parents=True)
    os.chmod(upper, os.stat(tree).st_mode)
    options = f"lowerdir={tree},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    try:
        yield merged
    finally:
        subprocess.run(["umount", merged], check=True)


def upgrade(tree: Path, package: str, renames: Mapping[str, str], space: Path) -> None:
    """Pack a package of ``tree`` anew, with a later version, and let dpkg install that.

    ``renames``: what is replaced in the names of its files, in their content if they are text, and
    in what its links lead to.
    """
    root = space / f"{package}.deb.d"
    for name in _owned(tree, package):
        source, target = tree / name.lstrip("/"), root / _renamed(name, renames).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(_renamed(os.readlink(source), renames))
        elif source.is_file():
            shutil.copy2(source, target)
            with contextlib.suppress(UnicodeDecodeError):
                target.write_text(_renamed(source.read_text(), renames))
    _pack(tree, package, root)
    install = ["dpkg", f"--root={tree}", "--force-unsafe-io", "--force-depends", "-i"]
    subprocess.run([*install, str(root.with_suffix(""))], check=True, capture_output=True)


def _owned(tree: Path, package: str) -> list[str]:
    (listed,) = (tree / "var/lib/dpkg/info").glob(f"{package}[.:]*list")
    return listed.read_text().split("\n")[:-1]


def _pack(tree: Path, package: str, root: Path) -> None:
    status = (tree / "var/lib/dpkg/status").read_text()
    (fields,) = re.findall(rf"^(Package: {re.escape(package)}\n(?:.+\n)*)", status, re.MULTILINE)
    fields = re.sub(r"^(Status|Conffiles):.*\n(?: .*\n)*", "", fields, flags=re.MULTILINE)
    control = root / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(re.sub(r"^(Version: .*)$", r"\1+later1", fields, flags=re.MULTILINE))
    build = ["dpkg-deb", "--root-owner-group", "-Znone", "-b"]
    command = [*build, str(root), str(root.with_suffix(""))]
    subprocess.run(command, check=True, capture_output=True)


def _renamed(text: str, renames: Mapping[str, str]) -> str:
    for old, new in renames.items():
        text = text.replace(old, new)
    return text
