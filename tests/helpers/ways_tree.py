"""The part of an image in which each way of using a file has files of its own."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ways import Way

SOURCE = Path(__file__).resolve().parent.parent / "data" / "ways"
MUSL = "/usr/lib/x86_64-linux-musl"

_FREESTANDING = "-O1 -Wall -nostdlib -ffreestanding -fno-stack-protector freestanding.c"
_LINKED = "-pie -fPIE -Wl,--dynamic-linker=/ways"
PROGRAMS = {
    "use": "-D_GNU_SOURCE -O1 -Wall -static -pthread use.c opens.c execs.c threads.c",
    "used": f"{_FREESTANDING} -static",
    "used-32": f"{_FREESTANDING} -static -m32",
    "opens-32": f"{_FREESTANDING} -static -m32 -DOPENS",
    "loader": f"{_FREESTANDING} -static-pie -fPIE",
    "loader-32": f"{_FREESTANDING} -static-pie -fPIE -m32",
    "linked": f"{_FREESTANDING} {_LINKED}/loader/loader",
    "linked-32": f"{_FREESTANDING} {_LINKED}/loader-32/loader -m32",
    "dangling": f"{_FREESTANDING} {_LINKED}/exec-fails/none",
    "library.so": f"{_FREESTANDING} -shared -fPIC -DLIBRARY",
    # As musl-gcc does, which would bring a second compiler.
    "used-musl": f"-nostdinc -isystem /usr/include/x86_64-linux-musl -nostdlib"
    f" -Wl,--dynamic-linker=/ways/musl/link {MUSL}/crt1.o {MUSL}/crti.o hosted.c"
    f" -L{MUSL} -lc {MUSL}/crtn.o",
}


def programs() -> Path:
    """Return a directory of ``PROGRAMS``, compiled now if the cache lacks it.

    A machine without a compiler needs that directory in its own cache.

    Raises:
        OSError, subprocess.CalledProcessError: clang, musl-dev or musl are missing or fail.
    """
    cache = Path(os.environ.get("PAREDOWN_CACHE") or Path.home() / ".cache" / "paredown") / "ways"
    cache.mkdir(parents=True, exist_ok=True)
    tree = cache / f"programs-{_digest()}"
    if tree.exists():
        return tree
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            _compile(tree)
    return tree


def _digest() -> str:
    digest = hashlib.sha256(repr(PROGRAMS).encode())
    for source in sorted(SOURCE.iterdir()):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:12]


def _compile(tree: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=tree.parent))
    try:
        for name, arguments in PROGRAMS.items():
            command = ["clang", *arguments.split(), "-o", str(temporary / name)]
            subprocess.run(command, cwd=SOURCE, check=True, capture_output=True)
        shutil.copyfile(f"{MUSL}/libc.so", temporary / "musl.so")
        (temporary / "musl.so").chmod(0o755)
        temporary.chmod(0o755)
        temporary.rename(tree)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def make(tree: Path, ways: Iterable[Way], built: Path) -> None:
    """Make the files of ``ways`` below ``tree``/ways, an image's layer to be."""
    top = tree / "ways"
    top.mkdir()
    shutil.copy(built / "use", top / "use")
    made = "".join(f"mkdir {way.name}; cd {way.name}\n{way.made}\ncd {top}\n" for way in ways)
    subprocess.run(["sh", "-euc", made], cwd=top, env={**os.environ, "P": str(built)}, check=True)
