"""dpkg databases made to harm: one clear line or sane handling, in bounded time."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest

from decisions import make_tree, runs_of
from paredown_minimizer.decide import Decision, decide
from paredown_minimizer.explain import explain
from paredown_minimizer.formats import find_format
from paredown_minimizer.image.directory import DirectoryImage
from paredown_minimizer.packages.dpkg import Dpkg
from paredown_minimizer.packages.dpkg_format import conffile_path
from paredown_minimizer.policy import Policy
from paredown_minimizer.review import review_plan
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import dump_plan, load_plan

DPKG = "/var/lib/dpkg"
STANZA = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
LONG = "/b" * 100_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Packages good and gone; what hostile databases are made from."""
    make_tree(
        tmp_path / "root",
        {
            "/etc/passwd": "x",
            "/usr/bin/good": "#!x",
            "/usr/bin/gone": "#!x",
            f"{DPKG}/status": STANZA.format("good") + STANZA.format("gone"),
            f"{DPKG}/info/format": "1\n",
            f"{DPKG}/info/good.list": "/.\n/usr/bin/good\n",
            f"{DPKG}/info/gone.list": "/.\n/usr/bin/gone\n",
        },
    )
    return tmp_path / "root"


def plan(root: Path, database: dict[str, str]) -> Decision:
    """Decide on the tree with these files in its database; the plan survives being read again."""
    for name, text in database.items():
        path = root / f"{DPKG}/{name}".lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    before = time.process_time()
    with contextlib.closing(DirectoryImage(root)) as image:
        decision = decide(image, Dpkg(), runs_of(root, ["/usr/bin/good"]), Policy(), "package")
    assert time.process_time() - before < 10
    assert load_plan(dump_plan(decision.plan), "plan") == decision.plan
    return decision


def test_what_hostile_ones_are_made_from_is_read(root: Path) -> None:
    decision = plan(root, {})
    assert [package.action for package in decision.plan.packages] == ["remove", "keep"]


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "",
        "-rf",
        "a:b",
        "a b",
        "a\x1b[31m",
        "a\n b",
        "ü",
    ],
)
def test_names_that_dpkg_refuses_are_refused(root: Path, name: str) -> None:
    with pytest.raises(ParedownError, match=r"status: line 1 names what can be no package") as told:
        plan(root, {"status": STANZA.format(name)})
    assert str(told.value).isprintable()


def test_field_that_stands_twice_is_refused(root: Path) -> None:
    """dpkg refuses it too; whoever reads it chooses one of two truths."""
    with pytest.raises(ParedownError, match="line 5 has a field again"):
        plan(root, {"status": STANZA.format("good")[:-1] + "package: gone\n\n"})


def test_names_of_the_databases_files_are_shown_escaped(root: Path) -> None:
    with pytest.raises(ParedownError, match="cut short") as told:
        plan(root, {"alternatives/\x1b[2J": "auto\n"})
    assert str(told.value).isprintable()


def test_nothing_outside_the_tree_is_named(root: Path) -> None:
    up = "../" * 9
    decision = plan(
        root,
        {
            "info/good.list": f"/.\n/usr/bin/good\n/{up}etc/passwd\n/usr/../../etc/passwd\n{up}x\n",
            "info/good.md5sums": f"0 {up}etc/passwd\nno sum\n",
            "alternatives/../../x": "",
            "alternatives/x": f"auto\n{up}etc/passwd\n\n{up}usr/bin/gone\n1\n\n",
            "triggers/File": f"{up}etc/passwd {up}good\n",
            "statoverride": f"root root 4755 {up}etc/passwd\n",
        },
    )
    assert "/etc/passwd" in decision.kept
    names = {path for listed in decision.plan.removed for path in listed.paths()}
    assert names == {"/usr/bin/gone"}


@pytest.mark.parametrize(
    "database",
    [
        {"info/good.list": "/.\n/usr/bin/good", "info/gone.list": "/usr/bin/gone"},
        {"info/good.list": "/.\n/usr/bin/good\n" + "/x\0y\n\x1b[2J\n\udcff\n" * 3},
        {"info/good.list": f"/.\n/usr/bin/good\n{LONG}\n" * 9},
        {"info/good.md5sums": "0  usr/bin/good\n" + "\n" * 99_999 + "  \n" * 99_999},
        {"info/good.conffiles": "/etc/x" + " obsolete" * 100_000 + "x\n"},
        {"status": STANZA.format("good") + " \n" * 200_000 + "\n" + STANZA.format("gone")},
        {"status": (STANZA.format("good")[:-1] + "X: " + "y" * 5_000_000 + "\n\n") * 2},
        {"status": STANZA.format("good")[:-1] + f"Depends: {'a | , ' * 99_999}\n\n"},
        {"status": STANZA.format("good")[:-1] + f"Conffiles:\n {LONG}{' obsolete' * 99_999}x\n\n"},
        {"diversions": f"{LONG}\n/usr/bin/good\n:\n/usr/bin/good\n/usr/bin/good\n:\n"},
        {"alternatives/x": f"auto\n{LONG}\n\n{LONG}\n1\n\n"},
    ],
)
def test_oddities_are_borne(root: Path, database: dict[str, str]) -> None:
    decision = plan(root, database)
    assert "/usr/bin/good" in decision.kept
    assert decision.plan.packages[-1].action == "keep"


