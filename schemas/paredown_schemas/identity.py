"""What names an image, whatever format holds it.

A layered image is named by its ordered diff_ids and its platform: a copy between formats changes
every other digest (OCI image specification, "DiffID"). A directory is named by a fingerprint of
its metadata, which the recorder can take without reading content.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform as host
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from paredown_schemas.names import decode_name, encode_name

_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm/v7",
    "i686": "386",
    "riscv64": "riscv64",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}

# path inside the tree, its lstat, a symlink's text
TreeEntry = tuple[str, os.stat_result, "str | None"]


def host_platform() -> str:
    """Return this machine's platform as OCI writes it, such as ``linux/amd64``."""
    machine = host.machine()
    return f"linux/{_ARCHITECTURES.get(machine, machine)}"


def image_identity(diff_ids: Sequence[str], platform: str) -> str:
    """Return the identity of a layered image."""
    canonical = json.dumps([platform, list(diff_ids)], separators=(",", ":"))
    return "image-sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def directory_identity(entries: Iterable[TreeEntry]) -> str:
    """Return the identity of a directory from what ``scan_tree`` yields.

    Extended attributes and content are left out: they would take an open per file.
    """
    digest = hashlib.sha256()
    for path, status, target in entries:
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        device = status.st_rdev if _is_device(status.st_mode) else 0
        fields = (status.st_mode, status.st_uid, status.st_gid, size, status.st_mtime_ns, device)
        line = " ".join(map(str, fields)).encode()
        digest.update(b"\0".join([encode_name(path), line, encode_name(target or ""), b"\n"]))
    return "dir-sha256:" + digest.hexdigest()


def _is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def scan_tree(root: Path) -> Iterator[TreeEntry]:
    """Yield everything below ``root`` as paths from "/", parents first, names in byte order.

    Stays on the root's filesystem, follows no link and opens nothing but directories.

    Raises:
        OSError: a directory cannot be read.
    """
    device = os.stat(root).st_dev
    # "/" itself is part of an image: its mode and owner are kept.
    yield "/", os.stat(root), None
    pending = [(os.fsencode(root), b"")]
    while pending:
        directory, prefix = pending.pop()
        with os.scandir(directory) as listing:
            children = sorted(listing, key=lambda child: child.name)
        below = []
        for child in children:
            status = child.stat(follow_symlinks=False)
            path = prefix + b"/" + child.name
            target = None
            if stat.S_ISLNK(status.st_mode):
                target = decode_name(os.readlink(child.path))
            elif stat.S_ISDIR(status.st_mode) and status.st_dev == device:
                below.append((child.path, path))
            yield decode_name(path), status, target
        pending.extend(reversed(below))
