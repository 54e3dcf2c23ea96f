"""dpkg's database of a small tree that has every trap: read, and rewritten after slimming."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from paredown_minimizer.image.directory import DirectoryImage
from paredown_minimizer.packages.dpkg import Dpkg, DpkgInventory
from paredown_minimizer.packages.dpkg_format import conffile_path, parse_stanzas
from paredown_minimizer.packages.registry import find_manager
from paredown_schemas.errors import ParedownError

ROOT = "var/lib/dpkg"
STATUS = """\
Package: tool
Status: install ok installed
Architecture: amd64
Source: suite (1.0)
Version: 1.0-2
Pre-Depends: libc6 (>= 2.36)
Depends: virtual | third:any (<< 3), libx | other [amd64], tool-data, tool
Recommends: purged-not, nothing
Conffiles:
 /etc/tool.conf 0123456789abcdef0123456789abcdef
 /etc/old.conf 0123456789abcdef0123456789abcdef obsolete
Description: a tool
 with lines
 .
 and more

Package: libx
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 2

Package: libx
Status: install ok installed
Architecture: i386
Multi-Arch: same
Version: 2

Package: other
Status: install ok installed
Architecture: all
Version: 3
Provides: more, virtual (= 3)
Conffiles:
 /etc/other.conf 0123456789abcdef0123456789abcdef
Description: the last field is not Conffiles

Package: purged-not
Status: deinstall ok config-files
Architecture: amd64
Version: 4
Conffiles:
 /etc/left.conf 0123456789abcdef0123456789abcdef

Package: never
Status: unknown ok not-installed
Architecture: amd64

