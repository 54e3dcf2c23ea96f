"""Root filesystems that rpm manages, with real software and real databases of all three forms.

The files and packages are those of Debian's nginx (rootfs.py): rpmbuild makes rpms of what dpkg
lists, rpm installs them into a new tree. Debian 12's rpm writes SQLite alone; ndb comes from Debian
13's, Berkeley DB from Debian 11's, which are run where they were unpacked.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rootfs

# Form of the database -> its directory, whether /var/lib/rpm is a link to it, and whose rpm it is.
FORMS = {
    "sqlite": ("/usr/lib/sysimage/rpm", True, None),  # as Fedora and RHEL 10
    "ndb": ("/usr/lib/sysimage/rpm", True, "trixie"),  # as SUSE
    "bdb": ("/var/lib/rpm", False, "bullseye"),  # as RHEL 8 and before
}
_VERSION = "2"  # of what is done here; another one makes the trees anew
_GONE = (
    *("var/lib/dpkg", "var/lib/apt", "var/cache/apt", "var/cache/debconf"),
    *("var/log/apt", "var/log/dpkg.log", "var/log/alternatives.log", "var/log/bootstrap.log"),
)
_NAMES = re.compile(r"(?:^|,)\s*([a-z0-9][a-z0-9+.-]*)")


def cached(form: str) -> Path:
    """Return the tree with a database of this form, made if the cache lacks it; only to be read.

    Raises:
        OSError, subprocess.CalledProcessError: rpm, rpmbuild or mmdebstrap are missing or failed.
    """
    source = rootfs.cached("nginx")
    name = f"rpm-{form}-{source.name}-{_VERSION}"
    if form == "sqlite":
        return rootfs.cached_tree(name, lambda tree: _install(source, tree))
    return rootfs.cached_tree(name, functools.partial(_convert, cached("sqlite"), form))


def rpm(form: str, *arguments: str | Path, program: str = "rpm", stdin: Any = None) -> bytes:
    """Run rpm of a distribution that has databases of this form; return its output.

    Raises:
        subprocess.CalledProcessError: it failed, which "rpm -V" does where it finds something.
    """
    command = [*_program(form, program), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, stdin=stdin).stdout


def query(form: str, tree: Path, *arguments: str) -> str:
    """Return what rpm answers about a tree; it may make indexes anew."""
    return rpm(form, *_place(form, tree), *arguments).decode()


def listed(form: str, tree: Path) -> set[str]:
    """Return the names of the packages that rpm lists."""
    return set(query(form, tree, "-qa", "--qf", "%{NAME}\n").split())


def packages(form: str, tree: Path) -> set[tuple[str, str, str]]:
    """Return name, version with epoch and release, and architecture of what rpm lists."""
    columns = ("%{NAME}", "%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}", "%{ARCH}")
    lines = query(form, tree, "-qa", "--qf", " ".join(columns) + "\n").splitlines()
    return {(name, version, arch) for name, version, arch in (line.split(" ") for line in lines)}


def verify(form: str, tree: Path) -> set[str]:
    """Return what ``rpm -V`` finds in all packages; dependencies are not looked at.

    Raises:
        AssertionError: rpm says anything besides.
    """
    arguments = [*_place(form, tree), "-Va", "--nodeps", "--noscripts"]
    command = [*_program(form, "rpm"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "missing index" not in line]
    assert not said, done.stderr
    return set(done.stdout.splitlines())


def owned(form: str, tree: Path) -> dict[str, set[str]]:
    """Return the files that rpm says were installed, by package, as they are listed."""
    lines = query(form, tree, "-qa", "--qf", "[%{=NAME} %{FILESTATES} %{FILENAMES}\n]")
    found: dict[str, set[str]] = {}
    for line in lines.splitlines():
        name, state, path = line.split(" ", 2)
        if state == "0":
            found.setdefault(name, set()).add(path)
    return found


def _place(form: str, tree: Path) -> list[str]:
    return [f"--root={tree}", f"--dbpath={FORMS[form][0]}"]


def _program(form: str, program: str) -> list[str]:
    suite = FORMS[form][2]
    settings = ["--define", f"_rpmlock_path {FORMS[form][0]}/.rpm.lock"]
    settings += ["--define", f"_db_backend {form}"]
    if suite is None:
        return [program, *settings]
    tools = rootfs.cached_tree(f"rpm-tools-{suite}", functools.partial(_unpack, suite))
    loader = next(path for path in sorted(tools.glob("**/ld-linux*.so.*")) if path.exists())
    libraries = ":".join(str(path) for path in (tools / "usr/lib", tools / "lib") if path.exists())
    places = ":".join(f"{path}/{os.uname().machine}-linux-gnu" for path in libraries.split(":"))
    own = tools / "usr/lib/rpm"
    return [
        *(str(loader), "--library-path", places, str(tools / "usr/bin" / program)),
        *("--rcfile", f"{own}/rpmrc", "--macros", f"{own}/macros", *settings),
    ]


def _run(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True, stdin=subprocess.DEVNULL, timeout=900)


def _unpack(suite: str, tree: Path) -> None:
    _run("mmdebstrap", "--quiet", "--variant=extract", "--include=rpm,db5.3-util", suite, tree)


def _install(source: Path, tree: Path) -> None:
    """Make rpms of the packages of a tree of Debian's, and a tree of the rpms."""
    space = tree.parent
    (space / "debian.spec").write_text("\n".join(_specification(source)))
    # rpmbuild takes files from here, and cleans up in the end.
    _run("cp", "-a", source, space / "build")
    nothing = ("__spec_install_pre", "__spec_install_post", "__check_files", "debug_package")
    definitions = [f"{name} %{{nil}}" for name in nothing]
    definitions += [f"_topdir {space}/top", f"_rpmdir {space}/rpms", "_binary_payload w.ufdio"]
    definitions += ["_build_id_links none"]
    options = [part for text in definitions for part in ("--define", text)]
    build = ["rpmbuild", "-bb", "--quiet", "--buildroot", f"{space}/build"]
    _run(*build, *options, space / "debian.spec")
    place = FORMS["sqlite"][0]
    for name in ("etc", "var/lib", "usr/bin", "usr/lib/sysimage/rpm"):
        (tree / name).mkdir(parents=True)
    (tree / "var/lib/rpm").symlink_to("../../usr/lib/sysimage/rpm")
    for name in ("passwd", "group"):  # owners are stored by name
        shutil.copy2(source / "etc" / name, tree / "etc")
    for path in source.iterdir():
        if path.is_symlink():  # merged /usr
            (tree / os.readlink(path)).mkdir(parents=True, exist_ok=True)
            (tree / path.name).symlink_to(os.readlink(path))
    install = ["rpm", "--force-debian", "-i", "--nodeps", "--noscripts", "--notriggers"]
    settings = ["--define", "_db_backend sqlite", "--define", f"_rpmlock_path {place}/.rpm.lock"]
    rpms = sorted((space / "rpms").glob("*/*.rpm"))
    _run(*install, "--nosignature", "--root", tree, "--dbpath", place, *settings, *rpms)
    # What scripts made of it: nobody's files.
    _run("cp", "-a", "--no-clobber", f"{source}/.", tree)
    for name in _GONE:
        shutil.rmtree(tree / name, ignore_errors=True)
        (tree / name).unlink(missing_ok=True)


