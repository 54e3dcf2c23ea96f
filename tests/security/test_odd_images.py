"""Images that are odd and legitimate: runtimes unpack them, and we read what they make of them.

One image holds all cases, each below a directory of its own; podman (overlayfs) and umoci judge.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from archives import Item, archive, layer, link
from fixture_types import Require
from paredown_minimizer.image.docker_archive import open_archive
from paredown_minimizer.image.model import read

Layer = Sequence[Item | str]
Found = dict[str, str]

# Layers, what they make, and who agrees; the others refuse, or do as a comment says.
BOTH, UMOCI, PODMAN, NONE = ("podman", "umoci"), ("umoci",), ("podman",), ()
STACKS: dict[str, tuple[list[Layer], Found, Sequence[str]]] = {
    "implied parents": ([["a/b/c"]], {"a": "/", "a/b": "/", "a/b/c": ""}, BOTH),
    "odd spelling": ([["/a//./b"]], {"a": "/", "a/b": ""}, BOTH),
    "file becomes directory": ([["d"], ["d/", "d/x"]], {"d": "/", "d/x": ""}, BOTH),
    "directory becomes file": ([["d/", "d/x"], ["d"]], {"d": ""}, BOTH),
    "directory becomes link": (
        [["t/", "d/", "d/y"], [link("d", "t")]],
        {"t": "/", "d": "-> t"},
        BOTH,
    ),
    "link becomes directory": (
        [["t/", "t/x", link("d", "t")], ["d/", "d/y"]],
        {"t": "/", "t/x": "", "d": "/", "d/y": ""},
        BOTH,
    ),
    "file in place of a link": (
        [[("t", "kept"), link("s", "t")], [("s", "new")]],
        {"t": "kept", "s": "new"},
        BOTH,
    ),
    "whiteout": ([["a", "b/", "b/x"], [".wh.a", "b/.wh.x"]], {"b": "/"}, BOTH),
    "whiteout of a directory": ([["d/", "d/x", "k"], [".wh.d"]], {"k": ""}, BOTH),
    "whiteout of nothing": ([["k"], [".wh.d"]], {"k": ""}, BOTH),
    "whiteout of a whiteout": ([["f"], [".wh..wh.f"]], {"f": ""}, BOTH),
    "whiteout and new": ([["f"], [".wh.f", ("f", "new")]], {"f": "new"}, BOTH),
    "new and whiteout": ([["f"], [("f", "new"), ".wh.f"]], {"f": "new"}, UMOCI),
    # On overlayfs the old things come back, against the specification.
    "whiteout and new directory": (
        [["d/", "d/old"], [".wh.d", "d/", "d/new"]],
        {"d": "/", "d/new": ""},
        UMOCI,
    ),
    "whiteout below a file": ([["f"], ["f/.wh.x"]], {"f": "/"}, PODMAN),
    "whiteout below a link": (
        [["t/", "t/x", link("d", "t")], ["d/.wh.x"]],
        {"t": "/", "t/x": "", "d": "/"},
        PODMAN,
    ),
    "whiteout below nothing": ([["k"], ["d/.wh.x"]], {"k": "", "d": "/"}, PODMAN),
    "whiteout that is a link": (
        [["f", "g"], [link(".wh.f", "x"), (".wh.g", "text")]],
        {},
        UMOCI,
    ),
    "opaque": ([["d/", "d/old"], ["d/", "d/.wh..wh..opq", "d/new"]], {"d": "/", "d/new": ""}, BOTH),
    "opaque last": (
        [["d/", "d/old"], ["d/", "d/new", "d/.wh..wh..opq"]],
        {"d": "/", "d/new": ""},
        BOTH,
    ),
    "opaque and back": (
        [["d/", "d/a"], ["d/", "d/.wh..wh..opq"], ["d/", "d/a"]],
        {"d": "/", "d/a": ""},
        BOTH,
    ),
    "name of a whiteout inside a path": ([[".wh.d/f"]], {".wh.d": "/", ".wh.d/f": ""}, BOTH),
    # umoci follows the link, as a runtime without overlayfs would.
    "parent that is a link below": (
        [["t/", link("d", "t")], ["d/x"]],
        {"t": "/", "d": "/", "d/x": ""},
        PODMAN,
    ),
    "parent that is a file below": ([["f"], ["f/x"]], {"f": "/", "f/x": ""}, PODMAN),
    "parent that is a link": (
        [["a/", link("a/up", ".."), "a/up/x"]],
        {"a": "/", "a/up": "-> ..", "x": ""},
        BOTH,
    ),
    "hardlinks": (
        [[("a", "x"), link("b", "a", hard=True), link("c", "/a", hard=True)]],
        {"a": "x", "b": "x", "c": "x"},
        BOTH,
    ),
    "hardlink to a symlink": (
        [[link("s", "x"), link("h", "s", hard=True)]],
        {"s": "-> x", "h": "-> x"},
        BOTH,
    ),
    "hardlink into a layer below": (
        [[("a", "one")], [link("b", "a", hard=True)]],
        {"a": "one", "b": "one"},
        UMOCI,
    ),
    "one name twice": ([[("f", "1"), ("f", "2")]], {"f": "2"}, UMOCI),
    "file, then directory": ([["d", "d/", "d/x"]], {"d": "/", "d/x": ""}, UMOCI),
    "directory, then file": ([["d/", "d/x", ("d", "f")]], {"d": "f"}, UMOCI),
    "twins": (
        [[("é", "1"), ("e\u0301", "2"), ("README", "3"), ("readme", "4"), ("ﬁ", "5"), ("fi", "6")]],
        {"é": "1", "e\u0301": "2", "README": "3", "readme": "4", "ﬁ": "5", "fi": "6"},
        BOTH,
    ),
    "names that hurt": (
        [["a\nb", "\x1b[2J", "-rf", "~", "a\\b", " ", "\udcff", "…" * 85]],
        dict.fromkeys(["a\nb", "\x1b[2J", "-rf", "~", "a\\b", " ", "\udcff", "…" * 85], ""),
        BOTH,
    ),
    "dangling and circular links": (
        [[link("a", "b"), link("b", "a"), link("c", "/no/../where"), link("d", "../" * 9 + "etc")]],
        {"a": "-> b", "b": "-> a", "c": "-> /no/../where", "d": "-> " + "../" * 9 + "etc"},
        BOTH,
    ),
    "deep": (
        [["d/" * 300 + "f"]],
        {"d/" * n + "d": "/" for n in range(300)} | {"d/" * 300 + "f": ""},
        BOTH,
    ),
}


def raw(name: str, content: bytes, form: Any = tarfile.PAX_FORMAT, **fields: Any) -> bytes:
    """Return one member as tarfile writes it, without end blocks."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(form) + content.ljust(-(-len(content) // 512) * 512, b"\0")


