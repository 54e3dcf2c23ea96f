from __future__ import annotations

import os
from pathlib import Path

import pytest

from paredown_agent.mountinfo import MountTable, parse_mounts, read_mounts
from paredown_schemas.errors import ParedownError

TABLE = rb"""20 1 0:40 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/a\134:b,upperdir=/u
21 20 0:5 / /proc rw - proc proc rw
22 20 0:40 /etc/default /mnt/bind rw master:1 propagate_from:2 - overlay overlay rw
23 22 0:40 /usr /mnt/bind/deep rw - overlay overlay rw
24 20 8:1 /vol /tree rw - ext4 /dev/sda1 rw
25 24 0:41 / /tree rw - tmpfs over rw
26 20 0:42 / /odd\040name\012\377 rw - tmpfs none rw
"""


@pytest.fixture
def table() -> MountTable:
    return parse_mounts(TABLE)


def test_reads_every_field(table: MountTable) -> None:
    root = table.by_id[20]
    assert (root.parent, root.device, root.root, root.mount_point) == (
        1,
        os.makedev(0, 40),
        "/",
        "/",
    )
    assert (root.fstype, root.source) == ("overlay", "overlay")
    assert root.super_options == r"rw,lowerdir=/a\:b,upperdir=/u"
    assert table.by_id[24].device == os.makedev(8, 1)


def test_undoes_octal_escapes(table: MountTable) -> None:
    assert table.by_id[26].mount_point == "/odd name\n\udcff"


@pytest.mark.parametrize(
    ("path", "mount", "inside"),
    [
        ("/", 20, "/"),
        ("/etc/passwd", 20, "/etc/passwd"),
        ("/mnt/bind", 22, "/etc/default"),
        ("/mnt/bind/useradd", 22, "/etc/default/useradd"),
        ("/mnt/binder", 20, "/mnt/binder"),
        ("/mnt/bind/deep/bin", 23, "/usr/bin"),
        ("/tree/x", 25, "/x"),  # the later mount covers the earlier one
        ("/tree2", 20, "/tree2"),
        ("/proc/1", 21, "/1"),
    ],
)
def test_locates(table: MountTable, path: str, mount: int, inside: str) -> None:
    located = table.locate(path)
    assert located is not None
    assert (located.mount.id, located.path) == (mount, inside)


def test_locates_nothing_without_a_root() -> None:
    assert MountTable(()).locate("/etc") is None


def test_agrees_with_the_kernel(tmp_path: Path) -> None:
    located = read_mounts().locate(str(tmp_path.resolve()))
    assert located is not None
    assert located.mount.device == tmp_path.stat().st_dev


def test_says_which_process_is_gone() -> None:
    with pytest.raises(ParedownError, match="cannot read the mounts of process 4194305"):
        read_mounts(4194305)
