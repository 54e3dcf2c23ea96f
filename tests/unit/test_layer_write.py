"""The layers of written images: squashed, and as they were; GNU tar is the witness."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from archives import Item, archive, digest, layer, link
from paredown_minimizer.image.docker_archive import open_archive
from paredown_minimizer.image.model import Image, read
from paredown_minimizer.image.slim import Provenance, SlimImage
from paredown_minimizer.image.source import write_image
from paredown_schemas.errors import ParedownError, UsageError
from trees import archive_table, table

PROVENANCE = Provenance("image-sha256:0", "plan-sha256:0", "7")


def written(
    source: Path, removed: Sequence[str] = (), *, keep_layers: bool = True, name: str = "out.tar"
) -> Path:
    """Write what is left of an archive's image without some paths; return the new archive."""
    destination = source.with_name(name)
    with contextlib.closing(open_archive(str(source))) as image:
        slim = SlimImage(image, image.tree.keys() - set(removed), {})
        spec = f"docker-archive:{destination}"
        write_image(slim, spec, PROVENANCE, force=True, keep_layers=keep_layers)
    return destination


def layers_of(path: Path) -> list[bytes]:
    """Return the layers' tars."""
    with tarfile.open(path) as outer:
        (manifest,) = json.load(member(outer, "manifest.json"))
        return [member(outer, name).read() for name in manifest["Layers"]]


def config_of(path: Path) -> dict[str, Any]:
    with tarfile.open(path) as outer:
        (manifest,) = json.load(member(outer, "manifest.json"))
        config: dict[str, Any] = json.load(member(outer, manifest["Config"]))
        return config


def member(outer: tarfile.TarFile, name: str) -> io.BufferedReader:
    found = outer.extractfile(name)
    assert isinstance(found, io.BufferedReader)
    return found