def patched(block: bytes, *patches: tuple[int, bytes]) -> bytes:
    """Change a header, checksum included."""
    changed = bytearray(block)
    for offset, value in patches:
        changed[offset : offset + len(value)] = value
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed[:512])
    return bytes(changed)


END = bytes(1024)
SPARSE = b"ab".ljust(2000, b"\0")[:1000] + b"cd".ljust(1000, b"\0")
_MAP = b"2\n0\n2\n1000\n2\n".ljust(512, b"\0")


def sparse(shown: str, data: bytes, **headers: str) -> bytes:
    fields = {f"GNU.sparse.{key}": value for key, value in headers.items()}
    return raw(shown, data, pax_headers=fields)


def _records(*pairs: tuple[str, str]) -> bytes:
    text = b""
    for key, value in pairs:
        length = len(f" {key}={value}\n")
        while length != len(f"{length} {key}={value}\n"):
            length += 1
        text += f"{length} {key}={value}\n".encode()
    return text


# Archives in odd forms: bytes, the one file in them and its content.
# Go's archive/tar reads the types "7" and "S", but no runtime in Go unpacks them.
UNPACKED_BY_TAR_ALONE = ("contiguous file", "sparse of old GNU")
ARCHIVES: dict[str, tuple[bytes, str, bytes]] = {
    "v7": (patched(raw("v7", b"x", tarfile.USTAR_FORMAT), (257, bytes(8))) + END, "v7", b"x"),
    "v7 of the oldest type": (
        patched(raw("v7-0", b"x", tarfile.USTAR_FORMAT), (257, bytes(8)), (156, b"\0")) + END,
        "v7-0",
        b"x",
    ),
    "contiguous file": (raw("contiguous", b"x", type=tarfile.CONTTYPE) + END, "contiguous", b"x"),
    "base-256 numbers": (
        patched(
            raw("base256", b"x", tarfile.GNU_FORMAT),
            (124, b"\x80" + (1).to_bytes(11, "big")),
            (108, b"\x80" + (3_000_000).to_bytes(7, "big")),
        )
        + END,
        "base256",
        b"x",
    ),
    "numbers with spaces": (
        patched(raw("spaces", b"x", tarfile.USTAR_FORMAT), (124, b"          1 ")) + END,
        "spaces",
        b"x",
    ),
    "long name of GNU": (raw("g" * 200, b"x", tarfile.GNU_FORMAT) + END, "g" * 200, b"x"),
    "long name of pax": (raw("p" * 200, b"x") + END, "p" * 200, b"x"),
    "prefix of ustar": (
        raw("u" * 90 + "/" + "v" * 90, b"x", tarfile.USTAR_FORMAT) + END,
        "u" * 90 + "/" + "v" * 90,
        b"x",
    ),
    "global header": (
        tarfile.TarInfo.create_pax_global_header({"comment": "abc", "path": "no"})
        + raw("global", b"x")
        + END,
        "global",
        b"x",
    ),
    "no end blocks": (raw("endless", b"x"), "endless", b"x"),
    "one end block": (raw("half-end", b"x") + bytes(512), "half-end", b"x"),
    "garbage behind the end": (raw("trailing", b"x") + END + b"garbage" * 99, "trailing", b"x"),
    "sparse of old GNU": (
        patched(
            raw("old-gnu", b"abcd", tarfile.GNU_FORMAT, type=tarfile.GNUTYPE_SPARSE),
            (386, b"%011o\0%011o\0%011o\0%011o\0" % (0, 2, 1000, 2)),
            (483, b"%011o\0" % 2000),
        )
        + END,
        "old-gnu",
        SPARSE,
    ),
    "sparse of pax 0.0": (
        patched(
            raw(
                "x",
                _records(
                    ("GNU.sparse.size", "2000"),
                    ("GNU.sparse.numblocks", "2"),
                    ("GNU.sparse.offset", "0"),
                    ("GNU.sparse.numbytes", "2"),
                    ("GNU.sparse.offset", "1000"),
                    ("GNU.sparse.numbytes", "2"),
                ),
                tarfile.USTAR_FORMAT,
                type=tarfile.XHDTYPE,
            )
        )
        + raw("pax-0.0", b"abcd", tarfile.USTAR_FORMAT)
        + END,
        "pax-0.0",
        SPARSE,
    ),
    "sparse of pax 0.1": (
        sparse("0.1", b"abcd", size="2000", numblocks="2", map="0,2,1000,2", name="pax-0.1") + END,
        "pax-0.1",
        SPARSE,
    ),
    "sparse of pax 1.0": (
        sparse("1.0", _MAP + b"abcd", major="1", minor="0", realsize="2000", name="pax-1.0") + END,
        "pax-1.0",
        SPARSE,
    ),
}


