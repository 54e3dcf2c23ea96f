"""Which paths a command looked up according to strace, and how that ended."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from paredown_agent.mountinfo import is_below
from strace_witness import DESCRIPTOR, FORKS, LINE, STRING, Line, forks, resolve, unescape

Found = tuple[str, str, str | None]  # call, path, error
_CLASSES = {
    "stat": "?stat,?lstat,newfstatat,statx,statfs,?name_to_handle_at",
    "access": "?access,faccessat,?faccessat2,chdir,inotify_add_watch",
    "readlink": "?readlink,readlinkat",
    "list": "?getdents,getdents64",
    "open": "?open,?creat,openat,?openat2",
    "exec": "execve,execveat",
}
_CALL = {call.strip("?"): name for name, calls in _CLASSES.items() for call in calls.split(",")}
_ERROR = re.compile(r"^ (E[A-Z0-9]+) ")


def arguments(log: Path) -> list[str]:
    """Return the start of a command line that writes what ``read_log`` reads to ``log``.*."""
    calls = ",".join([*_CLASSES.values(), "fchdir,chroot", FORKS])
    options = ["-ff", "-qq", "-y", "-s", "8192", "-e", "signal=none", "-e", f"trace={calls}"]
    return ["strace", *options, "-o", str(log)]


@dataclasses.dataclass
class _Thread:
    cwd: str
    root: str = "/"
    began: bool = False  # a program was executed inside


class _Reader:
    """Follows the threads of one run; see ``read_log``."""

    def __init__(self, root: Path, volumes: Sequence[str], binds: Mapping[str, str]) -> None:
        self.found: set[Found] = set()
        self._root = str(root.resolve())
        self._volumes = volumes
        self._binds = binds

    def follow(self, line: Line, thread: _Thread) -> None:
        """Take a call that is no fork."""
        name, text, rest, result = line
        failed = result.startswith("-")
        string, descriptor = STRING.search(text), DESCRIPTOR.match(text.lstrip("0123456789"))
        named = unescape(string[1]) if string else ""
        base = unescape(descriptor[1]) if descriptor else thread.cwd
        call = _CALL.get(name, "")
        looks = bool(named) if string else call == "list"
        if thread.began and call and looks and (failed or call not in ("open", "exec")):
            if path := self._inside(_join(thread.root, base, named)):
                error = _ERROR.match(rest)
                self.found.add((call, path, error[1] if error else None))
        elif call == "exec" and not failed and thread.root == self._root:
            thread.began = True
        if name == "chroot" and not failed:
            thread.root = resolve(named, thread.cwd, thread.root)
        elif name in ("chdir", "fchdir") and not failed:
            thread.cwd = resolve(named, base, thread.root)

    def _inside(self, path: str) -> str | None:
        if not is_below(path, self._root):
            return None
        inside = path[len(self._root) :] or "/"
        if any(is_below(inside, volume) for volume in self._volumes):
            return None
        for point, place in self._binds.items():
            if is_below(inside, point) and inside != point:
                return place + inside[len(point) :]
        return inside


def read_log(
    log: Path, root: Path, *, volumes: Sequence[str], binds: Mapping[str, str]
) -> set[Found]:
    """Return the look-ups of programs that were executed in ``root``, as paths inside of it.

    They must not run in a pid namespace of their own: strace would tell of its numbers.
    What lies in and below ``volumes`` is left out; ``binds`` show what lies elsewhere.
    """
    files = {int(path.suffix[1:]): path for path in log.parent.glob(f"{log.name}.*")}
    lines = {pid: list(_lines(path)) for pid, path in files.items()}
    children = {int(line[3]) for text in lines.values() for line in text if forks(line)}
    reader = _Reader(root, volumes, binds)
    pending = [(pid, _Thread(os.getcwd())) for pid in lines if pid not in children]
    while pending:
        pid, thread = pending.pop()
        for line in lines.pop(pid, []):
            if forks(line):
                pending.append((int(line[3]), dataclasses.replace(thread)))
            else:
                reader.follow(line, thread)
    return reader.found


def _lines(path: Path) -> Iterator[Line]:
    for text in path.read_text("latin-1").splitlines():
        if match := LINE.match(text):
            yield match["name"], match["arguments"], match["rest"], match["result"]


def _join(root: str, base: str, named: str) -> str:
    """Return the host's path of ``named``, links and ".." in it left alone."""
    path = root + named if named.startswith("/") else f"{base}/{named}"
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
