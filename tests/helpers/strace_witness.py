"""What a command uses according to strace: the witness that the recorders are held against.

``strace -ff`` writes a file per thread, so that no line is ever interleaved; ``-y`` prints the path
behind each descriptor as the kernel resolved it, symlinks, dirfds and chroot included. Only exec
names no descriptor: its string is resolved against the working directory and root of its thread,
which are followed through fork, chdir, fchdir and chroot.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

_CALLS = "?open,openat,?openat2,?creat,execve,?execveat,chdir,fchdir,chroot"
FORKS = "clone,?clone3,?fork,?vfork"
LINE = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\)\s+= (?P<result>-?\d+)(?P<rest>.*)$")
DESCRIPTOR = re.compile(r"<((?:[^<>\\]|\\.)*)>")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|[0-7]{1,3}|.)")
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}


@dataclasses.dataclass
class _Thread:
    root: str
    cwd: str


@dataclasses.dataclass(frozen=True)
class Uses:
    """Absolute paths below the root, symlinks resolved."""

    opened: frozenset[str]
    executed: frozenset[str]


def arguments(log: Path) -> list[str]:
    """Return the start of a command line that writes what ``read_log`` reads to ``log``.*."""
    options = ["-ff", "-qq", "-y", "-s", "8192", "-e", "signal=none"]
    return ["strace", *options, "-e", f"trace={_CALLS},{FORKS}", "-o", str(log)]


def run(command: Sequence[str], log: Path, root: Path = Path("/"), timeout: float = 60) -> Uses:
    """Run ``command`` to its end and return what it used below ``root`` (a chroot, say)."""
    subprocess.run([*arguments(log), *command], check=True, timeout=timeout)
    return read_log(log, root)


def read_log(log: Path, root: Path = Path("/")) -> Uses:
    """Return what the threads of one strace run used below ``root``."""
    files = {int(path.suffix[1:]): path for path in log.parent.glob(f"{log.name}.*")}
    opened: set[str] = set()
    executed: set[str] = set()
    # A child's log may not be read before its parent's: that tells where the child starts.
    children = {int(line[3]) for path in files.values() for line in _lines(path) if forks(line)}
    pending = [(pid, _Thread("/", os.getcwd())) for pid in files if pid not in children]
    while pending:
        pid, thread = pending.pop()
        for line in _lines(files.pop(pid)) if pid in files else ():
            if forks(line):
                pending.append((int(line[3]), dataclasses.replace(thread)))
            else:
                _follow(line, thread, opened, executed)
    return Uses(_below(opened, root), _below(executed, root))


Line = tuple[str, str, str, str]  # name, arguments, what follows "=", the number of it


def _lines(path: Path) -> Iterator[Line]:
    for text in path.read_text("latin-1").splitlines():
        match = LINE.match(text)
        if match and not match["result"].startswith("-"):
            yield match["name"], match["arguments"], match["rest"], match["result"]


def forks(line: Line) -> bool:
    return line[0] in ("clone", "clone3", "fork", "vfork")


def _follow(line: Line, thread: _Thread, opened: set[str], executed: set[str]) -> None:
    name, text, rest, _ = line
    if name.startswith(("open", "creat")):
        if descriptor := DESCRIPTOR.match(rest):
            opened.add(unescape(descriptor[1]))
    elif name == "fchdir":
        thread.cwd = unescape(_descriptor(text))
    else:
        string = STRING.search(text)
        assert string is not None, text
        base = unescape(_descriptor(text)) if name == "execveat" else thread.cwd
        path = resolve(unescape(string[1]), base, thread.root)
        if name == "chdir":
            thread.cwd = path
        elif name == "chroot":
            thread.root = path
        else:
            executed.add(path)


def _descriptor(text: str) -> str:
    match = DESCRIPTOR.search(text)
    assert match is not None, text
    return match[1]


def unescape(text: str) -> str:
    def replace(match: re.Match[bytes]) -> bytes:
        code = match[1]
        if code[:1] == b"x":
            return bytes([int(code[1:], 16)])
        return bytes([int(code, 8)]) if code[:1].isdigit() else _LETTERS.get(code, code)

    return os.fsdecode(_ESCAPE.sub(replace, text.encode("latin-1")))


def resolve(path: str, cwd: str, root: str) -> str:
    """Return the host's path of ``path`` in a chroot; symlinks stay inside of it."""
    if not path:
        return cwd
    if not path.startswith("/"):
        path = os.path.join(os.path.relpath(cwd, root), path)
    here = "/"
    parts = list(reversed(path.split("/")))
    for _ in range(4096):
        if not parts:
            break
        part = parts.pop()
        step = os.path.normpath(os.path.join(here, part))
        inside = os.path.join(root, step.lstrip("/"))
        if os.path.islink(inside):
            target = os.readlink(inside)
            here = "/" if target.startswith("/") else here
            parts.extend(reversed(target.split("/")))
        else:
            here = step
    return os.path.normpath(os.path.join(root, here.lstrip("/")))


def _below(paths: set[str], root: Path) -> frozenset[str]:
    top = str(root.resolve()).rstrip("/")
    return frozenset(
        path[len(top) :] or "/" for path in paths if path == top or path.startswith(top + "/")
    )