def prefixed(case: str, items: Layer) -> Iterator[Item]:
    """Move a layer's members and what their hardlinks name below the case's directory."""
    yield f"{case}/", ""
    for item in items:
        name, content = (item, b"") if isinstance(item, str) else item
        if isinstance(content, dict):
            content = dict(content)
            if content["type"] == tarfile.LNKTYPE:
                content["linkname"] = f"/{case}/{content['linkname'].lstrip('/')}"
        yield (
            f"{case}/{name.lstrip('/')}" if not name.startswith("/") else f"/{case}{name}",
            content,
        )


def stacked(cases: Mapping[str, Sequence[Layer]]) -> list[bytes]:
    """Return layers that hold the layers of all cases."""
    return [
        layer(
            *(
                item
                for case, layers in cases.items()
                if number < len(layers)
                for item in prefixed(case, layers[number])
            )
        )
        for number in range(max(map(len, cases.values())))
    ]


def expected(case: str, found: Found) -> Found:
    return {f"/{case}/{path}": what for path, what in found.items()} | {f"/{case}": "/"}


def ours(path: Path) -> Found:
    """Return what we read: "/" for a directory, "-> text" for a link, else the content."""
    found = {}
    with contextlib.closing(open_archive(str(path))) as image:
        for name, entry in image.tree.items():
            if entry.type == "file":
                found[name] = read(image, name, 1 << 20).decode()
            else:
                found[name] = "/" if entry.type == "directory" else f"-> {entry.target}"
    return {name: what for name, what in found.items() if name != "/"}


def on_disk(root: Path) -> Found:
    """Return the same of an unpacked tree."""
    found = {}
    for directory, folders, names in os.walk(os.fsencode(root)):
        for raw_name in (*folders, *names):
            place = os.path.join(directory, raw_name)
            name = "/" + os.path.relpath(place, os.fsencode(root)).decode(
                "utf-8", "surrogateescape"
            )
            try:
                mode = os.lstat(place).st_mode
            except FileNotFoundError:  # overlayfs lists a whiteout of nothing
                continue
            if stat.S_ISLNK(mode):
                found[name] = "-> " + os.readlink(place).decode("utf-8", "surrogateescape")
            elif stat.S_ISDIR(mode):
                found[name] = "/"
            else:
                with open(place, "rb") as file:
                    found[name] = file.read().decode()
    return found


