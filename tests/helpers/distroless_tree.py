"""Root filesystems in the form of distroless images, from real Debian packages.

As GoogleContainerTools/distroless makes them (PACKAGE_METADATA.md there): the packages' files
alone, no maintainer script run, /usr not merged, and for a package NAME its control fields as
var/lib/dpkg/status.d/NAME and its md5sums beside them.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

STATUS_D = "var/lib/dpkg/status.d"
PYTHON = (
    *("base-files", "libbz2-1.0", "libc6", "libexpat1", "libffi8", "liblzma5", "libsqlite3-0"),
    *("libpython3.11-minimal", "libpython3.11-stdlib", "libssl3", "media-types", "openssl"),
    *("python3.11-minimal", "tzdata", "zlib1g"),
)


def make_distroless(source: Path, tree: Path, packages: Iterable[str] = PYTHON) -> None:
    """Fill ``tree`` with ``packages`` of the Debian root filesystem ``source``.

    The status file of every other package is called by its name in base64, as in images of 2021.
    """
    info = source / "var/lib/dpkg/info"
    stanzas = (source / "var/lib/dpkg/status").read_text().split("\n\n")
    control = {stanza.partition("\n")[0].removeprefix("Package: "): stanza for stanza in stanzas}
    (tree / STATUS_D).mkdir(parents=True)
    for number, name in enumerate(sorted(packages)):
        (listing,) = [*info.glob(f"{name}.list"), *info.glob(f"{name}:*.list")]
        _copy(source, tree, listing.read_text().splitlines())
        called = name if number % 2 else base64.b64encode(name.encode()).decode()
        fields = re.sub(r"(?m)^(Status|Conffiles):.*\n( .*\n)*", "", f"{control[name]}\n")
        (tree / STATUS_D / called).write_text(fields)
        sums = listing.with_suffix(".md5sums").read_text()
        (tree / STATUS_D / f"{called}.md5sums").write_text(sums)
    # What the makers of such images add by rules of their own.
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/sbin/nologin\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    (tree / "tmp").mkdir(mode=0o1777, exist_ok=True)


def packages(tree: Path) -> dict[str, str]:
    """Return the name in status.d of each package."""
    files = [path for path in (tree / STATUS_D).iterdir() if path.suffix != ".md5sums"]
    return {
        path.read_text().partition("\n")[0].removeprefix("Package: "): path.name for path in files
    }


def verify(tree: Path) -> set[str]:
    """Return what the md5sums say of files that are not so: ``PACKAGE /path``, by reading them."""
    wrong = set()
    for name, called in packages(tree).items():
        for line in (tree / STATUS_D / f"{called}.md5sums").read_text().splitlines():
            digest, _, path = line.partition("  ")
            place = tree / path
            if not place.is_file() or hashlib.md5(place.read_bytes()).hexdigest() != digest:
                wrong.add(f"{name} /{path}")
    return wrong


def _copy(source: Path, tree: Path, listed: list[str]) -> None:
    """Copy what a package lists; below /lib it stays, where ``source`` has a link to /usr/lib."""
    names = "\0".join(f".{path}" for path in listed if path != "/." and _is_there(source, path))
    reading = ["tar", "-C", str(source), "-c", "--no-recursion", "--null", "-T", "-"]
    archive = subprocess.run(reading, input=names.encode(), check=True, capture_output=True).stdout
    writing = ["tar", "-C", str(tree), "-xp", "--keep-directory-symlink"]
    subprocess.run(writing, input=archive, check=True)


def _is_there(source: Path, path: str) -> bool:
    """Leave out links between the halves of a merged /usr: they would become the directories."""
    place = f"{source}{path}"
    return os.path.lexists(place) and not (os.path.islink(place) and path.count("/") == 1)
