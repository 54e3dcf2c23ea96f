"""What a way of using a file is, which recorder tells of it, and how docs/ways.md says so."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from paredown_schemas.trace import File

PLACE = "/ways"
Told = Mapping[str, str]  # path: the hows, in alphabetical order, with blanks between


@dataclasses.dataclass(frozen=True, kw_only=True)
class Way:
    """One way; its files lie in a directory of its name, which is where paths are told from.

    A recorder's own ``Told`` stands where it differs from what ``told`` says. Paths of an ellipsis
    and a name are truncated ones. ``since`` is the Linux release that has it.
    """

    name: str
    what: str
    does: str  # in the container, by a shell in the way's directory; prints "used" lines
    told: Told
    fanotify: Told | None = None
    trampolines: Told | None = None
    tracepoints: Told | None = None
    why: str = ""
    made: str = "echo used >file"  # in the image, by a shell in the way's directory
    overlay: str = ""  # mount options that the way takes
    passes: str = ""  # a file that is opened outside and passed to the container
    late: bool = False  # attached to when it is done
    since: tuple[int, int] = (0, 0)

    def expected(self, kind: str) -> frozenset[tuple[str, str]]:
        """Return the paths and hows that a kind of recorder (``KINDS``) tells of."""
        own: Told | None = getattr(self, kind)
        told = self.told if own is None else own
        return frozenset(
            (self._absolute(path), how) for path, hows in told.items() for how in hows.split()
        )

    def found(self, files: Sequence[File]) -> frozenset[tuple[str, str]]:
        """Return the same of what was recorded.

        Not the directories that were written to: no recorder tells of them, but an upper layer.
        """
        top = f"{PLACE}/{self.name}"
        return frozenset(
            (_name(file), file.how)
            for file in files
            if (file.kind, file.how) != ("directory", "write")
            if file.truncated or file.path == top or file.path.startswith(top + "/")
        )

    def _absolute(self, path: str) -> str:
        if path.startswith("…"):
            return path
        return f"{PLACE}/{self.name}" + ("" if path == "." else f"/{path}")


def _name(file: File) -> str:
    # The kernel's own names of files without one have the inode's number.
    path = re.sub(r"#\d+", "#N", file.path)
    return "…" + path if file.truncated else path


KINDS = ("fanotify", "trampolines", "tracepoints")


def kind(recorder: str) -> str:
    """Return the kind of a recorder of the registry."""
    known = {"fanotify": "fanotify", "ebpf-trampolines": "trampolines"}
    return known.get(recorder, "tracepoints")


HEAD = """\
# The ways in which a file is used

Each row is a test (tests/kernel/test_ways.py): a program in a container, with fresh files of the
image, uses them in this one way and says that it did. What the recorders tell then is what stands
here, and nothing else of these files. "yes" is the path inside the image, used as the second column
says; "no" is proven too. "…" before a name is a path that lacks its beginning, and keeps whatever
ends so. What needs a newer Linux than 5.10 says so. `bcc` tells what `ebpf-tracepoints` tells;
[Recording](recording.md) says which recorder is used when.

| way | is told as | `fanotify` | `ebpf-trampolines` | `ebpf-tracepoints` | |
| --- | --- | --- | --- | --- | --- |
"""


def document(ways: Sequence[Way]) -> str:
    """Return docs/ways.md."""
    return HEAD + "".join(_row(way) for way in ways)


def _row(way: Way) -> str:
    what = way.what + (f" (Linux {way.since[0]}.{way.since[1]})" if way.since[0] else "")
    cells = [what, _uses(way.told) or "nothing", *(_cell(way, kind) for kind in KINDS), way.why]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _cell(way: Way, kind: str) -> str:
    own: Told | None = getattr(way, kind)
    if own is None:
        return "yes" if way.told else "no"
    return _uses(own) or "no"


def _uses(told: Told) -> str:
    return "; ".join(f"{_short(path)}: {hows.replace(' ', ', ')}" for path, hows in told.items())


def _short(path: str) -> str:
    shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shown)
    return f"`{shown}`" if len(shown) < 60 else f"`{shown[:8]}…/file`"