"""
FILES = {
    "usr/bin/tool": "",
    "usr/bin/editor-a": "",
    "usr/share/man/editor-a.1": "",
    "usr/lib/libx.so.1": "",
    "usr/lib32/libx.so.1": "",
    "usr/bin/sh": "",
    "usr/bin/sh.distrib": "",
    "usr/lib/python3/m.py": "",
    "usr/lib/python3/__pycache__/m.cpython-311.pyc": "",
    "usr/lib/python3/__pycache__/m.cpython-311.opt-1.pyc": "",
    "srv/app/__pycache__/app.cpython-311.pyc": "",
    "srv/app/app.py": "",
    "etc/tool.conf": "",
    "etc/other.conf": "",
    "etc/left.conf": "",
    "etc/by-ucf.conf": "",
    "var/lib/ucf/registry": "other /etc/by-ucf.conf\n",
    f"{ROOT}/status": STATUS,
    f"{ROOT}/status-old": STATUS,
    f"{ROOT}/available": "Package: tool\nArchitecture: amd64\n\n"
    "Package: far\nArchitecture: all\n\n",
    f"{ROOT}/diversions": "/bin/sh\n/bin/sh.distrib\ntool\n/gone\n/gone.real\nother\n",
    f"{ROOT}/statoverride": "root adm 2755 /bin/tool\nroot root 4755 /usr/bin/editor-a\n",
    f"{ROOT}/info/format": "1\n",
    f"{ROOT}/info/tool.list": "/.\n/bin\n/bin/tool\n/bin/sh\n/usr\n/usr/lib\n/usr/lib/python3\n"
    "/usr/lib/python3/m.py\n/usr/share/doc/excluded\n/etc\n/etc/tool.conf\n",
    f"{ROOT}/info/tool.md5sums": "a  bin/tool\nb  usr/lib/python3/m.py\n"
    "c  usr/share/doc/excluded\n",
    f"{ROOT}/info/tool.conffiles": "/etc/tool.conf\nremove-on-upgrade /etc/old.conf\n",
    f"{ROOT}/info/tool.postinst": "#!/bin/sh\n",
    f"{ROOT}/info/libx:amd64.list": "/.\n/lib\n/lib/libx.so.1\n",
    f"{ROOT}/info/libx:amd64.shlibs": "",
    f"{ROOT}/info/libx:i386.list": "/.\n/lib32\n/lib32/libx.so.1\n",
    f"{ROOT}/info/libx:i386.triggers": "",
    f"{ROOT}/info/other.list": "/.\n/usr\n/bin/sh\n/usr/bin/editor-a\n/usr/share/man/editor-a.1\n"
    "/etc/other.conf\n",
    f"{ROOT}/info/other.postrm": "",
    f"{ROOT}/info/purged-not.list": "/etc/left.conf\n",
    f"{ROOT}/triggers/File": "/usr/share/a tool/noawait\n/usr/share/b other\n",
    f"{ROOT}/triggers/ldconfig": "libx:i386\nother/noawait\n",
    f"{ROOT}/alternatives/editor": "auto\n/usr/bin/editor\neditor.1\n/usr/share/man/editor.1\n\n"
    "/usr/bin/editor-a\n50\n/usr/share/man/editor-a.1\n/usr/bin/tool\n40\n\n\n",
}
LINKS = {
    "bin": "usr/bin",
    "lib": "usr/lib",
    "lib32": "usr/lib32",
    "etc/alternatives/editor": "/usr/bin/editor-a",
    "etc/alternatives/editor.1": "/usr/share/man/editor-a.1",
    "usr/bin/editor": "/etc/alternatives/editor",
    "usr/share/man/editor.1": "/etc/alternatives/editor.1",
    "etc/rc2.d/S01tool": "../../usr/bin/tool",
    "etc/systemd/system/multi.wants/t.service": "/usr/bin/tool",
    "etc/systemd/system/own.wants/own.service": "/srv/app/app.py",
}


@pytest.fixture
def image(tmp_path: Path) -> Iterator[DirectoryImage]:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, target in LINKS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    with contextlib.closing(DirectoryImage(tmp_path)) as opened:
        yield opened


@pytest.fixture
def inventory(image: DirectoryImage) -> DpkgInventory:
    return Dpkg().read(image)


def test_packages(image: DirectoryImage, inventory: DpkgInventory) -> None:
    assert isinstance(find_manager(image), Dpkg)
    assert sorted(inventory.packages) == [
        "libx:amd64",
        "libx:i386",
        "other:all",
        "purged-not:amd64",
        "tool:amd64",
    ]
    tool = inventory.packages["tool:amd64"]
    assert (tool.version, tool.source, tool.manager) == ("1.0-2", "suite", "dpkg")
    assert inventory.depends == {
        "tool:amd64": (
            frozenset({"other:all"}),
            frozenset({"libx:amd64", "libx:i386", "other:all"}),
        )
    }
    assert inventory.recommends == {"tool:amd64": (frozenset({"purged-not:amd64"}),)}


def test_owners_through_merged_usr_and_architectures(inventory: DpkgInventory) -> None:
    assert inventory.owners["/usr/bin/tool"] == {"tool:amd64"}
    assert inventory.owners["/usr/lib/libx.so.1"] == {"libx:amd64"}
    assert inventory.owners["/usr/lib32/libx.so.1"] == {"libx:i386"}
    assert "/bin/tool" not in inventory.owners
    assert "/usr/share/doc/excluded" not in inventory.owners


def test_diversion(inventory: DpkgInventory) -> None:
    assert inventory.owners["/usr/bin/sh"] == {"tool:amd64"}
    assert inventory.owners["/usr/bin/sh.distrib"] == {"other:all"}


def test_conffiles(inventory: DpkgInventory) -> None:
    assert inventory.conffiles["tool:amd64"] == {"/etc/tool.conf"}
    assert inventory.conffiles["purged-not:amd64"] == {"/etc/left.conf"}
    assert inventory.owners["/etc/left.conf"] == {"purged-not:amd64"}


def test_derived(inventory: DpkgInventory) -> None:
    derived = {path: set(sources) for path, sources in inventory.derived.items()}
    compiled = "/usr/lib/python3/__pycache__"
    assert derived == {
        "/etc/alternatives/editor": {"/usr/bin/editor-a"},
        "/etc/alternatives/editor.1": {"/usr/share/man/editor-a.1"},
        "/usr/bin/editor": {"/usr/bin/editor-a"},
        "/usr/share/man/editor.1": {"/usr/share/man/editor-a.1"},
        "/etc/alternatives": {"/usr/bin/editor-a", "/usr/share/man/editor-a.1"},
        "/etc/by-ucf.conf": {"other:all"},
        "/etc/rc2.d/S01tool": {"/usr/bin/tool"},
        "/etc/rc2.d": {"/usr/bin/tool"},
        "/etc/systemd/system/multi.wants/t.service": {"/usr/bin/tool"},
        "/etc/systemd/system/multi.wants": {"/usr/bin/tool"},
        f"{compiled}/m.cpython-311.pyc": {"/usr/lib/python3/m.py"},
        f"{compiled}/m.cpython-311.opt-1.pyc": {"/usr/lib/python3/m.py"},
        compiled: {"/usr/lib/python3/m.py"},
    }


def rewritten(
    image: DirectoryImage, inventory: DpkgInventory, gone: set[str]
) -> Mapping[str, str | None]:
    """Return what ``rewrite`` changes, names below the database's root."""
    kept = image.tree.keys() - inventory.database - gone
    changes = Dpkg().rewrite(image, inventory, kept)
    prefix = len(f"/{ROOT}/")
    return {
        path[prefix:]: None if content is None else content.decode()
        for path, content in changes.items()
    }


def test_what_never_held_goes_from_the_lists_alone(
    image: DirectoryImage, inventory: DpkgInventory
) -> None:
    changes = rewritten(image, inventory, set())
    assert set(changes) == {
        "status",  # the obsolete conffile that is not there
        "status-old",
        "diversions",
        "info/tool.list",
        "info/tool.md5sums",
        "info/tool.conffiles",
    }


