"""Debian root filesystems, made once by mmdebstrap and kept in a cache."""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"
SUITES = {"bullseye": 11, "bookworm": 12, "trixie": 13}
SUITE = "bookworm"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A minbase Debian with packages, and what is changed after their installation."""

    packages: tuple[str, ...]
    files: tuple[tuple[Path, str], ...] = ()  # a file of ours, its place
    remove: tuple[str, ...] = ()
    suite: str = SUITE

    @property
    def digest(self) -> str:
        """Return what a cached tree of another recipe differs in; its name tells the suite."""
        digest = hashlib.sha256(repr((self.packages, self.remove)).encode())
        for source, place in self.files:
            digest.update(place.encode() + source.read_bytes())
        return digest.hexdigest()[:12]


RECIPES = {
    "guest": Recipe(  # of QEMU: see guest.py
        (
            "iproute2",
            "kmod",
            "libbpf1",
            "python3-bpfcc",
            "python3-hypothesis",
            "python3-msgpack",
            "python3-psutil",
            "python3-pytest",
            "runc",
            "strace",
            "wrk",
        ),
        files=((DATA / "guest" / "init", "/etc/guest-init"),),
    ),
    "nginx": Recipe(("nginx",)),
    "flask": Recipe(
        ("python3-flask", "gunicorn", "ca-certificates", "tzdata"),
        files=((DATA / "flask_app" / "app.py", "/app/app.py"),),
        remove=("/etc/localtime",),
    ),
    "compiler": Recipe(("gcc", "libc6-dev")),
    "redis": Recipe(("redis-server",)),
    "postgres": Recipe(
        ("postgresql",), files=((DATA / "postgres" / "pg_hba.conf", "/etc/pg_hba.conf"),)
    ),
    "java": Recipe(
        ("openjdk-17-jdk-headless",),
        files=((DATA / "java_app" / "Server.java", "/app/Server.java"),),
    ),
    "node": Recipe(("nodejs",), files=((DATA / "node_app" / "server.js", "/app/server.js"),)),
    "ruby": Recipe(
        ("ruby", "ruby-webrick"), files=((DATA / "ruby_app" / "server.rb", "/app/server.rb"),)
    ),
    "apache": Recipe(("apache2", "perl")),
    "git": Recipe(("git",)),
    "django": Recipe(("python3-django", "gunicorn")),
    "php": Recipe(("nginx", "php-cli", "php-fpm", "php-mbstring", "php-sqlite3")),
}
# Of tests/data/knowledge, see proofs_system.py.
RECIPES["knowledge"] = Recipe(
    (
        *("busybox", "ca-certificates", "gosu", "libnss-extrausers", "libnss-myhostname"),
        *(
            "mbuffer",
            "netbase",
            "openssl",
            "pamtester",
            "perl",
            "prometheus-node-exporter",
            "tzdata",
        ),
    ),
    files=(
        (DATA / "knowledge" / "nsswitch.conf", "/etc/nsswitch.conf"),
        (DATA / "knowledge" / "extrausers", "/var/lib/extrausers/passwd"),
        (DATA / "knowledge" / "hosts", "/etc/hosts"),
        (DATA / "knowledge" / "letter", "/srv/letter"),
        (DATA / "knowledge" / "pam_env.conf", "/etc/security/pam_env.conf"),
        (DATA / "knowledge" / "entrypoint.sh", "/srv/entrypoint.sh"),
        (DATA / "knowledge" / "functions.sh", "/srv/functions.sh"),
    ),
)
# What a suite has under another name, comes with another package or lacks: bullseye's archive
# lists a php7.4-sqlite3 that it does not have.
_OTHERWISE = {
    ("openjdk-17-jdk-headless", "trixie"): ("openjdk-21-jdk-headless",),
    ("php-sqlite3", "bullseye"): (),
    ("ruby-webrick", "bullseye"): (),
}


def in_suite(name: str, suite: str) -> str:
    """Return the name of ``RECIPES[name]`` as another suite has it, which is made a recipe too."""
    if suite == SUITE:
        return name
    packages = (
        other
        for package in RECIPES[name].packages
        for other in _OTHERWISE.get((package, suite), (package,))
    )
    recipe = dataclasses.replace(RECIPES[name], packages=tuple(packages), suite=suite)
    RECIPES.setdefault(f"{name}-{suite}", recipe)
    return f"{name}-{suite}"


def cache_directory(name: str) -> Path:
    """Return a directory that outlives test runs, made now if it is missing."""
    cache = Path(os.environ.get("PAREDOWN_CACHE") or Path.home() / ".cache" / "paredown") / name
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def cached(name: str) -> Path:
    """Return the tree of ``RECIPES[name]``, made now if the cache lacks it; only to be read.

    Raises:
        OSError, subprocess.CalledProcessError: mmdebstrap is missing or failed.
    """
    recipe = RECIPES[name]
    return cached_tree(f"{name}-{recipe.digest}", functools.partial(_make, recipe))


def cached_tree(name: str, make: Callable[[Path], None]) -> Path:
    """Return the tree ``name`` of the cache, which ``make`` makes under another name if missing."""
    cache = cache_directory("rootfs")
    tree = cache / name
    # Two test runs at once must not make the same tree twice.
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=cache))
            try:
                make(temporary / "root")
                (temporary / "root").rename(tree)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return tree


def _make(recipe: Recipe, root: Path) -> None:
    include = ",".join(recipe.packages)
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={include}"]
    command += [recipe.suite, str(root)]
    subprocess.run(command, check=True, timeout=600, stdin=subprocess.DEVNULL, text=True)
    for source, place in recipe.files:
        target = root / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    for place in recipe.remove:
        (root / place.lstrip("/")).unlink(missing_ok=True)
