"""rpm's database of a small tree that has every trap: read, and rewritten after slimming."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from decisions import make_tree
from fixture_types import Require
from paredown_minimizer.image.directory import DirectoryImage
from paredown_minimizer.packages.registry import find_manager
from paredown_minimizer.packages.rpm import Rpm
from paredown_minimizer.packages.rpm_bdb import read_bdb, write_bdb
from paredown_minimizer.packages.rpm_header import parse_header
from paredown_minimizer.packages.rpm_ndb import read_ndb, write_ndb
from paredown_minimizer.packages.rpm_sqlite import read_sqlite, write_sqlite
from paredown_schemas.errors import ParedownError
from rpm_headers import (
    bdb_metadata,
    header,
    ndb_database,
    package,
    sqlite_database,
    sqlite_rows,
)

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "rpm"
PLACE = "usr/lib/sysimage/rpm"
FILES = (
    *("/usr/bin/tool", "/usr/bin/other", "/usr/lib64/libx.so.1", "/usr/share/doc/tool/README"),
    *("/etc/tool.conf", "/var/log/tool.log", "/srv/app", "/usr/bin/shared"),
    *("/etc/ld.so.cache", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
    *("/var/lib/dnf/history.sqlite", "/var/lib/alternatives/editor"),
)
LINKS = {
    "/bin": "-> usr/bin",
    "/lib64": "-> usr/lib64",
    "/var/lib/rpm": "-> ../../usr/lib/sysimage/rpm",
    "/etc/alternatives/editor": "-> /usr/bin/other",
    "/etc/systemd/system/multi-user.target.wants/tool.service": "-> /usr/bin/tool",
}
KEY = header(name="gpg-pubkey", version="fd431d51", release="4ae0493b")
TOOL = package(
    "tool",
    {
        "/bin/tool": 0,
        "/usr/share/doc/tool/README": 0,
        "/usr/share/man/man1/tool.1": 2,  # excluded
        "/etc/tool.conf": 0,
        "/var/log/tool.log": 0,
        "/usr/bin/shared": 1,  # replaced by the one of other
    },
    config=("/etc/tool.conf",),
    epoch=[3],
    source="suite-4.1-2.src.rpm",
    requires=["libx.so.1()(64bit)", "/bin/other", "rpmlib(FileDigests)", "tool"],
    recommends=["meta", "(none if tool)"],
    provides=["tool"],
)
LIBX = package("libx", ["/lib64/libx.so.1"], provides=["libx", "libx.so.1()(64bit)"])
OTHER = package("other", ["/usr/bin/other", "/usr/bin/shared"], arch="noarch")
GLIBC = package("glibc", ["/usr/lib64"])
META = package("meta", requires=["tool"], provides=["meta"])
HEADERS = (TOOL, KEY, LIBX, OTHER, GLIBC, META)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    make_tree(root, {**dict.fromkeys(FILES, "x"), **LINKS})
    sqlite_database(root / PLACE / "rpmdb.sqlite", HEADERS)
    return root


def rewrite(root: Path, gone: set[str]) -> Mapping[str, bytes | None]:
    with contextlib.closing(DirectoryImage(root)) as image:
        inventory = Rpm().read(image)
        return Rpm().rewrite(image, inventory, image.tree.keys() - inventory.database - gone)


def states(blob: bytes) -> dict[str, int]:
    return {path: state for path, state, _ in parse_header(blob).files()}


def test_packages(root: Path) -> None:
    with contextlib.closing(DirectoryImage(root)) as image:
        assert isinstance(find_manager(image), Rpm)
        inventory = Rpm().read(image)
    packages = inventory.packages
    assert sorted(packages) == [
        "glibc:x86_64",
        "libx:x86_64",
        "meta:x86_64",
        "other:noarch",
        "tool:x86_64",
    ]
    tool = packages["tool:x86_64"]
    assert (tool.version, tool.source, tool.source_version) == ("3:1-2", "suite", "3:4.1-2")
    assert (packages["libx:x86_64"].version, packages["libx:x86_64"].source) == ("1-2", "libx")
    assert inventory.depends == {
        "tool:x86_64": (frozenset({"libx:x86_64"}), frozenset({"other:noarch"})),
        "meta:x86_64": (frozenset({"tool:x86_64"}),),
    }
    assert inventory.recommends == {"tool:x86_64": (frozenset({"meta:x86_64"}),)}


def test_what_was_not_installed_or_replaced_is_not_owned(root: Path) -> None:
    (root / "usr/share/man/man1").mkdir(parents=True)
    (root / "usr/share/man/man1/tool.1").touch()
    with contextlib.closing(DirectoryImage(root)) as image:
        inventory = Rpm().read(image)
    assert inventory.owned["tool:x86_64"] == {
        "/usr/bin/tool",  # listed below /bin
        "/usr/share/doc/tool/README",
        "/etc/tool.conf",
        "/var/log/tool.log",
    }
    assert inventory.owners["/usr/bin/shared"] == {"other:noarch"}
    assert inventory.conffiles["tool:x86_64"] == {"/etc/tool.conf"}
    assert inventory.owned["meta:x86_64"] == frozenset()
    assert inventory.database == {f"/{PLACE}", f"/{PLACE}/rpmdb.sqlite", "/var/lib/rpm"}


def test_derived(root: Path) -> None:
    with contextlib.closing(DirectoryImage(root)) as image:
        derived = Rpm().read(image).derived
    assert derived["/etc/ld.so.cache"] == {"glibc:x86_64"}
    assert derived["/etc/alternatives/editor"] == {"/usr/bin/other"}
    units = "/etc/systemd/system/multi-user.target.wants"
    assert derived[f"{units}/tool.service"] == derived[units] == {"/usr/bin/tool"}
    # Whose makers are no packages of this image, that is the application's.
    assert "/var/lib/dnf/history.sqlite" not in derived
    assert "/srv/app" not in derived


def test_what_dnf_and_scripts_make_is_derived(root: Path) -> None:
    makers = [
        package(name, [f"/usr/bin/{name}"]) for name in ("dnf", "ca-certificates", "chkconfig")
    ]
    (root / PLACE / "rpmdb.sqlite").unlink()
    sqlite_database(root / PLACE / "rpmdb.sqlite", [*HEADERS, *makers])
    with contextlib.closing(DirectoryImage(root)) as image:
        derived = Rpm().read(image).derived
    assert derived["/var/lib/dnf/history.sqlite"] == {"dnf:x86_64"}
    assert derived["/var/lib/alternatives/editor"] == {"chkconfig:x86_64"}
    bundle = "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"
    assert derived[bundle] == {"ca-certificates:x86_64"}


def test_rewritten_to_what_is_left(root: Path, tmp_path: Path) -> None:
    gone = {"/usr/share/doc/tool/README", "/usr/bin/other", "/usr/bin/shared", "/srv/app"}
    changes = rewrite(root, gone)
    assert list(changes) == [f"/{PLACE}/rpmdb.sqlite"]
    content = changes[f"/{PLACE}/rpmdb.sqlite"]
    assert content is not None
    left = read_sqlite(content)
    names = [parse_header(blob).name for blob in left.values()]
    # The last two never had files: they are left with what they depend on.
    assert names == ["tool", "gpg-pubkey", "libx", "glibc", "meta"]
    assert list(left) == [1, 2, 3, 5, 6]
    before, after = states(TOOL), states(left[1])
    assert {path for path in after if after[path] != before[path]} == {"/usr/share/doc/tool/README"}
    assert after["/usr/share/doc/tool/README"] == 2
    # Nothing but that one state differs, so that digests and signatures of the header hold.
    assert sum(one != other for one, other in zip(TOOL, left[1], strict=True)) == 1
    assert left[3] == LIBX
    (tmp_path / "new").write_bytes(content)
    assert sqlite_rows(tmp_path / "new", "Name") == [(f"name {n}", n, 0) for n in left]
    assert rewrite(root, gone) == changes


def test_nothing_gone_changes_nothing(root: Path) -> None:
    sqlite_database(root / "y", HEADERS)
    whole = package("glibc", ["/usr/lib64", "/etc/ld.so.cache"]), package("meta", ["/srv/app"])
    (root / PLACE / "rpmdb.sqlite").unlink()
    sqlite_database(root / PLACE / "rpmdb.sqlite", [*HEADERS[:4], *whole])
    assert rewrite(root, set()) == {}


def test_several_versions_have_a_name_each_and_a_header_twice_is_one(root: Path) -> None:
    (root / PLACE / "rpmdb.sqlite").unlink()
    kernels = [package("kernel", [f"/boot/{v}", "/srv/app"], version=v) for v in ("5", "6")]
    headers = [*kernels, LIBX, LIBX, package("libx", arch="i686", version="9")]
    sqlite_database(root / PLACE / "rpmdb.sqlite", headers)
    make_tree(root, {"/boot/5": "", "/boot/6": ""})
    with contextlib.closing(DirectoryImage(root)) as image:
        inventory = Rpm().read(image)
    assert sorted(inventory.packages) == [
        "kernel-5-2:x86_64",
        "kernel-6-2:x86_64",
        "libx:i686",
        "libx:x86_64",
    ]
    assert inventory.owned["kernel-5-2:x86_64"] == {"/boot/5", "/srv/app"}
    changes = rewrite(root, {"/boot/5", "/srv/app"})
    content = changes[f"/{PLACE}/rpmdb.sqlite"]
    assert content is not None
    assert list(read_sqlite(content)) == [2, 3, 4, 5]


def test_a_write_ahead_log_counts_and_goes(root: Path, tmp_path: Path) -> None:
    (root / PLACE / "rpmdb.sqlite").unlink()
    sqlite_database(tmp_path / "wal", HEADERS[:2], journal="WAL")
    open_still = sqlite3.connect(tmp_path / "wal", isolation_level=None)
    open_still.execute("INSERT INTO Packages VALUES (3, ?)", (LIBX,))
    open_still.execute("INSERT INTO Packages VALUES (4, ?)", (OTHER,))
    for end in ("", "-wal", "-shm"):
        shutil.copyfile(tmp_path / f"wal{end}", root / PLACE / f"rpmdb.sqlite{end}")
    open_still.close()
    with contextlib.closing(DirectoryImage(root)) as image:
        assert "other:noarch" in Rpm().read(image).packages
    changes = rewrite(root, {"/usr/bin/other", "/usr/bin/shared"})
    assert changes[f"/{PLACE}/rpmdb.sqlite-wal"] is changes[f"/{PLACE}/rpmdb.sqlite-shm"] is None
    content = changes[f"/{PLACE}/rpmdb.sqlite"]
    assert content is not None
    assert list(read_sqlite(content)) == [1, 2, 3]


@pytest.mark.parametrize("place", ["usr/lib/sysimage/rpm", "var/lib/rpm", "usr/share/rpm"])
def test_every_place_and_form(root: Path, place: str) -> None:
    shutil.rmtree(root / PLACE)
    (root / "var/lib/rpm").unlink()
    numbered = dict(enumerate(HEADERS, 1))
    (root / place).mkdir(parents=True)
    databases = {
        "Packages.db": ndb_database(numbered),
        "Packages": write_bdb(bdb_metadata("<"), numbered),
    }
    for name, content in databases.items():
        (root / place / name).write_bytes(content)
        for index in ("Index.db", "Basenames", "__db.001", ".rpm.lock"):
            (root / place / index).touch()
        changes = rewrite(root, {"/usr/lib64/libx.so.1"})
        stale = {"Index.db"} if name == "Packages.db" else {"Basenames", "__db.001"}
        assert {path for path in changes if changes[path] is None} == {
            f"/{place}/{x}" for x in stale
        }
        new = changes[f"/{place}/{name}"]
        assert new is not None
        left = read_ndb(new) if name == "Packages.db" else read_bdb(new)
        assert left == {number: numbered[number] for number in (1, 2, 4, 5, 6)}
        (root / place / name).unlink()


def test_an_empty_database_beside_a_full_one_is_passed_over(root: Path) -> None:
    (root / PLACE / "Packages").write_bytes(write_bdb(bdb_metadata("<"), {}))
    with contextlib.closing(DirectoryImage(root)) as image:
        assert len(Rpm().read(image).packages) == 5
    (root / PLACE / "Packages").write_bytes(write_bdb(bdb_metadata("<"), {1: LIBX}))
    with contextlib.closing(DirectoryImage(root)) as image:
        both = f"/{PLACE}/rpmdb.sqlite and /{PLACE}/Packages both hold packages"
        with pytest.raises(ParedownError, match=f"cannot read the rpm database: {both}"):
            Rpm().read(image)


def test_ndb_keeps_numbers_and_times() -> None:
    old = ndb_database({3: TOOL, 4: KEY, 9: OTHER})
    new = write_ndb(old, {3: LIBX, 9: OTHER})
    assert read_ndb(new) == {3: LIBX, 9: OTHER}
    assert struct.unpack_from("<5I", new) == (*struct.unpack_from("<2I", old), 8, 1, 10)
    for slot, number in ((32, 3), (48, 9)):
        _, _, unit, _ = struct.unpack_from("<4s3I", new, slot)
        assert struct.unpack_from("<4s3I", new, unit * 16)[1:3] == (number, number + 100)
    many = dict.fromkeys(range(1, 600), LIBX)
    assert read_ndb(write_ndb(ndb_database({}) + b"", {})) == {}
    with pytest.raises(KeyError):
        write_ndb(old, many)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("count", [0, 1, 150, 2000])
def test_bdb_of_either_byte_order(order: str, count: int, require: Require, tmp_path: Path) -> None:
    headers = {number: package(f"p{number}", ["/x"]) for number in range(1, count + 1)}
    made = write_bdb(bdb_metadata(order), headers)
    assert read_bdb(made) == headers
    require(shutil.which("rpm") is not None, "rpm is not installed")
    (tmp_path / "Packages").write_bytes(made)
    shown = _rpm(tmp_path, "-qa", "--qf", "%{DBINSTANCE} %{NAME}\n")
    assert sorted(shown.splitlines()) == sorted(f"{number} p{number}" for number in headers)
    for number in (1, count // 3, count) if count else ():  # found by their hashes
        if number:
            shown = _rpm(tmp_path, "-q", "--qf", "%{NAME}", "--querybynumber", str(number))
            assert shown == f"p{number}"


def test_a_header_without_states_gets_them(require: Require, tmp_path: Path) -> None:
    blob = header(
        name="x", version="1", release="2", arch="noarch",
        basenames=["a", "b"], dirnames=["/usr/"], dirindexes=[0, 0],
    )  # fmt: skip
    parsed = parse_header(blob)
    assert parsed.without([]) == blob
    assert states(parsed.without([1])) == {"/usr/a": 0, "/usr/b": 2}
    require(shutil.which("rpm") is not None, "rpm is not installed")
    (tmp_path / "Packages").write_bytes(write_bdb(bdb_metadata("<"), {1: parsed.without([1])}))
    shown = _rpm(tmp_path, "-qa", "--qf", "[%{FILESTATES} %{FILENAMES}\n]")
    assert shown.splitlines() == ["0 /usr/a", "2 /usr/b"]


def _rpm(place: Path, *arguments: str) -> str:
    settings = ["--define", "_db_backend bdb_ro", "--dbpath", str(place)]
    command = ["rpm", *settings, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("name", "count", "one"),
    [
        ("cbl-mariner-2.0.rpmdb.sqlite", 129, ("bash", "5.1.8-1.cm2", "x86_64", 67)),
        ("sle15-bci.Packages.db", 35, ("bash", "4.4-19.6.1", "x86_64", 90)),
        ("libuuid.Packages", 1, ("libuuid", "2.32.1-42.el8_8", "x86_64", 7)),
    ],
)
def test_real_databases(name: str, count: int, one: tuple[str, str, str, int]) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not there")
    data = (DATA / name).read_bytes()
    form = {"sqlite": read_sqlite, "db": read_ndb, "Packages": read_bdb}[name.rpartition(".")[2]]
    headers = [parse_header(blob) for blob in form(data).values()]
    assert len(headers) == count
    packages = {header.name: header for header in headers}
    found = packages[one[0]]
    assert (found.name, found.version, found.architecture, len(list(found.files()))) == one


def test_digests_of_a_signed_header_hold(require: Require, tmp_path: Path) -> None:
    source = DATA / "cbl-mariner-2.0.rpmdb.sqlite"
    if not source.exists():
        pytest.skip(f"{source} is not there")
    require(shutil.which("rpm") is not None, "rpm is not installed")
    data = source.read_bytes()
    headers = read_sqlite(data)
    number = next(n for n, blob in headers.items() if parse_header(blob).name == "bash")
    marked = parse_header(headers[number]).without([0, 1])
    forged = headers[number].replace(b"GPLv3", b"GPLv4", 1)
    for blob, says in ((marked, "Header SHA256 digest: OK"), (forged, "Header SHA256 digest: BAD")):
        database = write_sqlite(data, b"", {**headers, number: blob})
        (tmp_path / "rpmdb.sqlite").write_bytes(database)
        command = ["rpm", "--dbpath", str(tmp_path), "-qsvv", "bash"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert says in done.stderr
        files = [line for line in done.stdout.splitlines() if line.startswith("not installed ")]
        assert len(files) == (2 if blob is marked else 0)


def test_states_that_lie_upon_a_name_are_refused() -> None:
    """Marking a file as not installed would rename the package."""
    blob = bytearray(package("tool", ["/usr/bin/tool"]))
    index = [blob[8 + 16 * n : 24 + 16 * n] for n in range(struct.unpack_from(">I", blob)[0])]
    (name,) = [tag for tag in index if tag[:4] == struct.pack(">I", 1000)]
    place = next(n for n, tag in enumerate(index) if tag[:4] == struct.pack(">I", 1029))
    blob[16 + 16 * place : 20 + 16 * place] = name[8:12]
    with pytest.raises(ParedownError, match="lie upon something else"):
        parse_header(bytes(blob)).without([0])
