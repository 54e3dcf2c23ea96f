"""Trees with everything odd in them, and what GNU tar says of a tree."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import stat
import subprocess
import tarfile
from pathlib import Path

# cap_net_bind_service+ep, as linux/capability.h lays out struct vfs_cap_data version 2.
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def make_odd_tree(root: Path) -> None:
    """Fill ``root`` with every type and attribute that a file can have; takes root."""
    for directory in ("bin", "deep/er", "empty", "sticky", "data"):
        (root / directory).mkdir(parents=True)
    for number, name in enumerate(
        [b"plain", b"new\nline", b"esc\x1b[31m", b"\xff\xfebytes", "ü€".encode()]
    ):
        path = os.fsencode(root / "data") + b"/" + name
        Path(os.fsdecode(path)).write_bytes(b"content %d" % number)
        os.utime(path, ns=(1, 1_600_000_000_123_456_789 + number))
    (root / "data" / ("n" * 255)).write_text("long name")
    (root / "data" / "empty").touch()
    (root / "data" / "large").write_bytes(os.urandom(3_000_001))
    (root / "data" / "before-1970").touch()
    os.utime(root / "data" / "before-1970", ns=(0, -1_500_000_000))
    with (root / "data" / "sparse").open("wb") as file:
        file.seek(5_000_000)
        file.write(b"end")
        file.truncate(9_000_000)
    _special_modes(root)
    _links(root)
    os.mkfifo(root / "deep" / "fifo", 0o640)
    os.mknod(root / "deep" / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "deep" / "disk", stat.S_IFBLK | 0o600, os.makedev(259, 1_000_000))
    for name, value in ((b"user.note", b"\0\xffany\n"), (b"trusted.t", b"x=y")):
        os.setxattr(root / "data" / "plain", name, value)
    os.setxattr(root / "sticky", b"user.of-a-directory", b"1")
    os.setxattr(root / "deep" / "loop-a", b"trusted.of-a-link", b"2", follow_symlinks=False)
    for directory in ("deep/er", "deep", "empty", "data", "bin", "sticky", ""):
        os.utime(root / directory, ns=(5, 1_500_000_000_000_000_007 + len(directory)))


def _special_modes(root: Path) -> None:
    for name, mode, owner in (("su", 0o4755, 0), ("wall", 0o2755, 5), ("mail", 0o6711, 4_000_000)):
        path = root / "bin" / name
        path.write_text(name)
        os.chown(path, owner, owner)
        path.chmod(mode)
    path = root / "bin" / "ping"
    path.write_text("ping")
    os.chown(path, 65534, 65534)
    path.chmod(0o4711)
    os.setxattr(path, b"security.capability", CAPABILITY)
    (root / "sticky").chmod(0o1777)
    (root / "empty").chmod(0o2700)
    os.chown(root / "empty", 33, 44)
    root.chmod(0o711)


def _links(root: Path) -> None:
    for name in ("bin/hard", "deep/er/hard", "zz-hard"):
        os.link(root / "data" / "large", root / name)
    (root / "deep" / "loop-a").symlink_to("loop-b")
    (root / "deep" / "loop-b").symlink_to("loop-a")
    (root / "deep" / "up").symlink_to("../../../../etc")
    (root / "deep" / "long").symlink_to("t/" * 120 + "end")
    os.symlink(b"dangling\xff\n", os.fsencode(root / "deep" / "dangling"))
    os.link(root / "deep" / "up", root / "deep" / "er" / "up", follow_symlinks=False)
    os.utime(root / "deep" / "up", ns=(3, 1_111_111_111_000_000_003), follow_symlinks=False)
    os.chown(root / "deep" / "loop-a", 7, 8, follow_symlinks=False)


def make_socket(path: Path) -> None:
    """Bind a socket; what a writer leaves out."""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def table(tree: Path) -> dict[str, tuple[object, ...]]:
    """Return what GNU tar finds in a tree: every attribute that it can store, by path."""
    command = [
        *("tar", "--create", "--file=-", "--format=pax", "--numeric-owner", "--sort=name"),
        *("--xattrs", "--xattrs-include=*", "--acls", "--pax-option=delete=atime,delete=ctime"),
        *("--directory", str(tree), "."),
    ]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    return archive_table(archive)


def archive_table(archive: bytes) -> dict[str, tuple[object, ...]]:
    """Return the members of a tar by path, as Python's tarfile reads them."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        return {_key(member): _row(members, member) for member in members}


def _key(member: tarfile.TarInfo) -> str:
    return member.name.removeprefix("./")


def _row(members: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[object, ...]:
    content = members.extractfile(member) if member.isreg() else None
    digest = hashlib.sha256(content.read()).hexdigest() if content else ""
    link = member.linkname.removeprefix("./") if member.islnk() else member.linkname
    xattrs = sorted(item for item in member.pax_headers.items() if "xattr" in item[0].lower())
    # tarfile rounds to a float what stands there to the nanosecond.
    mtime = member.pax_headers.get("mtime", str(int(member.mtime)))
    device = (member.devmajor, member.devminor) if member.isdev() and not member.isfifo() else None
    owner = (member.uid, member.gid)
    return (member.type, member.mode, owner, mtime, link, device, digest, xattrs)
