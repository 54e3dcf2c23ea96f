"""Run a command on another kernel: a guest of QEMU's software emulation, with the project inside.

By hand, from the top of the project, as root:

    PYTHONPATH=tests/helpers .venv/bin/python tests/helpers/guest.py 6.1 paredown-agent doctor

A guest boots from NVMe and ext4, which Debian's cloud kernels have built in, without an initramfs.
Its disks, by their serial numbers:

- root: rootfs.RECIPES["guest"]; what is written to it vanishes with the guest
- modules: the kernel's
- exchange: a tar archive of the project and the command; in the end one of what the command left in
  /results, with its exit status
- root filesystems of the tests, by their names in the cache
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import guest_kernels
import rootfs

PROJECT = Path(__file__).resolve().parent.parent.parent
_CARRIED = ("agent", "schemas", "tests", "scripts", "pyproject.toml")
_EXCHANGE = 256 << 20  # bytes; sparse
_BOOT = (
    "console=ttyS0 quiet panic=-1 no_timer_check audit=0 mitigations=off root=PARTUUID=00000001-01"
    " rootwait rw"
    " init=/bin/sh -- /etc/guest-init"
)
_LIBRARY = "/usr/lib/python3/dist-packages"


@dataclasses.dataclass(frozen=True)
class Machine:
    """The guest's hardware.

    ``exact`` gives it one processor and a clock that counts executed instructions: one is 1 ns.
    """

    memory: str = "2G"
    processors: int = 2
    exact: bool = False

    def arguments(self) -> list[str]:
        """Return QEMU's arguments."""
        if self.exact:
            turn = ["-accel", "tcg,thread=single", "-icount", "shift=0", "-smp", "1"]
        else:
            turn = ["-accel", "tcg,thread=multi", "-smp", str(self.processors)]
        # Five-level page tables are one more level to walk in software. QEMU 7.2 now and then has
        # the wrong flags after cmpxchg16b: a double fault in the kernel's allocator.
        return [*turn, "-cpu", "max,la57=off,cx16=off", "-m", self.memory]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command in a guest ended: no status where the guest did not come to its end."""

    status: int | None
    console: str
    results: Path  # what it left in /results
    took: float  # seconds


def run(
    kernel: str,
    command: Sequence[str],
    place: Path,
    *,
    trees: Sequence[str] = ("nginx",),
    machine: Machine = Machine(),
    env: Mapping[str, str] | None = None,
    carried: Mapping[str, Path] | None = None,
    timeout: float = 600,
    started: Callable[[subprocess.Popen[bytes]], None] | None = None,
) -> Outcome:
    """Boot a kernel of guest_kernels.SUITES and run a command at the top of the project in it.

    ``trees`` are names of rootfs.RECIPES that lie in the guest's cache, ``carried`` more files by
    their place in the project. ``place`` is an empty directory for the console's log and the
    results; ``started`` is handed QEMU's process. A guest that takes more than ``timeout`` seconds
    is killed.

    Raises:
        OSError, subprocess.SubprocessError: what it takes is not there or fails.
    """
    booted = guest_kernels.kernel(kernel)
    images = [_tree_image(name) for name in trees]
    exchange, log, results = place / "exchange", place / "console", place / "results"
    _pack(exchange, _script(command, env or {}, images), carried or {})
    arguments = [
        *("nice", "-n", "19"),
        *("qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-serial", f"file:{log}", "-kernel", str(booted.image), *machine.arguments()),
        *("-append", _BOOT),
        *_disk("root", _tree_image("guest"), "snapshot=on"),
        *_disk("modules", booted.modules, "readonly=on"),
        *_disk("exchange", exchange, "cache=unsafe"),
    ]
    for image in images:
        arguments += _disk(_serial(image), image, "readonly=on")
    began = time.monotonic()
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        if started:
            started(process)
        try:
            _, said = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            said = f"killed after {timeout} s".encode()
    console = log.read_text("utf-8", "replace") if log.exists() else ""
    console += said.decode("utf-8", "replace")
    results.mkdir()
    return Outcome(_unpack(exchange, results), console, results, time.monotonic() - began)


def _disk(serial: str, image: Path, options: str) -> list[str]:
    drive = f"if=none,id={serial},file={image},format=raw,{options}"
    return ["-drive", drive, "-device", f"nvme,drive={serial},serial={serial}"]


def _serial(image: Path) -> str:
    return image.stem[:20]  # NVMe has no more room


def _tree_image(name: str) -> Path:
    """Return the image of a root filesystem, named as its tree; other recipes' are removed."""
    tree = rootfs.cached(name)
    cache = rootfs.cache_directory("guests")
    image = cache / f"{tree.name}.img"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.exists():
            temporary = image.with_suffix(".new")
            temporary.unlink(missing_ok=True)
            if name == "guest":
                guest_kernels.make_disk(tree, temporary, "4G", signature=1)
            else:
                guest_kernels.make_disk(tree, temporary)
            for old in cache.glob(f"{name}-{'[0-9a-f]' * 12}.img"):
                old.unlink()
            temporary.rename(image)
    return image


def _script(command: Sequence[str], env: Mapping[str, str], images: Sequence[Path]) -> str:
    mounts = [f"mount_tree {_serial(image)} /cache/rootfs/{image.stem}" for image in images]
    exports = {"PAREDOWN_CACHE": "/cache", "PYTHONPATH": "tests/helpers", **env}
    lines = [
        f'printf "/project/schemas\\n/project/agent\\n" >{_LIBRARY}/paredown.pth',
        "mkdir -p /cache",
        "ln -s /project/path/paredown-agent /usr/bin/",  # beside Python: applications.AGENT
        "cp -r cache/ways /cache/",
        *mounts,
        *(f"export {name}={shlex.quote(value)}" for name, value in exports.items()),
        shlex.join(command),
    ]
    return "\n".join(lines) + "\n"


def _pack(exchange: Path, script: str, carried: Mapping[str, Path]) -> None:
    with tarfile.open(exchange, "w") as archive, tempfile.TemporaryDirectory() as place:
        for name in _CARRIED:
            archive.add(PROJECT / name, name, filter=_without_caches)
        file = Path(place) / "command"
        file.write_text(script)
        archive.add(file, file.name)
        agent = Path(place) / "paredown-agent"
        agent.write_text('#!/bin/sh\nexec python3 -m paredown_agent "$@"\n')
        agent.chmod(0o755)
        archive.add(agent, "path/paredown-agent")
        archive.add(rootfs.cache_directory("ways"), "cache/ways")  # there is no compiler
        for name, source in carried.items():
            archive.add(source, name)
    os.truncate(exchange, _EXCHANGE)


def _without_caches(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if entry.name.endswith("__pycache__") else entry


def _unpack(exchange: Path, results: Path) -> int | None:
    """Return the exit status that the guest left, after unpacking what lies beside it."""
    with tarfile.open(exchange) as archive:
        archive.extractall(results, filter="data")
    with contextlib.suppress(FileNotFoundError):
        return int((results / "status").read_text())
    shutil.rmtree(results)  # it is still what was handed in
    results.mkdir()
    return None


def main(kernel: str, *command: str) -> int:
    """Run a command line in a guest, with its console shown; return its exit status."""
    with tempfile.TemporaryDirectory(prefix="paredown-guest-") as place:
        outcome = run(kernel, command, Path(place))
        print(outcome.console)
        for left in sorted(outcome.results.rglob("*")):
            print(left.relative_to(outcome.results))
    return 1 if outcome.status is None else outcome.status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
