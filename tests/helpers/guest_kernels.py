"""Debian's kernels for the guests: apt downloads and verifies them, the cache keeps them."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from rootfs import cache_directory

MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUITES = {"5.10": "bullseye", "6.1": "bookworm", "6.12": "trixie", "newest": "sid"}
HEADERS = ("6.1",)  # where bcc is tried
_META = "linux-image-cloud-amd64"
_WANTED = re.compile(r"linux-(image|binary|modules|headers)-\d.*")
_START = 2048  # sectors before the partition
_FRESH = 7 * 86400  # seconds; a suite's kernel may change


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel as QEMU takes it: its image, and a disk of /lib/modules (with headers, if any)."""

    image: Path
    modules: Path


def kernel(name: str) -> Kernel:
    """Return the kernel ``name`` of ``SUITES``, downloaded now if the cache has none of this week.

    Raises:
        OSError, subprocess.SubprocessError: apt, kmod or e2fsprogs are missing or fail.
    """
    cache = cache_directory("kernels")
    place = cache / SUITES[name]
    with (cache / f"{SUITES[name]}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists() or time.time() - place.stat().st_mtime > _FRESH:
            temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=cache))
            try:
                _download(name, temporary)
                _make(temporary)
                shutil.rmtree(place, ignore_errors=True)
                (temporary / "made").rename(place)
                place.touch()
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return Kernel(place / "vmlinuz", place / "modules.img")


def _download(name: str, place: Path) -> None:
    """Unpack the packages that the suite's kernel consists of into ``place``/tree."""
    for directory in ("state/lists/partial", "cache/archives/partial", "debs"):
        (place / directory).mkdir(parents=True)
    (place / "status").touch()
    (place / "sources").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {SUITES[name]} main\n")
    (place / "conf").write_text(
        f'Dir::State "{place}/state"; Dir::State::status "{place}/status";'
        f'Dir::Cache "{place}/cache"; Dir::Etc::sourcelist "{place}/sources";'
        'Dir::Etc::sourceparts "-"; Acquire::Languages "none"; APT::Sandbox::User "root";'
        'APT::Architecture "amd64"; APT::Architectures { "amd64"; }; Acquire::Retries "5";'
    )
    _apt(place, "apt-get", "update", "-qq", "--error-on=any")
    metas = [_META, *(["linux-headers-cloud-amd64"] if name in HEADERS else [])]
    only = [
        f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces")
    ]
    listed = _apt(place, "apt-cache", "depends", "--recurse", *only, *metas).split()
    packages = sorted({found for found in listed if _WANTED.fullmatch(found)})
    _apt(place, "apt-get", "download", "-qq", *packages)
    for package in (place / "debs").iterdir():
        subprocess.run(["dpkg-deb", "-x", package, place / "tree"], check=True)


def _apt(place: Path, *command: str) -> str:
    env = {**os.environ, "APT_CONFIG": str(place / "conf")}
    done = subprocess.run(
        command, cwd=place / "debs", env=env, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        # A thread of its own starts guests: what is printed there stands at another test.
        raise OSError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return done.stdout


def _make(place: Path) -> None:
    tree, made = place / "tree", place / "made"
    made.mkdir()
    image = next(path for path in tree.rglob("vmlinuz*") if path.is_file())
    shutil.copyfile(image, made / "vmlinuz")
    modules = next(tree.glob("**/lib/modules"))
    (release,) = (path.parent.name for path in modules.glob("*/kernel"))
    if modules != tree / "lib/modules":  # merged /usr, where depmod looks in /lib
        (tree / "lib").symlink_to("usr/lib")
    subprocess.run(["depmod", "-b", tree, release], check=True, stderr=subprocess.DEVNULL)
    for source in tree.glob("usr/src/*"):
        source.rename(modules / source.name)
    make_disk(modules, made / "modules.img")


def make_disk(tree: Path, image: Path, size: str = "", signature: int = 2) -> None:
    """Write a disk of one ext4 partition with a directory's content; ``size`` as of mke2fs(8).

    The kernel finds the one with the signature 1 by "PARTUUID=00000001-01": their order varies.
    """
    if not size:
        used = subprocess.run(["du", "-sm", tree], check=True, capture_output=True, text=True)
        size = f"{int(used.stdout.split()[0]) * 5 // 4 + 32}M"
    options = ["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-E", f"offset={_START * 512}"]
    subprocess.run(["mke2fs", *options, "-d", tree, image, size], check=True, capture_output=True)
    # The partition table of old: disk signature, one entry of type Linux, magic.
    entry = struct.pack("<8B2I", 0, 0, 0, 0, 0x83, 0, 0, 0, _START, image.stat().st_size // 512)
    with image.open("r+b") as disk:
        disk.truncate(image.stat().st_size + _START * 512)
        disk.seek(440)
        disk.write(struct.pack("<IH", signature, 0) + entry + bytes(48) + b"\x55\xaa")