def test_gone_package_leaves_no_trace(image: DirectoryImage, inventory: DpkgInventory) -> None:
    gone = set(inventory.owned["other:all"]) - {"/", "/usr"} | {"/usr/lib32/libx.so.1"}
    changes = rewritten(image, inventory, gone)
    status = changes["status"]
    assert status is not None
    assert "Package: other\n" not in status
    assert status.count("Package: libx\n") == 1
    assert "Package: never" not in status
    assert "Package: purged-not\n" in status
    assert changes["info/other.list"] is None
    assert changes["info/other.postrm"] is None
    assert changes["info/libx:i386.list"] is None
    assert changes["info/libx:i386.triggers"] is None
    assert "info/libx:amd64.list" not in changes
    assert changes["triggers/File"] == "/usr/share/a tool/noawait\n"
    assert changes["triggers/ldconfig"] is None
    assert changes["diversions"] == "/bin/sh\n/bin/sh.distrib\ntool\n"
    assert changes["statoverride"] == "root adm 2755 /bin/tool\n"
    assert changes["alternatives/editor"] == (
        "auto\n/usr/bin/editor\neditor.1\n/usr/share/man/editor.1\n\n/usr/bin/tool\n40\n\n\n"
    )


def test_trimmed_package_lists_what_is_left(
    image: DirectoryImage, inventory: DpkgInventory
) -> None:
    changes = rewritten(image, inventory, {"/usr/lib/python3/m.py", "/etc/tool.conf"})
    assert changes["info/tool.list"] == (
        "/.\n/bin\n/bin/tool\n/bin/sh\n/usr\n/usr/lib\n/usr/lib/python3\n/etc\n"
    )
    assert changes["info/tool.md5sums"] == "a  bin/tool\n"
    assert changes["info/tool.conffiles"] == ""
    assert "info/tool.postinst" not in changes
    tool = STATUS.partition("\n\n")[0]
    start, end = tool.index("Conffiles:"), tool.index("Description:")
    expected = STATUS.replace(tool, tool[:start] + tool[end:]).partition("Package: never")[0]
    assert changes["status"] == expected


def test_only_directories_left_is_gone(image: DirectoryImage, inventory: DpkgInventory) -> None:
    changes = rewritten(image, inventory, {"/usr/lib/libx.so.1"})
    assert "/lib" in inventory.owned["libx:amd64"]
    assert changes["info/libx:amd64.list"] is None


def test_nothing_changes_where_all_stays(tmp_path: Path) -> None:
    (tmp_path / ROOT / "info").mkdir(parents=True)
    (tmp_path / "f").touch()
    (tmp_path / ROOT / "status").write_text("Package: p\nStatus: a b installed\n\n")
    (tmp_path / ROOT / "info" / "p.list").write_text("/.\n/f\n")
    with contextlib.closing(DirectoryImage(tmp_path)) as image:
        inventory = Dpkg().read(image)
        assert Dpkg().rewrite(image, inventory, image.tree.keys()) == {}


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (" /etc/a 0123456789abcdef0123456789abcdef", "/etc/a"),
        (" /etc/a b 0123456789abcdef0123456789abcdef obsolete", "/etc/a b"),
        (" /etc/a newconffile", "/etc/a"),
        ("/etc/a b", "/etc/a b"),
        ("remove-on-upgrade /etc/a", "/etc/a"),
        ("", ""),
    ],
)
def test_conffile_lines(line: str, path: str) -> None:
    assert conffile_path(line) == path


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("Package: a\nno field\n", "line 2 is not a field"),
        ("Package: a\n\n\n continued\n", "line 4 is not a field"),
        ("Version: 1\n", "stanza at line 1 names no package"),
        ("Package: a\nX\x1b: y\n", "line 2 is not a field"),
    ],
)
def test_malformed_status_is_told_with_its_line(text: str, cause: str) -> None:
    with pytest.raises(ParedownError, match=f"cannot read status: .*{cause}"):
        parse_stanzas(text, "status")


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("diversions", "/a\n/b\n", "cut short at line 2"),
        ("alternatives/editor", "auto\n", "cut short"),
        ("alternatives/editor", "auto\n/l\n\n/t\n", "cut short"),
    ],
)
def test_malformed_database(
    image: DirectoryImage, tmp_path: Path, name: str, text: str, cause: str
) -> None:
    (tmp_path / ROOT / name).write_text(text)
    with (
        contextlib.closing(DirectoryImage(tmp_path)) as damaged,
        pytest.raises(ParedownError, match=cause),
    ):
        Dpkg().read(damaged)
    assert image.tree


def test_tree_without_dpkg(tmp_path: Path) -> None:
    with contextlib.closing(DirectoryImage(tmp_path)) as image:
        assert find_manager(image) is None
