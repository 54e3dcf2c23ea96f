"""An image of as many paths as are wanted, out of the names in a real tree's package lists."""

from __future__ import annotations

import copy
import hashlib
import io
import itertools
import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from paredown_schemas.identity import host_platform
from traces import trace_records, write_trace

_CONTENT = 400  # bytes of each file
_ELF = 20_000  # bytes of an ELF file; longer ones are empty
_EACH = 3  # of so many packages one is used
_DPKG = "var/lib/dpkg"
_STATUS = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"


def make(tree: Path, count: int, space: Path) -> tuple[Path, Path]:
    """Return a docker archive of ``count`` paths or a few more, and a trace of its use.

    The tree's packages stand in it again and again, below a directory of their own each time.
    """
    status, used = [], []
    with tarfile.open(space / "layer.tar", "w", format=tarfile.GNU_FORMAT) as layer:
        for path in ("opt", "var", "var/lib", _DPKG, f"{_DPKG}/info"):
            layer.addfile(_entry(path, tarfile.DIRTYPE))
        written = 5
        for number, (name, top, entries) in enumerate(_packages(tree)):
            if written >= count:
                break
            paths = [f"{top}/{path}" for path, _, _ in entries]
            for path, (_, info, content) in zip(paths, entries, strict=True):
                renamed = copy.copy(info)
                renamed.name = path
                layer.addfile(renamed, io.BytesIO(content))
            _write(layer, f"{_DPKG}/info/{name}.list", [f"/{path}\n" for path in paths])
            status.append(_STATUS.format(name))
            regular = [p for p, (_, info, _) in zip(paths, entries, strict=True) if info.isreg()]
            if number % _EACH == 0 and regular:
                used.append(f"/{regular[0]}")
            written += len(entries) + 1
        _write(layer, f"{_DPKG}/status", status)
    archive = docker_archive(space / "layer.tar", space / "scaled.tar")
    return archive, write_trace(space / "scaled.trace", trace_records(used))


def docker_archive(layer: Path, archive: Path) -> Path:
    """Write a docker archive of one layer, which is gone then; return its path."""
    with layer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    system, architecture = host_platform().split("/")[:2]
    config = {
        "os": system,
        "architecture": architecture,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": ["large:1"], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as written:
        _write(written, "config.json", [json.dumps(config)])
        _write(written, "manifest.json", [json.dumps(manifest)])
        written.add(layer, "layer.tar")
    layer.unlink()
    return archive


Entries = list[tuple[str, tarfile.TarInfo, bytes]]


def _packages(tree: Path) -> Iterator[tuple[str, str, Entries]]:
    """Yield a package's name, the directory that it lies below, and what it brings there."""
    lists = sorted((tree / _DPKG / "info").glob("*.list"))
    known = {file.stem.partition(":")[0]: _entries(tree, file) for file in lists}
    for turn in itertools.count():
        present: set[str] = set()
        for name, entries in known.items():
            new = [entry for entry in entries if entry[0] not in present]
            present.update(entry[0] for entry in new)
            yield f"{name}-{turn}", f"opt/{turn}", new


def _entries(tree: Path, listed: Path) -> Entries:
    entries = []
    with tarfile.open(fileobj=io.BytesIO(), mode="w") as archive:
        for line in listed.read_text().splitlines():
            path = line.strip("/.")
            place = tree / path
            if path and os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
                archive.inodes.clear()  # a name of its own each
                info = archive.gettarinfo(place, path)
                content = _content(place) if info.isreg() else b""
                info.size = len(content)
                entries.append((path, info, content))
            elif path:
                entries.append((path, _entry(path, tarfile.DIRTYPE), b""))
    return entries


def _content(place: Path) -> bytes:
    data = place.read_bytes()
    if data.startswith(b"\x7fELF"):
        return data if len(data) <= _ELF else b""
    return data[:_CONTENT]


def _entry(path: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.mode = kind, 0o755
    return info


def _write(archive: tarfile.TarFile, path: str, lines: Iterable[str]) -> None:
    data = "".join(lines).encode()
    info = _entry(path, tarfile.REGTYPE)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))