@contextlib.contextmanager
def unpacked(runtime: str, path: Path) -> Iterator[Path]:
    """Give the tree that a runtime makes of a docker archive."""
    with tempfile.TemporaryDirectory(prefix="paredown-judge-") as name:
        space = Path(name)
        if runtime == "umoci":
            command = ["skopeo", "copy", "--quiet", f"docker-archive:{path}", f"oci:{space}/oci:x"]
            subprocess.run(command, check=True, capture_output=True)
            command = ["umoci", "unpack", "--image", f"{space}/oci:x", f"{space}/bundle"]
            subprocess.run(command, check=True, capture_output=True)
            yield space / "bundle" / "rootfs"
            return
        (space / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\nrunroot = "{space}/run"\ngraphroot = "{space}/data"\n'
        )
        env = {**os.environ, "CONTAINERS_STORAGE_CONF": f"{space}/storage.conf"}

        def podman(*arguments: str) -> str:
            return subprocess.run(
                ["podman", *arguments], env=env, check=True, capture_output=True, text=True
            ).stdout.strip()

        try:
            podman("load", "--quiet", "--input", str(path))
            yield Path(podman("image", "mount", "localhost/test:latest"))
        finally:
            podman("image", "unmount", "--all")
            subprocess.run(["umount", f"{space}/data/overlay"], check=False, capture_output=True)


@pytest.mark.parametrize("case", STACKS)
def test_odd_layers(tmp_path: Path, case: str) -> None:
    layers, found, _ = STACKS[case]
    path = archive(tmp_path / "a.tar", [layer(*items) for items in layers])
    assert ours(path) == {f"/{name}": what for name, what in found.items()}


@pytest.mark.parametrize("case", ARCHIVES)
def test_odd_archives(tmp_path: Path, case: str) -> None:
    data, name, content = ARCHIVES[case]
    found = ours(archive(tmp_path / "a.tar", [data]))
    assert found[f"/{name}"] == content.decode()
    assert [path for path, what in found.items() if what != "/"] == [f"/{name}"]


@pytest.mark.parametrize("runtime", BOTH)
def test_runtimes_make_the_same_of_odd_layers(
    tmp_path: Path, runtime: str, require: Require
) -> None:
    _require_runtime(runtime, require)
    cases = {case: layers for case, (layers, _, who) in STACKS.items() if runtime in who}
    assert len(cases) > 20
    path = archive(tmp_path / "a.tar", stacked(cases))
    wanted = {
        name: what for case in cases for name, what in expected(case, STACKS[case][1]).items()
    }
    assert ours(path) == wanted
    with unpacked(runtime, path) as root:
        assert on_disk(root) == wanted


@pytest.mark.parametrize("runtime", BOTH)
def test_runtimes_make_the_same_of_odd_archives(
    tmp_path: Path, runtime: str, require: Require
) -> None:
    _require_runtime(runtime, require)
    refused = {*UNPACKED_BY_TAR_ALONE, *(["global header"] if runtime == "umoci" else [])}
    cases = [found for case, found in ARCHIVES.items() if case not in refused]
    path = archive(tmp_path / "a.tar", [data for data, _, _ in cases])
    found = ours(path)
    for _, name, content in cases:
        assert found[f"/{name}"] == content.decode()
    with unpacked(runtime, path) as root:
        assert on_disk(root) == found


def test_podman_makes_the_same_of_random_layers(tmp_path: Path, require: Require) -> None:
    _require_runtime("podman", require)
    chance = random.Random(1)
    cases = {f"case{number}": _random_layers(chance) for number in range(300)}
    path = archive(tmp_path / "a.tar", stacked(cases))
    found = ours(path)
    assert len(found) > 1500
    with unpacked("podman", path) as root:
        assert on_disk(root) == found


def _random_layers(chance: random.Random) -> list[Layer]:
    """Return layers of what podman takes: no name twice, no whiteout of a layer's own things."""
    layers: list[Layer] = []
    for _ in range(4):
        names: dict[str, str] = {}
        for _ in range(chance.randrange(6)):
            name = "/".join(chance.choice("abc") for _ in range(chance.randint(1, 3)))
            above = ["/".join(name.split("/")[:n]) for n in range(1, name.count("/") + 1)]
            if all(names.get(a, "/") == "/" for a in above) and name not in names:
                below = any(other.startswith(f"{name}/") for other in names)
                names[name] = "/" if below else chance.choice(["/", "file", "link", "whiteout"])
        items: list[Item | str] = []
        for name, kind in names.items():
            directory, _, last = name.rpartition("/")
            if kind == "whiteout":
                items.append(f"{directory}/.wh.{last}".lstrip("/"))
            elif kind == "link":
                items.append(link(name, "a"))
            else:
                items.append(f"{name}/" if kind == "/" else (name, chance.choice("xyz")))
        layers.append(items)
    return layers


def _require_runtime(runtime: str, require: Require) -> None:
    for program in {"podman": ["podman"], "umoci": ["umoci", "skopeo"]}[runtime]:
        require(shutil.which(program) is not None, f"{program} is not installed")
    require(os.geteuid() == 0, "unpacking with owners takes root")