def test_fields_are_shown_escaped(root: Path) -> None:
    hostile = "1\x1b]0;x\x07\u202e\udcff"
    status = STANZA.replace("Version: 1", f"Version: {hostile}").replace("amd64", f"a{hostile}")
    database = {"status": status.format("good") + status.format("gone")}
    decision = plan(root, database)
    review = review_plan(decision.plan)
    texts = [find_format(name).review(review) for name in ("table", "list")]
    shown = [*"".join(texts).splitlines()]
    shown += [*explain(decision.plan, "good"), *explain(decision.plan, "gone")]
    assert len(shown) > 10
    assert all(line.isprintable() for line in shown)
    assert dump_plan(decision.plan).replace("\n", "").isprintable()


@pytest.mark.parametrize("kind", ["fifo", "directory", "loop"])
def test_files_of_other_types_are_never_opened(root: Path, kind: str) -> None:
    listing = root / f"{DPKG}/info/gone.list".lstrip("/")
    listing.unlink()
    for path in (listing, root / "var/lib/dpkg/diversions", root / "usr/lib/os-release"):
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        else:
            path.symlink_to(path.name)
    assert "/usr/bin/gone" in plan(root, {}).kept  # nobody lists it: it counts as the application


def test_a_file_of_absurd_size_is_refused(root: Path) -> None:
    with (root / f"{DPKG}/status".lstrip("/")).open("r+b") as status:
        status.truncate(1 << 40)  # a hole: it takes no space
    with pytest.raises(ParedownError, match="status of the image: longer than"):
        plan(root, {})


@pytest.mark.parametrize("lines", [1, 2, 4])
def test_diversions_of_odd_length_are_refused(root: Path, lines: int) -> None:
    with pytest.raises(ParedownError, match=f"diversions: cut short at line {lines}"):
        plan(root, {"diversions": "/usr/bin/good\n" * lines})


def test_marks_of_conffiles_in_any_number() -> None:
    before = time.process_time()
    assert conffile_path("/a" + " obsolete" * 200_000) == "/a"
    assert conffile_path("/a" + " obsolete" * 200_000 + "x").endswith("obsoletex")
    assert time.process_time() - before < 2


@pytest.mark.parametrize(
    "database",
    [
        {"a\n": STANZA.format("other")},
        {"good": STANZA.format("good") * 2, "good.md5sums": "0  usr/bin/good\n" * 50_000},
        {"good.md5sums": "0  usr/bin/good\n", "gone.md5sums.md5sums": "0  usr/bin/gone\n"},
        {"good.md5sums": f"0  {'../' * 9}etc/passwd\n0\n \n0  {LONG}\n0  .\n0  ./..\n"},
        {"good.md5sums": "\0\x1b[2J  \udcff\n"},
        {"x": "", "y": "\n\n", "z.md5sums": "0  etc/passwd\n"},
    ],
)
def test_oddities_of_distroless_ones_are_borne(root: Path, database: dict[str, str]) -> None:
    files = {"good": STANZA.format("good"), "good.md5sums": "0  usr/bin/good\n", **database}
    decision = plan(root, {f"status.d/{name}": text for name, text in files.items()})
    assert {"/usr/bin/good", "/etc/passwd"} <= decision.kept
    assert {p.name: p.action for p in decision.plan.packages}["good"] == "keep"


@pytest.mark.parametrize("name", ["\x1b[31m", "a\nb", "\udcff"])
def test_names_of_distroless_files_are_shown_escaped(root: Path, name: str) -> None:
    with pytest.raises(ParedownError, match="line 1 is not a field") as told:
        plan(root, {f"status.d/{name}": "no field\n"})
    assert str(told.value).isprintable()


@pytest.mark.parametrize("kind", ["fifo", "directory", "loop"])
def test_files_of_other_types_in_status_d_are_never_opened(root: Path, kind: str) -> None:
    directory = root / f"{DPKG}/status.d".lstrip("/")
    directory.mkdir()
    for name in ("good", "good.md5sums", "gone"):
        if kind == "fifo":
            os.mkfifo(directory / name)
        elif kind == "directory":
            (directory / name).mkdir()
        else:
            (directory / name).symlink_to(name)
    assert "/usr/bin/gone" not in plan(root, {}).kept
