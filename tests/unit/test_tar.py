"""The tar reader and writer against GNU tar and Python's tarfile."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from paredown_minimizer.image.model import Entry
from paredown_minimizer.image.regions import FileRegion
from paredown_minimizer.image.tar import Content, Member, read_members
from paredown_minimizer.image.tar_write import END, member_header, member_size, padding
from paredown_schemas.errors import ParedownError


@contextlib.contextmanager
def region(data: bytes) -> Iterator[FileRegion]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield FileRegion(file.fileno(), 0, len(data))


def members(data: bytes) -> dict[str, tuple[Member, bytes]]:
    with region(data) as place:
        return {
            m.name: (m, Content(place, m.size, m.extents).read() or b"")
            for m in read_members(place, "a.tar")
        }


def archive(form: int = tarfile.PAX_FORMAT, **fields: object) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        info = tarfile.TarInfo("name")
        info.size = 4
        for key, value in fields.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(b"data"))
    return file.getvalue()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["short", "d" * 60 + "/" + "n" * 60, "e/" * 30 + "ü"])
def test_names(form: int, name: str) -> None:
    assert members(archive(form, name=name))[name][1] == b"data"


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_link(form: int) -> None:
    data = archive(form, type=tarfile.SYMTYPE, linkname="t/" * 200, size=0)
    assert members(data)["name"][0].link == "t/" * 200


def test_large_and_negative_numbers() -> None:
    (found, _) = members(archive(tarfile.GNU_FORMAT, uid=4_000_000_000, mtime=-5))["name"]
    assert (found.uid, found.mtime_ns) == (4_000_000_000, -5_000_000_000)


@pytest.mark.parametrize(
    "options",
    [
        ["--format=gnu"],
        ["--format=pax", "--sparse-version=0.0"],
        ["--format=pax", "--sparse-version=0.1"],
        ["--format=pax", "--sparse-version=1.0"],
    ],
)
def test_sparse_files_of_gnu_tar(tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        for number in range(40):
            file.seek(number * 200_000 + 8192)
            file.write(b"%04d" % number)
        file.truncate(9_000_000)
    command = [
        "tar",
        "--create",
        "--sparse",
        *options,
        "--file=-",
        f"--directory={tmp_path}",
        "sparse",
    ]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    if len(data) > 5_000_000:
        pytest.skip("the filesystem has no holes")
    found, content = members(data)["sparse"]
    assert found.size == 9_000_000
    assert content == path.read_bytes()
    with region(data) as place:
        (only,) = read_members(place, "a.tar")
        reader = io.BufferedReader(Content(place, only.size, only.extents))
        reader.seek(-1_191_808 - 4, os.SEEK_END)
        assert reader.read(10) == path.read_bytes()[7_808_188:7_808_198]


ENTRIES = st.builds(
    Entry,
    path=st.text(
        st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=120
    )
    .filter(lambda name: name not in (".", ".."))
    .map(lambda name: f"/{name}"),
    type=st.just("file"),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32 - 2),
    gid=st.integers(0, 2**32 - 2),
    size=st.just(3),
    mtime_ns=st.integers(-(2**62), 2**62),
    xattrs=st.dictionaries(st.sampled_from(["user.a", "user.b"]), st.binary(max_size=300)).map(
        lambda found: tuple(sorted(found.items()))
    ),
)


@hypothesis.given(ENTRIES)
def test_what_is_written_reads_the_same(entry: Entry) -> None:
    data = member_header(entry) + b"abc" + padding(3) + END
    assert len(data) == member_size(entry) + len(END)
    ((found, content),) = members(data).values()
    assert content == b"abc"
    assert f"/{found.name}" == entry.path
    attributes = ("mode", "uid", "gid", "size", "mtime_ns", "xattrs")
    assert [getattr(found, key) for key in attributes] == [
        getattr(entry, key) for key in attributes
    ]
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8") as tar:
        (info,) = tar
        assert (f"/{info.name}", info.mode, info.uid, info.gid) == (
            entry.path.rstrip("/"),
            entry.mode,
            entry.uid,
            entry.gid,
        )


def test_size_beyond_eleven_octal_digits() -> None:
    header = member_header(Entry("/f", "file", 0o644, 0, 0, 9 << 30, 0))
    assert tarfile.TarInfo.frombuf(header[-512:], "utf-8", "strict").size == 0
    assert b"size=9663676416\n" in header


SAMPLE = archive(name="x" * 150, pax_headers={"SCHILY.xattr.user.x": "y"})[:-9216] + archive(
    tarfile.GNU_FORMAT, name="z" * 150
)


@hypothesis.given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
def test_flipped_bytes_are_told_or_harmless(position: int, change: int) -> None:
    damaged = bytearray(SAMPLE)
    damaged[position] ^= change
    with contextlib.suppress(ParedownError):
        members(bytes(damaged))


@hypothesis.given(st.integers(0, len(SAMPLE)))
def test_prefixes_are_told_or_whole_members(length: int) -> None:
    whole = members(SAMPLE)
    with contextlib.suppress(ParedownError):
        assert members(SAMPLE[:length]).items() <= whole.items()


@hypothesis.given(st.binary(max_size=2000))
def test_noise_is_refused(noise: bytes) -> None:
    with contextlib.suppress(ParedownError):
        members(noise)


def tar_names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getnames()


def test_many_members_in_half_the_time_of_tarfile() -> None:
    """Python's own needs seconds for an image (measured): a fifth to a third is what to expect."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(5_000):
            info = tarfile.TarInfo(f"usr/share/doc/{number}/copyright")
            info.mtime = 1.5 + number
            tar.addfile(info)
    data = file.getvalue()

    def spent(read: Callable[[], int]) -> float:
        start = time.process_time()
        assert read() == 5_000
        return time.process_time() - start

    with region(data) as place:
        ours = min(spent(lambda: len(list(read_members(place, "a.tar")))) for _ in range(3))
        theirs = min(spent(lambda: len(tar_names(data))) for _ in range(3))
    assert ours < theirs / 2
