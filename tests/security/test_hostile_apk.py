"""apk databases made to harm: one clear line or sane handling, in bounded time."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
import time
from pathlib import Path

import pytest

from decisions import make_tree, runs_of
from paredown_minimizer.decide import Decision, decide
from paredown_minimizer.explain import explain
from paredown_minimizer.formats import find_format
from paredown_minimizer.image.directory import DirectoryImage
from paredown_minimizer.packages.apk import Apk
from paredown_minimizer.packages.apk_scripts import keep_scripts
from paredown_minimizer.policy import Policy
from paredown_minimizer.review import review_plan
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import dump_plan, load_plan

DB = "/lib/apk/db"
RECORD = "C:Q1{}=\nP:{}\nV:1\nA:x86_64\nF:usr/bin\nR:{}\nZ:Q1x\n\n"
GOOD, GONE = (RECORD.format(name.ljust(27, "A"), name, name) for name in ("good", "gone"))
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
            f"{DB}/installed": GOOD + GONE,
        },
    )
    return tmp_path / "root"


def plan(root: Path, database: dict[str, str | bytes]) -> Decision:
    """Decide on the tree with these files; the plan survives being read again."""
    for name, content in database.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
        path.write_bytes(data)
    before = time.process_time()
    with contextlib.closing(DirectoryImage(root)) as image:
        decision = decide(image, Apk(), runs_of(root, ["/usr/bin/good"]), Policy(), "package")
    assert time.process_time() - before < 10
    assert load_plan(dump_plan(decision.plan), "plan") == decision.plan
    return decision


def test_what_hostile_ones_are_made_from_is_read(root: Path) -> None:
    decision = plan(root, {})
    assert [package.action for package in decision.plan.packages] == ["remove", "keep"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "", "a b", "a\x1b[31m", "ü"])
def test_names_that_can_be_no_packages_are_refused(root: Path, name: str) -> None:
    with pytest.raises(ParedownError, match="record at line 1 names what can be no pack") as told:
        plan(root, {f"{DB}/installed": GOOD.replace("P:good", f"P:{name}")})
    assert str(told.value).isprintable()


def test_nothing_outside_the_tree_is_named(root: Path) -> None:
    up = "../" * 9
    outside = f"F:{up}etc\nR:{up}passwd\nF:/\nR:..\nR:.\nR:\nF:..\nR:etc/passwd\n\n"
    decision = plan(
        root,
        {
            f"{DB}/installed": GOOD + GONE[:-1] + outside,
            f"{DB}/triggers": f"{up}etc/passwd\n\n \nQ1gone",
            "/etc/apk/world": f"{up}etc/passwd\n \n!\n=1\n@\n",
        },
    )
    names = {path for listed in decision.plan.removed for path in listed.paths()}
    assert names <= {"/usr/bin/gone", "/etc/passwd"}


@pytest.mark.parametrize(
    "text",
    [
        GOOD + GONE[:-2],
        GOOD + "\n" * 500_000 + GONE,
        GOOD + GONE[:-1] + "F:x\0y\nR:\x1b[2J\n" * 3 + "\n",
        GOOD + GONE[:-1] + f"F:{LONG}\nR:x\n" * 9 + "\n",
        GOOD + GONE[:-1] + "R:same\n" * 50_000 + "\n",
        GOOD + GONE[:-1] + "F:usr/bin\n" * 50_000 + "\n",
        GOOD + GONE[:-1] + f"T:{'y' * 5_000_000}\nD:{'a=1 !b ' * 100_000}\np:{'c ' * 100_000}\n\n",
        GOOD + GOOD + GONE,
        "".join(
            f"P:p{number}\nA:x86_64\nD:p{number + 1}\n\n" for number in range(4_000)
        ) + GOOD + GONE,
    ],
)  # fmt: skip
def test_oddities_are_borne(root: Path, text: str) -> None:
    decision = plan(root, {f"{DB}/installed": text})
    assert "/usr/bin/good" in decision.kept
    assert {p.name: p.action for p in decision.plan.packages}["good"] == "keep"


def test_fields_are_shown_escaped(root: Path) -> None:
    hostile = "1\x1b]0;x\x07\u202e\udcff"
    text = (GOOD + GONE).replace("V:1", f"V:{hostile}").replace("A:x86_64", f"A:{hostile}")
    decision = plan(root, {f"{DB}/installed": text.replace("F:usr", f"o:{hostile}\nF:usr")})
    review = review_plan(decision.plan)
    texts = [find_format(name).review(review) for name in ("table", "list")]
    shown = [*"".join(texts).splitlines(), *explain(decision.plan, "good")]
    assert len(shown) > 10
    assert all(line.isprintable() for line in shown)
    assert dump_plan(decision.plan).replace("\n", "").isprintable()


@pytest.mark.parametrize("kind", ["fifo", "directory", "loop"])
def test_files_of_other_types_are_never_opened(root: Path, kind: str) -> None:
    for name in ("triggers", "scripts.tar", "scripts.tar.gz"):
        path = root / f"{DB}/{name}".lstrip("/")
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        else:
            path.symlink_to(path.name)
    assert "/usr/bin/gone" not in plan(root, {}).kept


def test_a_database_that_is_a_link_is_none(root: Path) -> None:
    installed = root / f"{DB}/installed".lstrip("/")
    installed.rename(root / "elsewhere")
    installed.symlink_to("/elsewhere")
    with contextlib.closing(DirectoryImage(root)) as image:
        assert not Apk().detect(image)


def test_a_file_of_absurd_size_is_refused(root: Path) -> None:
    with (root / f"{DB}/installed".lstrip("/")).open("r+b") as installed:
        installed.truncate(1 << 40)  # a hole: it takes no space
    with pytest.raises(ParedownError, match="installed of the image: longer than"):
        plan(root, {})


def scripts(**changes: object) -> bytes:
    """Return an archive of one script of the package that goes."""
    member = tarfile.TarInfo(f"gone-1.Q1{'gone'.ljust(27, 'A')}=.post-install")
    for name, value in changes.items():
        setattr(member, name, value)
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive" * 100,
        scripts()[:300],
        scripts(size=-1024),
        scripts()[:512] + scripts(size=-512),  # it would begin where it begins
        scripts(size=1 << 60),
        scripts(name="x" * 300_000),
        scripts(type=tarfile.SYMTYPE, linkname="../../etc/passwd"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_scripts_are_refused_or_borne(root: Path, data: bytes, suffix: str) -> None:
    path = f"{DB}/scripts.tar{suffix}"
    content = gzip.compress(data) if suffix else data
    try:
        decision = plan(root, {path: content})
    except ParedownError as error:
        assert str(error).startswith(f"cannot read {path}: ")
        assert str(error).isprintable()
    else:
        assert path in decision.kept


def test_an_archive_of_scripts_that_expands_without_end_is_refused() -> None:
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb") as file:
        for _ in range(70):
            file.write(bytes(1 << 20))
    with pytest.raises(ParedownError, match="longer than"):
        keep_scripts(bomb.getvalue(), "scripts.tar.gz", lambda _: True)