def names(tar: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as members:
        return [item.name for item in members]


def state(image: Image) -> dict[str, tuple[object, ...]]:
    """Return all that an image says of each path; hardlink groups by their paths."""
    groups = image.tree.hardlink_groups
    return {
        path: (
            *(entry.type, entry.mode, entry.uid, entry.gid, entry.mtime_ns, entry.target),
            *(entry.device, entry.xattrs),
            [] if entry.hardlinks is None else groups[entry.hardlinks],
            read(image, path, 1 << 20) if entry.type == "file" else b"",
        )
        for path, entry in image.tree.items()
    }


PATHS = st.sampled_from(["a", "a/b", "a/b/c", "a/d", "e", "e/f", "b"])
ITEMS = st.one_of(
    st.tuples(PATHS, st.text("xyz", max_size=3)),
    st.builds(lambda path, mtime: (f"{path}/", {"mtime": mtime}), PATHS, st.integers(0, 9)),
    st.builds(link, PATHS, PATHS),
    st.builds(lambda path, target: link(path, target, hard=True), PATHS, PATHS),
    st.sampled_from([".wh.a", ".wh.e", "a/.wh.b", "a/.wh..wh..opq"]).map(lambda name: (name, "")),
)


@hypothesis.settings(max_examples=60)
@hypothesis.given(st.lists(st.lists(ITEMS, max_size=6), min_size=1, max_size=4), st.booleans())
def test_what_is_written_reads_the_same(items: list[list[Item]], keep_layers: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "in.tar"
        archive(source, [layer(*map(fresh, part)) for part in items])
        try:
            image = open_archive(str(source))
        except ParedownError:
            hypothesis.reject()  # a hardlink to nothing, or a path through a file
        with contextlib.closing(image):
            copy = written(source, keep_layers=keep_layers)
            with contextlib.closing(open_archive(str(copy))) as again:
                assert state(again) == state(image)
                assert keep_layers or len(again.layers) == 1


def fresh(item: Item) -> Item:
    """Return the item again: the helper takes fields out of its dictionary."""
    name, content = item
    return name, {**content} if isinstance(content, dict) else content


def test_gnu_tar_unpacks_the_same_tree(tmp_path: Path) -> None:
    below = layer("d/", ("d/f", "1"), ("d/g", "2"), link("d/s", "f"), ("e/", {"mtime": 5}), "e/h")
    above = layer(("d/", {"mtime": 7, "uid": 8}), ("d/f", "3"), link("h", "d/f", hard=True))
    source = archive(tmp_path / "in.tar", [below, above])
    unpacked = {}
    for keep_layers in (False, True):
        tree = tmp_path / f"tree{keep_layers}"
        tree.mkdir()
        tars = layers_of(written(source, keep_layers=keep_layers))
        assert len(tars) == 1 + keep_layers
        for tar in tars:
            command = ["tar", "-xpf", "-", "--delay-directory-restore", "--numeric-owner"]
            subprocess.run(command, input=tar, cwd=tree, check=True)
        unpacked[keep_layers] = table(tree)
    assert unpacked[False] == unpacked[True]
    owner, mtime = unpacked[True]["d"][2:4]
    assert (owner, mtime, unpacked[True]["e"][3]) == ((8, 0), "7", "5")


def test_what_a_later_layer_deleted_is_in_no_layer(tmp_path: Path) -> None:
    below = layer(("key", "s3cret"), "d/", ("d/key", "s3cret"), ("d/other", "s3cret"), "stays")
    above = layer(".wh.key", "d/", "d/.wh..wh..opq", ("f", "x"))
    source = archive(tmp_path / "in.tar", [below, above, layer(("stays", "new"))])
    for keep_layers in (False, True):
        text = written(source, keep_layers=keep_layers).read_bytes()
        assert b"s3cret" not in text
        assert b".wh." not in text
    assert [sorted(names(tar)) for tar in layers_of(written(source))] == [
        [".", "d"],
        [".", "d", "f"],
        [".", "stays"],
    ]


def test_images_that_share_a_base_still_do(tmp_path: Path) -> None:
    base = layer("d/", "d/gone", ("d/f", "base"), ("i/f", "implied"), ("deleted", "x"))
    apps = [
        [layer(("d/", {"mtime": 3}), "d/one", ("i/", {"mtime": 4}), ".wh.deleted"), layer("one")],
        [layer("two"), layer(".wh.deleted", ("two", "2"))],
    ]
    written_layers = []
    for number, app in enumerate(apps):
        source = archive(tmp_path / f"{number}.tar", [base, *app])
        written_layers.append(layers_of(written(source, ["/d/gone"])))
    one, two = written_layers
    assert one[0] == two[0]
    assert one[1] != two[1]
    assert sorted(names(one[0])) == [".", "d", "d/f", "i", "i/f"]


def test_a_hardlink_group_lies_in_the_layer_of_its_newest_name(tmp_path: Path) -> None:
    below = layer(("d/a", "one"), ("b", "other"))
    source = archive(tmp_path / "in.tar", [below, layer(link("c", "d/a", hard=True))])
    first, second = map(names, layers_of(written(source)))
    assert first == [".", "d", "b"]
    assert second == [".", "d", "c", "d/a"]
    (without,) = map(names, layers_of(written(source, ["/c"])))
    assert sorted(without) == [".", "b", "d", "d/a"]


def test_special_files_come_before_the_content(tmp_path: Path) -> None:
    fifo = {"type": tarfile.FIFOTYPE}
    source = archive(tmp_path / "in.tar", [layer(("z", "1"), "y/", ("b", "2"), ("fifo", fifo))])
    assert names(layers_of(written(source, keep_layers=False))[0]) == [".", "y", "fifo", "z", "b"]


HISTORY: list[dict[str, Any]] = [
    {"created": "2024-01-01T00:00:00Z", "created_by": "ADD base", "comment": "kept"},
    {"created_by": "ENV A=b", "empty_layer": True},
    {"created_by": "RUN rm -r /gone"},
    {"created_by": "COPY app"},
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    config = {
        "created": "2024-05-01T00:00:00Z",
        "history": HISTORY,
        "moby.buildkit.buildinfo.v1": "unknown here",
        "config": {
            "Entrypoint": ["/e"],
            "Cmd": None,
            "Env": ["A=b", "A=é"],
            "User": "1:2",
            "WorkingDir": "/w",
            "Labels": {"who": "me", "dev.paredown.plan": "an older one"},
            "Healthcheck": {"Test": ["CMD", "/h"], "Interval": 30_000_000_000, "Retries": 3},
            "StopSignal": "SIGQUIT",
            "StopTimeout": 7,
            "Volumes": {"/v": {}},
            "ExposedPorts": {"80/tcp": {}},
            "Shell": ["/bin/sh", "-c"],
            "ArgsEscaped": True,
            "OnBuild": ["RUN x"],
            "NotKnown": [1.5, 10**30, {"deep": [None]}, "\ud800"],
        },
    }
    layers = [layer("base", "gone"), layer(".wh.gone"), layer("app")]
    return archive(tmp_path / "in.tar", layers, config=config)


@pytest.mark.parametrize("keep_layers", [False, True])
def test_configuration_is_carried_over(source: Path, keep_layers: bool) -> None:
    original, config = config_of(source), config_of(written(source, keep_layers=keep_layers))
    labels = config["config"].pop("Labels")
    assert labels.pop("who") == "me"
    assert labels == {
        "dev.paredown.original": PROVENANCE.original,
        "dev.paredown.plan": PROVENANCE.plan,
        "dev.paredown.version": PROVENANCE.version,
    }
    del original["config"]["Labels"]
    for changed in ("history", "rootfs"):
        del original[changed], config[changed]
    assert json.dumps(config, sort_keys=True) == json.dumps(original, sort_keys=True)


def test_history_says_which_layers_are_left(source: Path) -> None:
    ours = {"created": "2024-05-01T00:00:00Z", "created_by": "paredown 7 apply"}
    copy = written(source)
    config = config_of(copy)
    assert [names(tar) for tar in layers_of(copy)] == [[".", "base"], [".", "app"]]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{digest(tar)}" for tar in layers_of(copy)]
    gone = {**HISTORY[2], "empty_layer": True}
    kept = [HISTORY[0], HISTORY[1], gone, HISTORY[3]]
    assert config["history"] == [*kept, {**ours, "empty_layer": True}]
    squashed = config_of(written(source, keep_layers=False))["history"]
    assert squashed == [*({**step, "empty_layer": True} for step in HISTORY), ours]


def test_history_that_does_not_fit_is_not_kept_with_layers(tmp_path: Path) -> None:
    config = {"history": [{"created_by": "one"}]}
    source = archive(tmp_path / "in.tar", [layer("a"), layer("b")], config=config)
    (step,) = config_of(written(source))["history"]
    assert (step["created_by"], step["empty_layer"]) == ("paredown 7 apply", True)


def test_an_image_of_which_nothing_is_left_has_a_layer(tmp_path: Path) -> None:
    source = archive(tmp_path / "in.tar", [layer("f"), layer("g")])
    assert [names(tar) for tar in layers_of(written(source, ["/f", "/g"]))] == [["."]]


def test_what_has_no_layers_cannot_keep_them(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    source = archive(tmp_path / "in.tar", [layer("f")])
    with contextlib.closing(open_archive(str(source))) as image, pytest.raises(UsageError):
        write_image(image, f"dir:{tmp_path}/out", PROVENANCE, force=False, keep_layers=True)
    empty = archive(tmp_path / "none.tar", [])
    with pytest.raises(UsageError, match="cannot keep the layers: SOURCE has none"):
        written(empty)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tar", "none.tar", "tree"]


def test_the_same_reading_gives_the_same_bytes(source: Path) -> None:
    for keep_layers in (False, True):
        one = written(source, keep_layers=keep_layers, name="one").read_bytes()
        assert written(source, keep_layers=keep_layers, name="two").read_bytes() == one
        assert archive_table(one)
