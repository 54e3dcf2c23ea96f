"""The attack surface: which paths are of which kind."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from decisions import make_tree
from paredown_minimizer.image.directory import open_directory
from paredown_minimizer.surface.members import capability_text, members
from paredown_minimizer.surface.names import load_names
from paredown_schemas.plan import SurfaceKind
from trees import CAPABILITY

PROGRAM = "#!/bin/sh\n"


def found(root: Path, kind: SurfaceKind) -> dict[str, str | None]:
    with contextlib.closing(open_directory(str(root))) as image:
        return dict(members(kind, image.tree))


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("interpreter", "/usr/bin/python3.11"),
        ("interpreter", "/opt/perl5.36.0"),
        ("interpreter", "/usr/bin/perl5.36-x86_64-linux-gnu"),
        ("compiler", "/usr/bin/x86_64-linux-gnu-gcc-12"),
        ("compiler", "/usr/lib/gcc/x86_64-linux-gnu/12/cc1"),
        ("network-client", "/usr/bin/nc.openbsd"),
        ("package-manager", "/usr/bin/pip3.11"),
        ("living-off-the-land", "/usr/bin/vim.tiny"),
        ("living-off-the-land", "/usr/bin/base64"),
        ("shell", "/usr/share/tool/bin/bash"),
    ],
)
def test_versions_platforms_and_variants_of_a_program_are_that_program(
    tmp_path: Path, kind: SurfaceKind, path: str
) -> None:
    make_tree(tmp_path, {path: PROGRAM})
    assert list(found(tmp_path, kind)) == [path]


@pytest.mark.parametrize(
    "path",
    ["/etc/cron.daily/bash", "/usr/share/bug/bash", "/usr/bin/bash.postinst", "/bin/bashful"],
)
def test_what_only_bears_a_name_is_no_program(tmp_path: Path, path: str) -> None:
    make_tree(tmp_path, {path: PROGRAM, "/usr/bin/zsh": "not executable"})
    assert not found(tmp_path, "shell")


def test_a_link_counts_as_its_name_and_as_what_it_leads_to(tmp_path: Path) -> None:
    links = {
        "/usr/bin/mawk": PROGRAM,
        "/usr/bin/nawk": "-> /etc/alternatives/nawk",
        "/etc/alternatives/nawk": "-> /usr/bin/mawk",
        "/usr/bin/editor": "-> vim.basic",
        "/usr/bin/vim.basic": PROGRAM,
        "/usr/bin/gone": "-> mawk.gone",
    }
    make_tree(tmp_path, links)
    assert set(found(tmp_path, "interpreter")) == {"/usr/bin/mawk", "/usr/bin/nawk"}
    assert "/usr/bin/editor" in found(tmp_path, "living-off-the-land")


def test_of_one_file_that_is_many_programs_the_links_name_says_which(tmp_path: Path) -> None:
    links = {f"/bin/{name}": "-> busybox" for name in ("sh", "ls", "wget")}
    make_tree(tmp_path, {"/bin/busybox": PROGRAM, **links})
    assert set(found(tmp_path, "shell")) == {"/bin/busybox", "/bin/sh"}
    assert set(found(tmp_path, "network-client")) == {"/bin/busybox", "/bin/wget"}


def test_privileges_of_files_are_told_with_whose_they_are(tmp_path: Path) -> None:
    make_tree(tmp_path, {"/su": PROGRAM, "/wall": PROGRAM, "/locked": PROGRAM, "/ping": PROGRAM})
    for name, mode in (("su", 0o4755), ("wall", 0o2755), ("locked", 0o2644)):
        os.chown(tmp_path / name, 7, 8)
        (tmp_path / name).chmod(mode)
    os.setxattr(tmp_path / "ping", "security.capability", CAPABILITY)
    assert found(tmp_path, "setuid") == {"/su": "setuid to 7", "/wall": "setgid to 8"}
    assert found(tmp_path, "file-capability") == {"/ping": "cap_net_bind_service=ep"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0100000200200000000000000000000000000000", "cap_net_raw=ep"),
        ("0000000200300000003000000000000000000000", "cap_net_admin,cap_net_raw=ip"),
        ("0000000200000000000000000001000000000000", "cap_checkpoint_restore=p"),
        ("010000010100000000000000", "cap_chown=ep"),
        (
            "0100000301000000000000000000000000000000e8030000",
            "cap_chown=ep for root 1000",
        ),
        ("0100", "malformed"),
    ],
)
def test_file_capabilities_are_decoded_as_getcap_writes_them(value: str, text: str) -> None:
    assert capability_text(bytes.fromhex(value)) == text


def test_of_what_everybody_can_write_the_topmost_is_told(tmp_path: Path) -> None:
    make_tree(tmp_path, {"/tmp/a/b": "x", "/srv/upload/x": "x", "/srv/own": "x"})
    for path, mode in (("tmp", 0o1777), ("tmp/a/b", 0o666), ("srv/upload/x", 0o666)):
        (tmp_path / path).chmod(mode)
    assert found(tmp_path, "writable") == {
        "/tmp": "by everybody, sticky",
        "/srv/upload/x": "by everybody",
    }


def test_libraries_and_executables_are_told_apart(tmp_path: Path) -> None:
    make_tree(
        tmp_path, {"/lib/libc.so.6": PROGRAM, "/lib/libz.so": "-> libc.so.6", "/app": PROGRAM}
    )
    assert set(found(tmp_path, "library")) == {"/lib/libc.so.6"}
    assert set(found(tmp_path, "executable")) == {"/app"}


def test_names_are_sorted_and_know_no_path() -> None:
    names = load_names()
    assert {"shell", "interpreter", "package-manager", "network-client", "compiler"} == set(
        names.kinds
    )
    assert len(names.uses) > 400
    assert not [n for group in (*names.kinds.values(), names.uses) for n in group if "/" in n]
