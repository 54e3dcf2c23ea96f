"""Why a program that is there does not start: what starts it is gone.

execve(2) says ENOENT for a script without its interpreter and for a program without its loader, as
it does for what is not there; a recording has the name that was asked for, and nothing at all where
it was a container's first program.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence

from paredown_minimizer.asked import Places, Request
from paredown_minimizer.elf import parse_elf
from paredown_minimizer.image.model import Image
from paredown_minimizer.image.source import open_image
from paredown_minimizer.leftout import counted_lookups
from paredown_minimizer.phases import Marks
from paredown_minimizer.scripts import LINE_LIMIT, parse_shebang
from paredown_minimizer.trial import Launch, Trial
from paredown_minimizer.trial.processes import tail
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import Plan
from paredown_schemas.trace import Lookup

# docker's default PATH, which the agent gives as well.
_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# runc's messages: exec: "name": …; exec /a/path: no such file or directory
_EXEC = re.compile(r'\bexec:? \\?"?([^"\s:\\]+)')
_DEPTH = 5  # of scripts that start scripts: the kernel's own bound (fs/exec.c)


def never_started(plan: Plan, launch: Launch, trial: Trial) -> Sequence[Request]:
    """Return what goes and is needed to start what a trial on the slim image could not execute."""
    places = Places(plan)
    failed: list[tuple[str, Lookup | None]] = []
    if trial.run is not None:
        lookups = counted_lookups(plan, trial.run)
        failed += [
            (each.path, each)
            for each in lookups
            if each.call == "exec" and each.error == "ENOENT" and places.missed(each) is None
        ]
    first = not (trial.run and trial.run.sessions())
    if not failed and not first:
        return ()
    marks = Marks(trial.run) if trial.run else None
    scheme = {"rootfs": "dir", "podman": "podman"}.get(launch.target, "docker")
    with contextlib.closing(open_image(f"{scheme}:{launch.image}", plan.platform)) as image:
        if first:
            failed += [(path, None) for path in _first_programs(launch, trial, image)]
        return [
            Request(
                path,
                "exec",
                lookup.exe if lookup else None,
                marks.test(lookup.time) if marks and lookup else None,
            )
            for program, lookup in failed
            for path in _needed(program, image)
            if path in places.removed
        ]


def _first_programs(launch: Launch, trial: Trial, image: Image) -> Iterator[str]:
    config = image.config.get("config") or {}
    names = [*_EXEC.findall(tail(trial.log))]
    names += [words[0] for words in (config.get("Entrypoint"), config.get("Cmd")) if words]
    names += launch.words()[:1] if launch.target == "rootfs" else []
    for name in dict.fromkeys(names):
        yield from [name] if name.startswith("/") else [f"{place}/{name}" for place in _PATH]


def _needed(program: str, image: Image) -> Iterator[str]:
    """Yield a program and what the kernel takes to start it, as far as it is there."""
    for _ in range(_DEPTH):
        yield image.tree.canonical(program)
        resolved = image.tree.resolve(program)
        if resolved is None or image.tree[resolved.path].type != "file":
            return
        starter = _starter(image, resolved.path)
        if starter is None:
            return
        program = starter


def _starter(image: Image, path: str) -> str | None:
    with image.open(path) as file:
        if script := parse_shebang(file.read(LINE_LIMIT)):
            return script.interpreter
        file.seek(0)
        try:
            return parse_elf(file).interpreter
        except ParedownError:
            return None
