"""Images made to harm by their configuration and their files: told or borne, in bounded time."""

from __future__ import annotations

import contextlib
import os
import resource
import struct
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from archives import archive, layer, link
from decisions import decided, make_tree, runs_of
from fixture_types import Require
from paredown_minimizer.apply import apply_plan
from paredown_minimizer.contents import Contents
from paredown_minimizer.decide import decide
from paredown_minimizer.globs import expand
from paredown_minimizer.image.directory import DirectoryImage
from paredown_minimizer.image.docker_archive import open_archive
from paredown_minimizer.image.slim import Provenance
from paredown_minimizer.image.source import write_image
from paredown_minimizer.ldcache import configured_directories, parse_cache, read_cache
from paredown_minimizer.policy import Policy
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import dump_plan, load_plan
from paredown_schemas.trace import File
from traces import use

PROVENANCE = Provenance("", "", "")
FILES = layer(("bin/app", "#!/bin/sh\n"))


@pytest.fixture
def soon() -> Any:
    """Fail a test that takes long, though it ends well."""
    before = time.process_time()
    yield
    assert time.process_time() - before < 10


SETTINGS: dict[str, Any] = {
    "list": ["x"],
    "text": "x",
    "Entrypoint": {"Entrypoint": {"a": 1}},
    "Entrypoint of numbers": {"Entrypoint": [1]},
    "Cmd": {"Cmd": 7},
    "Cmd of lists": {"Cmd": [["a"]]},
    "Shell": {"Shell": {}},
    "Env": {"Env": "PATH=/x"},
    "Env of mappings": {"Env": [{}]},
    "WorkingDir": {"WorkingDir": ["/"]},
    "Healthcheck": {"Healthcheck": ["CMD", "x"]},
    "Test": {"Healthcheck": {"Test": "CMD x"}},
    "Labels": {"Labels": ["a=b"]},
    "Volumes": {"Volumes": ["/data"]},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_configuration_of_wrong_types_is_refused(tmp_path: Path, name: str) -> None:
    config = {"config": SETTINGS[name]}
    with pytest.raises(ParedownError, match="its configuration's [A-Za-z]+ is malformed"):
        open_archive(str(archive(tmp_path / "a.tar", [FILES], config=config)))


@pytest.mark.parametrize(
    "config",
    [
        {"architecture": None},
        {"architecture": ["amd64"]},
        {"architecture": "a/b/c/d"},
        {"os": "\x1b[31m"},
        {"variant": {"a": 1}},
    ],
)
def test_platform_that_is_none_is_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(ParedownError, match="names no platform"):
        open_archive(str(archive(tmp_path / "a.tar", [FILES], config=config)))


@pytest.mark.parametrize(
    "settings",
    [
        None,
        {},
        {"Entrypoint": None, "Cmd": None, "Env": None, "Healthcheck": None, "Labels": None},
        {"Entrypoint": "bin/app", "Cmd": ["\x1b[31m", "\x00", "/\x00"], "Env": ["", "=", "X"]},
        {"Entrypoint": [""], "WorkingDir": "../../..", "Env": ["PATH=:../..:/bin\x00"]},
        {"Cmd": ["sh", "-c", "'"], "Healthcheck": {"Test": ["CMD-SHELL"]}},
        {"Cmd": ["\ud800"], "Env": ["TZ=../../../etc", "LANG=\ud800/../..", "PATH=\udfff"]},
        {"Cmd": ["/" * 100_000, "/../bin/app"], "Env": ["PATH=" + ":" * 100_000]},
    ],
)
def test_odd_configuration_is_borne(tmp_path: Path, settings: Any, soon: None) -> None:
    config = {"config": settings} if settings is not None else {}
    path = archive(tmp_path / "a.tar", [FILES], config=config)
    with contextlib.closing(open_archive(str(path))) as image:
        decision = decide(image, None, [], Policy(), "package")
        assert load_plan(dump_plan(decision.plan), "plan") == decision.plan
        target = f"docker-archive:{tmp_path}/out.tar"
        write_image(apply_plan(decision.plan, image), target, PROVENANCE, force=False)
    open_archive(f"{tmp_path}/out.tar").close()
    assert soon is None


def test_one_word_is_an_entrypoint(tmp_path: Path) -> None:
    """docker takes a text for a list of one (moby, api/types/strslice)."""
    config = {"config": {"Entrypoint": "/bin/app"}}
    with contextlib.closing(
        open_archive(str(archive(tmp_path / "a.tar", [FILES], config=config)))
    ) as image:
        decision = decide(image, None, [], Policy(), "package")
    assert [(e.path, e.kind) for e in decision.plan.evidence] == [("/bin/app", "root")]


def test_names_that_are_no_text_are_told(tmp_path: Path) -> None:
    manifest = b'[{"Config": "\\ud800", "Layers": ["\\ud800"]}]'
    (tmp_path / "a.tar").write_bytes(layer(("manifest.json", manifest)))
    with pytest.raises(ParedownError, match="is missing") as told:
        open_archive(f"{tmp_path}/a.tar")
    assert str(told.value).isprintable()


def test_files_of_other_types_are_never_opened(tmp_path: Path, soon: None) -> None:
    root = tmp_path / "root"
    make_tree(root, {"/usr/bin/app": "#!/usr/bin/pipe", "/etc/passwd": None, "/usr/lib": None})
    pipes = ("etc/os-release", "usr/lib/os-release", "etc/ld.so.conf", "etc/ld.so.cache")
    for name in (*pipes, "etc/nsswitch.conf", "etc/group", "usr/bin/pipe", "usr/bin/traced"):
        os.mkfifo(root / name)
    traced: list[str | File] = [use("/usr/bin/app", how="script"), "/usr/bin/traced", "/etc/passwd"]
    decision = decided(root, traced, {"app": ["/usr/bin/app", "/etc/passwd", "/usr/bin/pipe"]})
    assert {"/etc/passwd", "/usr/bin/pipe", "/usr/bin/traced"} <= decision.kept
    assert soon is None


def test_links_that_lead_in_circles_end(tmp_path: Path, soon: None) -> None:
    root = tmp_path / "root"
    ring = {f"/ring/{n}": f"-> {(n + 1) % 60}" for n in range(60)}
    fan = {f"/fan/{n}": f"-> {n + 1}/{n + 1}/{n + 1}" for n in range(40)}
    make_tree(root, {**ring, **fan, "/fan/40": "-> .", "/up": "-> ../../../up", "/me": "-> me/me"})
    make_tree(root, {"/etc/ld.so.conf": "include /ring/*\ninclude /me/*.conf\n/ring/1\n/fan/0\n"})
    make_tree(root, {"/bin/app": "#!/ring/5\n", "/bin/b": "#!/bin/c\n", "/bin/c": "#!/bin/b\n"})
    scripts = [use("/bin/app", how="script"), use("/bin/b", how="script")]
    decision = decided(
        root, [*scripts, *ring, *fan, "/up", "/me"], {"all": [*ring, *fan, "/bin/app"]}
    )
    assert {"/bin/app", "/bin/b", "/bin/c", "/ring/0", "/fan/0", "/up"} <= decision.kept
    assert soon is None


def _contents(root: Path, files: Mapping[str, str | None]) -> Contents:
    make_tree(root, files)
    return Contents(DirectoryImage(root))


def test_loader_configuration_that_includes_itself(tmp_path: Path, soon: None) -> None:
    many = {f"/etc/d/{n}": "include *\ninclude ../ld.so.conf\n/lib\n" for n in range(100)}
    up = "include " + "../" * 50 + "etc/ld.so.conf\n"
    config = f"include /etc/ld.so.conf\ninclude d/*\n{up}include [z-a]* [ * \nrelative\n/lib,/usr\n"
    contents = _contents(tmp_path / "root", {**many, "/etc/ld.so.conf": config})
    assert configured_directories(contents) == ["/lib", "/usr"]
    assert soon is None


def test_loader_configuration_with_a_pattern_without_end(tmp_path: Path, soon: None) -> None:
    files = {f"/etc/{'a' * 200}{n}": "/lib\n" for n in range(50)}
    config = "include " + "*a" * 100 + "b\n" + "include /" + "*/" * 9999 + "x\n"
    assert not configured_directories(
        _contents(tmp_path / "root", {**files, "/etc/ld.so.conf": config})
    )
    assert soon is None


def cache(offsets: list[tuple[int, int]], strings: bytes, count: int | None = None) -> bytes:
    """Return ld.so.cache whose entries' names lie at these offsets of ``strings``."""
    number = len(offsets) if count is None else count
    head = struct.pack("<20sII5I", b"glibc-ld.so.cache1.1", number, 0, 0, 0, 0, 0, 0)
    first = len(head) + 24 * len(offsets)
    entries = (struct.pack("<iIIIQ", 0, first + key, first + path, 0, 0) for key, path in offsets)
    return head + b"".join(entries) + strings


CACHES = {
    "true": cache([(1, 0)], b"/liba.so\0"),
    "count": cache([(1, 0)], b"/liba.so\0", count=0xFFFFFFFF),
    "offsets beyond the end": cache([(1, 0), (1 << 31, 1 << 31)], b"/liba.so\0"),
    "old format without end": b"ld.so-1.7.0\0" + b"\xff" * 40,
    "names that overlap": cache(
        [(n + 1, n) for n in range(9999)], b"/" * 9999 + b"x" * 4000 + b"\0"
    ),
    "name without end": cache([(n, n) for n in range(99)], b"/x" * 1_000_000),
    "one name for all": cache([(1, 4 * n) for n in range(50_000)], b"/a\0\0" * 50_000),
}


@pytest.mark.parametrize("name", CACHES)
def test_loader_cache_that_lies(tmp_path: Path, name: str, soon: None) -> None:
    found = parse_cache(CACHES[name])
    assert sum(len(path) for paths in found.values() for path in paths) <= 4 * len(CACHES[name])
    if name in ("true", "count", "offsets beyond the end"):
        assert found == {"liba.so": ["/liba.so"]}
    assert not read_cache(_contents(tmp_path / "root", {"/etc/ld.so.cache": None}))
    assert soon is None


def test_name_services_without_end(tmp_path: Path, soon: None) -> None:
    """What is looked for in the brackets of an action must not be looked for again and again."""
    from paredown_minimizer.facts import FACTS, Facts

    hosts = "hosts: " + "[" * 200_000 + " files [NOTFOUND=return] ../../x dns\n"
    contents = _contents(tmp_path / "root", {"/etc/nsswitch.conf": hosts})
    services = FACTS["host_service"](Facts(contents), {})
    assert {"files", "dns", "../../x"} <= set(services)
    assert "NOTFOUND=return" not in services
    assert soon is None


@pytest.mark.parametrize("record", ['"' + "x" * 200_000 + "\n", "a\0b,,\n", '"\n' * 9999, ",\n,"])
def test_record_that_is_no_table(tmp_path: Path, record: str) -> None:
    site = "/usr/lib/python3/dist-packages"
    root = tmp_path / "root"
    files = [f"{site}/mod/__init__.py", f"{site}/mod-1.dist-info/METADATA"]
    make_tree(root, dict.fromkeys(files, "x"))
    make_tree(root, {f"{site}/mod-1.dist-info/RECORD": record, "/gone": "x"})
    decision = decided(root, [files[0]], {"mod": files, "gone": ["/gone"]})
    assert files[0] in decision.kept
    assert all(warning.isprintable() for warning in decision.warnings)


def test_deep_trees(tmp_path: Path, soon: None) -> None:
    """A path of 4,096 bytes may be 2,000 directories deep, deeper than Python may call."""
    name = "usr/share/zoneinfo" + "/d" * 2_000
    path = archive(tmp_path / "a.tar", [layer((f"{name}/f", "x"), link("bin", "usr/bin"))])
    with contextlib.closing(open_archive(str(path))) as image:
        assert len(expand(image.tree, "/usr/share/zoneinfo/**")) == 1
        decision = decide(image, None, runs_of(tmp_path, [f"/{name}/f"]), Policy(), "package")
        assert load_plan(dump_plan(decision.plan), "plan") == decision.plan
        slim = apply_plan(decision.plan, image)
        write_image(slim, f"docker-archive:{tmp_path}/out.tar", PROVENANCE, force=False)
    open_archive(f"{tmp_path}/out.tar").close()
    assert soon is None


def test_deep_directories_are_replaced(tmp_path: Path, require: Require) -> None:
    require(resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 1_200, "too few descriptors for it")
    path = archive(tmp_path / "a.tar", [layer(("d/" * 1_100 + "f", "x"))])
    with contextlib.closing(open_archive(str(path))) as image:
        for force in (False, True):
            write_image(image, f"dir:{tmp_path}/out", PROVENANCE, force=force)
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "out"]
    # pytest could not remove it.
    subprocess.run(["rm", "-rf", tmp_path / "out"], check=True)
