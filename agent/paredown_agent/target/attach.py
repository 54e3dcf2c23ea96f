"""A late attach: what a container's processes already are and hold.

What was opened and closed before cannot be known any more; what is open or mapped can.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from paredown_agent.mountinfo import MountTable, read_mounts
from paredown_agent.recorder.base import Clock, Recorder
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import decode_name
from paredown_schemas.trace import File, How, Kind, Record, Snapshot

_DELETED = " (deleted)"
_ELF = b"\x7fELF"


def attach(first: int, recorder: Recorder, clock: Clock) -> list[Record]:
    """Adopt the container whose first process is ``first``; return the snapshot of what it holds.

    Its first process's tree is the container's own session. Any other tree in its mount namespace
    came in from outside (``docker exec``, a probe) and is a session of its own. ``recorder``
    already watches its superblock.

    Raises:
        ParedownError: the container has ended.
    """
    namespace = _mount_namespace(first)
    root = read_mounts(first).locate("/")
    if namespace is None or root is None:
        raise ParedownError(f"cannot attach to process {first}: it has no root of its own")
    device = root.mount.device
    sessions = {recorder.adopt(first, "container"): _tree(first)}
    own = {process.pid for process in sessions[min(sessions)]}
    for outsider in _injected(namespace, own):
        tree = _tree(outsider)
        own.update(process.pid for process in tree)
        sessions[recorder.adopt(outsider, "injected")] = tree
    now = clock.now()
    records: list[Record] = [Snapshot(processes=len(own), time=now)]
    for session, tree in sessions.items():
        for process in tree:
            records.extend(_held(process.pid, session, device, now))
    return list(dict.fromkeys(records))


def _tree(root: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _injected(namespace: int, own: set[int]) -> Iterator[int]:
    """Processes of the mount namespace whose parents are outside of it; parents come first."""
    for process in sorted(psutil.process_iter(), key=lambda each: each.create_time()):
        if process.pid not in own and _mount_namespace(process.pid) == namespace:
            try:
                parent = process.ppid()
            except psutil.NoSuchProcess:
                continue
            if parent not in own and _mount_namespace(parent) != namespace:
                yield process.pid


def _mount_namespace(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except OSError:
        return None


def _held(pid: int, session: int, device: int, now: int) -> Iterator[File]:
    """The first use of each path by one process; a process that ends meanwhile holds nothing."""
    try:
        mounts = read_mounts(pid)
    except ParedownError:
        return
    exe = _locate(mounts, _read_link(f"/proc/{pid}/exe"), device)
    for link, how in _links(pid):
        found = _file(link, how, mounts, device)
        if found is None:
            continue
        path, used, status = found
        if used == "library" and path == exe:
            continue  # a program is mapped as well
        yield File(
            path=path,
            how=used,
            kind=_kind(status),
            session=session,
            exe=exe,
            time=now,
            size=status.st_size,
            mtime=status.st_mtime_ns,
            device=status.st_dev,
            inode=status.st_ino,
            truncated=False,
            held=True,
        )


def _links(pid: int) -> Iterator[tuple[str, How]]:
    """The links of /proc/PID (proc(5)) that lead to what it holds."""
    base = f"/proc/{pid}"
    yield f"{base}/exe", "exec"
    yield f"{base}/cwd", "directory"
    for name in _list(f"{base}/map_files"):
        yield f"{base}/map_files/{name}", "library"
    for name in _list(f"{base}/fd"):
        yield f"{base}/fd/{name}", "read"


def _list(directory: str) -> Sequence[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _file(
    link: str, how: How, mounts: MountTable, device: int
) -> tuple[str, How, os.stat_result] | None:
    """What a link leads to, if that lies on the image's superblock and still has a name."""
    text = _read_link(link)
    try:
        status, opened = os.stat(link), os.lstat(link)
    except OSError:
        return None
    if text is None or (status.st_nlink == 0 and text.endswith(_DELETED)):
        return None
    path = _locate(mounts, text, device)
    if path is None:
        return None
    if stat.S_ISDIR(status.st_mode):
        return path, "directory", status
    if how == "read" and opened.st_mode & stat.S_IWUSR:
        return path, "write", status
    if how == "library" and not _is_elf(link, status):
        return path, "read", status
    return path, how, status


def _read_link(link: str) -> str | None:
    try:
        return decode_name(os.readlink(os.fsencode(link)))
    except OSError:
        return None


def _locate(mounts: MountTable, path: str | None, device: int) -> str | None:
    """By mount and not by the file's device number, which overlayfs may take from a lower layer."""
    located = mounts.locate(path) if path is not None and path.startswith("/") else None
    return located.path if located is not None and located.mount.device == device else None


def _kind(status: os.stat_result) -> Kind:
    if stat.S_ISDIR(status.st_mode):
        return "directory"
    return "file" if stat.S_ISREG(status.st_mode) else "other"


def _is_elf(link: str, status: os.stat_result) -> bool:
    if not stat.S_ISREG(status.st_mode):
        return False
    try:
        with Path(link).open("rb") as file:
            return file.read(len(_ELF)) == _ELF
    except OSError:
        return False