def _convert(source: Path, form: str, tree: Path) -> None:
    """Copy a tree, with another form of its database: exported by one rpm, imported by another."""
    _run("cp", "-a", source, tree)
    exported = tree.parent / "headers"
    exported.write_bytes(rpm("sqlite", *_place("sqlite", tree), "--exportdb", program="rpmdb"))
    for path in (tree / "usr/lib/sysimage/rpm").iterdir():
        path.unlink()
    directory, linked, _ = FORMS[form]
    if not linked:
        (tree / "var/lib/rpm").unlink()
        (tree / "var/lib/rpm").mkdir()
        (tree / "usr/lib/sysimage/rpm").rmdir()
    settings = ["--dbpath", f"{tree}{directory}"]
    settings += ["--define", f"_rpmlock_path {tree}{directory}/.rpm.lock"]
    with exported.open("rb") as file:
        rpm(form, *settings, "--importdb", program="rpmdb", stdin=file)


def _specification(source: Path) -> Iterator[str]:
    """Yield the lines of one spec file that makes an rpm of every package."""
    yield from ("Name: debian", "Version: 12", "Release: 1", "Summary: All", "License: Free")
    yield from ("%description", "All")
    for stanza in (source / "var/lib/dpkg/status").read_text().split("\n\n"):
        if stanza.strip():
            yield from _package(source, stanza)
    yield ""


def _package(source: Path, stanza: str) -> Iterator[str]:
    fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", stanza, re.MULTILINE))
    name = fields["Package"]
    epoch, _, version = fields["Version"].rpartition(":")
    version, _, release = version.rpartition("-") if "-" in version else (version, "", "0")
    yield from (f"%package -n {name}", f"Version: {version.replace('-', '.')}")
    yield from (f"Release: {release}", "Summary: One", "License: Free", "AutoReqProv: no")
    yield from ([f"Epoch: {epoch}"] if epoch else [])
    yield from (["BuildArch: noarch"] if fields["Architecture"] == "all" else [])
    depends = ",".join(fields.get(field, "") for field in ("Pre-Depends", "Depends"))
    yield from (f"Requires: {other}" for other in sorted(set(_NAMES.findall(depends))))
    yield from (f"%description -n {name}", "One", f"%files -n {name}")
    conffiles = re.findall(r"^ (/\S+) [0-9a-f]{32}", stanza, re.MULTILINE)
    info = source / "var/lib/dpkg/info"
    lists = (info / f"{name}{end}.list" for end in (f":{fields['Architecture']}", ""))
    for path in next(file for file in lists if file.exists()).read_text().splitlines():
        place = source / path.lstrip("/")
        if path == "/." or not os.path.lexists(place):
            continue
        kind = "%dir " if place.is_dir() and not place.is_symlink() else ""
        kind = "%config(noreplace) " if path in conffiles else kind
        yield f'{kind}"{path.replace("%", "%%")}"'
