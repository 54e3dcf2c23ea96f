"""apk's database of a small tree that has every trap: read, and rewritten after slimming."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from decisions import make_tree, runs_of
from paredown_minimizer.decide import Decision, decide
from paredown_minimizer.image.directory import DirectoryImage
from paredown_minimizer.packages.apk import Apk
from paredown_minimizer.packages.apk_format import checksum, dump_installed, parse_installed
from paredown_minimizer.packages.apk_scripts import keep_scripts
from paredown_minimizer.packages.registry import find_manager
from paredown_minimizer.policy import Policy
from paredown_schemas.errors import ParedownError

DB = "/lib/apk/db"
REAL = Path(__file__).parents[3] / "shared/data/apk/alpine-3.20-installed"


def identity(name: str, kind: str = "Q1") -> str:
    """Return a checksum of 20 bytes, as the database has it, or as scripts are named."""
    data = name.encode().ljust(20, b"\xff")
    return kind + (data.hex() if kind == "X1" else base64.b64encode(data).decode())


def record(name: str, files: str, fields: str = "") -> str:
    return f"C:{identity(name)}\nP:{name}\nV:1-r0\nA:x86_64\n{fields}{files}\n"


INSTALLED = (
    record(
        "app",
        "F:etc\nR:app.conf\na:0:0:600\nZ:Q1x\nF:lib\nR:libown.so.1\na:0:0:755\nZ:Q1y\nF:usr/bin\n"
        "R:app\na:0:0:755\nZ:Q1z\nF:var/empty\nM:0:0:555\n",
        "o:suite\nD:so:libtwo.so.2>=1 !old /bin/sh musl~=1.2\nr:older\nq:100\n",
    )
    + record("two", "F:usr/lib\nR:libtwo.so.2\nZ:Q1a\n", "p:so:libtwo.so.2=2 cmd:two=1-r0\n")
    + record("busybox", "F:bin\nR:busybox\na:0:0:755\nZ:Q1b\n", "p:/bin/sh cmd:sh=1-r0\n")
    + record("meta", "", "D:app so:libtwo.so.2\n")
    + record(".build-deps", "", "D:busybox\n")
)
FILES: Mapping[str, str | None] = {
    "/bin": "-> usr/bin",
    "/lib": "-> usr/lib",
    "/usr/bin/app": "#!app",
    "/usr/bin/busybox": "#!busybox",
    "/usr/bin/ls": "-> /bin/busybox",
    "/usr/bin/own": "-> /srv/tool",
    "/usr/lib/libown.so.1": "x",
    "/usr/lib/libtwo.so.2": "x",
    "/var/empty": None,
    "/etc/app.conf": "x",
    "/etc/runlevels/default/app": "-> /etc/app.conf",
    "/srv/tool": "#!x",
    "/var/log/apk.log": "x",
    f"{DB}/installed": INSTALLED,
    f"{DB}/triggers": f"{identity('busybox')} /bin /usr/bin\n{identity('two')} /usr/share/*\n",
    f"{DB}/lock": "",
    "/etc/apk/world": "app>1 two@edge\nbusybox~=1.36\n!far\ncmd:two\n.build-deps=2026\nmeta\n"
    f"so:libnone.so.1\ntwo><{identity('two')}\n",
    "/etc/apk/repositories": "https://example.invalid/v3.20/main\n",
}


def make(root: Path, files: Mapping[str, str | None]) -> None:
    make_tree(root, {path: files[path] for path in files if (files[path] or "")[:3] == "-> "})
    make_tree(root, {path: files[path] for path in files if (files[path] or "")[:3] != "-> "})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    (tmp_path / "root/usr/lib").mkdir(parents=True)
    make(tmp_path / "root", FILES)
    return tmp_path / "root"


@pytest.fixture
def image(root: Path) -> Iterator[DirectoryImage]:
    with contextlib.closing(DirectoryImage(root)) as opened:
        yield opened


def decided(image: DirectoryImage, root: Path, *used: str) -> Decision:
    return decide(image, find_manager(image), runs_of(root, used), Policy(), "package")


def rewritten(image: DirectoryImage, gone: set[str]) -> dict[str, str | None]:
    inventory = Apk().read(image)
    changed = Apk().rewrite(image, inventory, image.tree.keys() - inventory.database - gone)
    return {path: None if text is None else text.decode() for path, text in changed.items()}


def test_packages(image: DirectoryImage) -> None:
    inventory = Apk().read(image)
    assert isinstance(find_manager(image), Apk)
    app = inventory.packages["app:x86_64"]
    assert (app.name, app.version, app.source, app.manager) == ("app", "1-r0", "suite", "apk")
    assert inventory.depends["app:x86_64"] == (
        frozenset({"two:x86_64"}),
        frozenset({"busybox:x86_64"}),
    )
    assert inventory.packages["two:x86_64"].source == "two"
    assert ".build-deps:x86_64" in inventory.packages


def test_owners_through_merged_usr(image: DirectoryImage) -> None:
    inventory = Apk().read(image)
    assert inventory.owners["/usr/bin/app"] == {"app:x86_64"}
    assert inventory.owners["/usr/lib/libown.so.1"] == {"app:x86_64"}
    assert inventory.owners["/usr/bin/busybox"] == {"busybox:x86_64"}
    assert inventory.conffiles["app:x86_64"] == {"/etc/app.conf"}
    assert "/srv/tool" not in inventory.owners


def test_what_scripts_and_apk_made(image: DirectoryImage) -> None:
    derived = Apk().read(image).derived
    assert derived["/usr/bin/ls"] == {"/usr/bin/busybox"}
    assert derived["/etc/runlevels/default/app"] == {"/etc/app.conf"}
    assert "/usr/bin/own" not in derived


def test_database_is_apks_own_by_its_real_name(image: DirectoryImage) -> None:
    place = "/usr/lib/apk/db"
    assert Apk().read(image).database == {
        *(place, f"{place}/installed", f"{place}/lock", f"{place}/triggers"),
        *("/etc/apk/world", "/etc/apk/repositories"),
    }


def test_nothing_changes_where_all_stays(image: DirectoryImage, root: Path) -> None:
    world = "/etc/apk/world"
    assert rewritten(image, set()) == {
        world: (root / world[1:]).read_text().replace("so:libnone.so.1\n", "")
    }


def test_gone_package_leaves_no_trace(image: DirectoryImage) -> None:
    changed = rewritten(image, {"/usr/bin/busybox", "/usr/bin/ls"})
    place = "/usr/lib/apk/db"
    expected = INSTALLED.replace(
        record("busybox", "F:bin\nR:busybox\na:0:0:755\nZ:Q1b\n", "p:/bin/sh cmd:sh=1-r0\n"), ""
    ).replace(record(".build-deps", "", "D:busybox\n"), "")
    assert changed == {
        f"{place}/installed": expected,
        f"{place}/triggers": f"{identity('two')} /usr/share/*\n",
        "/etc/apk/world": f"app>1 two@edge\n!far\ncmd:two\nmeta\ntwo><{identity('two')}\n",
    }


def test_a_package_without_files_is_what_it_depends_on(image: DirectoryImage) -> None:
    changed = rewritten(image, {"/usr/lib/libtwo.so.2"})
    installed = changed["/usr/lib/apk/db/installed"] or ""
    assert "P:meta" not in installed
    assert "P:.build-deps" in installed
    assert changed["/etc/apk/world"] == "app>1\nbusybox~=1.36\n!far\n.build-deps=2026\n"


def test_trimmed_package_names_what_is_left(image: DirectoryImage) -> None:
    installed = rewritten(image, {"/etc/app.conf", "/var/empty"})["/usr/lib/apk/db/installed"]
    assert installed == INSTALLED.replace("R:app.conf\na:0:0:600\nZ:Q1x\n", "").replace(
        "F:var/empty\nM:0:0:555\n", ""
    )


def test_a_directory_stays_named_with_what_is_named_in_it(image: DirectoryImage) -> None:
    """The package says lib/libown.so.1; without its line it would be a file of /etc."""
    installed = rewritten(image, {"/lib", "/etc/app.conf"})["/usr/lib/apk/db/installed"]
    assert "F:etc\nF:lib\nR:libown.so.1\n" in (installed or "")


def test_links_of_busybox_go_with_it(image: DirectoryImage, root: Path) -> None:
    decision = decided(image, root, "/usr/bin/app")
    assert "/usr/bin/ls" not in decision.kept
    assert {"/usr/bin/own", "/srv/tool"} <= decision.kept
    assert "/usr/bin/ls" in decided(image, root, "/usr/bin/busybox").kept


def test_both_places_where_they_are_two(tmp_path: Path) -> None:
    files = {
        "/lib/apk/db/installed": record("one", "F:usr/bin\nR:one\n"),
        "/usr/lib/apk/db/installed": record("two", "F:usr/bin\nR:two\n"),
        "/usr/bin/one": "#!1",
        "/usr/bin/two": "#!2",
    }
    make(tmp_path, files)
    with contextlib.closing(DirectoryImage(tmp_path)) as image:
        assert set(Apk().read(image).packages) == {"one:x86_64", "two:x86_64"}
        assert rewritten(image, {"/usr/bin/two"}) == {"/usr/lib/apk/db/installed": ""}


def archive(*names: str) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as members:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            members.addfile(member, io.BytesIO(name.encode()))
    return output.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["Q1", "X1"])  # of apk-tools 2 and 3
def test_scripts_of_what_is_left(kind: str, compressed: bool) -> None:
    names = [f"{name}-1-r0.{identity(name, kind)}.post-install" for name in ("a", "n" * 90, "z")]
    data = archive(*names, "README", "odd.name.x")
    name = "scripts.tar.gz" if compressed else "scripts.tar"
    stored = gzip.compress(data, mtime=7) if compressed else data
    assert keep_scripts(stored, name, lambda _: True) == stored
    gone = checksum(identity("a"))
    left = keep_scripts(stored, name, lambda own: own != gone)
    with tarfile.open(fileobj=io.BytesIO(left)) as members:
        assert members.getnames() == [*names[1:], "README", "odd.name.x"]
        assert [members.extractfile(m).read().decode() for m in members] == members.getnames()  # type: ignore[union-attr]


@pytest.mark.skipif(not REAL.exists(), reason="data from elsewhere, beside the project")
def test_real_database_survives() -> None:
    text = REAL.read_text()
    records = parse_installed(text, "installed")
    assert len(records) == 14
    assert dump_installed(records) == text
    assert "/bin/busybox" in {path for one in records for path in one.paths}


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("P:a\nno field\n", "line 2 is not a field"),
        ("P:a\n\x1b:x\n", "line 2 is not a field"),
        ("P:a\n\nx\n", "line 3 is not a field"),
        ("P:a\nR:x\n", "line 2 belongs to nothing"),
        ("P:a\nF:x\nZ:Q1\n", "line 3 belongs to nothing"),
        ("P:a\nF:x\nR:y\nV:1\na:0:0:1\n", "line 5 belongs to nothing"),
        ("P:a\nV:1\nP:b\n", "line 3 names another package"),
        ("P:a\n\nV:1\nF:x\n", "the record at line 3 names no package"),
        ("P:a b\n", "the record at line 1 names what can be no package"),
        ("P:\n", "the record at line 1 names what can be no package"),
    ],
)
def test_malformed_database_is_told_with_its_line(text: str, cause: str) -> None:
    with pytest.raises(ParedownError, match=f"cannot read db: .*{cause}"):
        parse_installed(text, "db")
